package fleettest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/collector"
	"github.com/cloudless-fleet/cloudless/pkg/coordinator"
	process "github.com/cloudless-fleet/cloudless/pkg/daemon"
	"github.com/cloudless-fleet/cloudless/pkg/daemon/config"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/worker"
)

// TestWhatFirstStartsLeaveIsPrivate: every state folder belongs to its daemon
// alone, and so does every file in it but certificates and what the store holds.
func TestWhatFirstStartsLeaveIsPrivate(t *testing.T) {
	t.Parallel()
	f := newInProcess(t, "w1")
	f.startServers()
	w1 := f.machines["w1"]
	w1.work()
	w1.comesToStand("member", "")
	public := func(path string) bool {
		return strings.HasSuffix(path, ".crt") || strings.HasPrefix(path, "collectord/tsdb") ||
			slices.Contains([]string{"collectord/index.bolt", "collectord/lock"}, path)
	}
	found := 0
	for _, state := range []string{f.coordinator.StateDirectory, f.collector.StateDirectory, w1.worker.StateDirectory} {
		err := filepath.WalkDir(state, func(path string, entry fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := entry.Info()
			if err != nil {
				return err
			}
			name := strings.TrimPrefix(path, f.dir+"/")
			want := fs.FileMode(0o600)
			if entry.IsDir() {
				want = 0o700
			}
			if got := info.Mode().Perm(); got != want && !public(name) {
				t.Errorf("%s: mode %04o, want %04o", name, got, want)
			}
			found++
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if found < 20 {
		t.Errorf("only %d files and folders were looked at", found)
	}
}

// embed runs a daemon that is expected to fail, and returns its error.
func embed[C config.Validator](t *testing.T, spec process.Spec[C], cfg C) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ready := make(chan struct{})
	done := make(chan error, 1)
	go func() { done <- process.Embed(ctx, spec, cfg, slog.New(slog.DiscardHandler), func() { close(ready) }) }()
	select {
	case err := <-done:
		return err
	case <-ready:
		cancel()
		return errors.Join(errors.New("it serves"), <-done)
	}
}

// TestAStateFolderBelongsToOneProcess: a second daemon is refused, says so, and
// disturbs the first one in nothing.
func TestAStateFolderBelongsToOneProcess(t *testing.T) {
	t.Parallel()
	f := newInProcess(t, "w1")
	f.startServers()
	w1 := f.machines["w1"]
	w1.work()
	elsewhere := func() string { return loopback(freePort(t)) }
	second := f.coordinator
	second.Control.Listen, second.Discovery.Listen, second.Control.Socket = elsewhere(), elsewhere(), f.path("second.sock")
	second.Registry.LockTimeout = 50 * time.Millisecond
	other := f.collector
	other.Listen, other.Socket = elsewhere(), f.path("other.sock")
	third := w1.worker
	third.Discovery.Listen = elsewhere()
	for name, err := range map[string]error{
		"coordinatord": embed(t, coordinator.Spec(), second), "collectord": embed(t, collector.Spec(), other), "workerd": embed(t, worker.SpecOn(w1.facts), third),
	} {
		if err == nil || !strings.Contains(err.Error(), "another process") && !strings.Contains(err.Error(), "in use") {
			t.Errorf("a second %s on the folder of the first: %v", name, err)
		}
	}
	f.eventually("the first ones work", w1.working)
	f.eventually("and were not disturbed", func() error { return f.undisturbed("w1") })
	if got := f.members(); len(got) != 1 {
		t.Errorf("members %q", got)
	}
}

// killed runs a program and kills it when its state folder holds so many files and
// folders. It reports whether that was so before it said that it is ready.
func (f *inProcess) killed(program, settings, state string, entries int, ready string) bool {
	f.t.Helper()
	path := f.path("killed.toml")
	if err := os.WriteFile(path, []byte(settings), 0o600); err != nil {
		f.t.Fatal(err)
	}
	var said lockedBuffer
	cmd := exec.CommandContext(f.t.Context(), program, "run", "--config", path)
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		f.t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	reached := false
	eventually(f.t, patience, time.Millisecond, "it gets that far", func() error {
		n := 0
		_ = filepath.WalkDir(state, func(_ string, _ fs.DirEntry, err error) error {
			if err == nil {
				n++
			}
			return nil
		})
		reached = n >= entries
		if reached || strings.Contains(said.String(), ready) {
			return nil
		}
		return fmt.Errorf("%d of %d: %s", n, entries, said.String())
	})
	return reached
}

// leftovers looks at what was being written when a daemon was killed: as little may
// others read it as what it would have become.
func (f *inProcess) leftovers(state string, n int) {
	f.t.Helper()
	_ = filepath.WalkDir(state, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !strings.HasPrefix(entry.Name(), ".") || strings.Contains(entry.Name(), ".crt.") {
			return nil
		}
		if info, err := entry.Info(); err != nil || info.Mode().Perm() != 0o600 {
			f.t.Errorf("killed at %d: %s is left with mode %v, %v", n, path, info.Mode(), err)
		}
		return nil
	})
}

// TestAFirstStartThatWasKilledIsCompleted: every daemon is killed as soon as its
// state folder holds one thing, two, three... The next start makes a whole of it.
func TestAFirstStartThatWasKilledIsCompleted(t *testing.T) {
	t.Parallel()
	if binaries == "" {
		t.Skip("this test kills the programs, which are built for root only")
	}
	const enough = 12
	t.Run("coordinatord", func(t *testing.T) {
		for n := 1; n <= enough; n++ {
			f := newInProcess(t)
			settings := fmt.Sprintf("fleet = \"test\"\nstate_directory = %q\n[control]\nlisten = %q\nsocket = %q\n[discovery]\nlisten = %q\n",
				f.coordinator.StateDirectory, f.coordinator.Control.Listen, f.coordinator.Control.Socket, f.coordinator.Discovery.Listen)
			reached := f.killed(program("coordinatord"), settings, f.coordinator.StateDirectory, n, " coordinating ")
			f.startCoordinator()
			secret, err := os.ReadFile(f.path(model.DaemonCoordinator, "fleet", "admin.secret"))
			if err != nil {
				t.Fatal(err)
			}
			if ok, err := f.admin.CheckSecret(t.Context(), strings.TrimSpace(string(secret))); err != nil || !ok {
				t.Errorf("killed at %d: the admin secret that is shown is not in force: %v", n, err)
			}
			status, err := f.admin.Status(t.Context())
			if err != nil || status.Fleet != "test" || len(status.Authorities) != 1 || status.Authorities[0].Fingerprint != f.authority().Fingerprint() {
				t.Errorf("killed at %d: %+v, %v", n, status, err)
			}
			if left, err := filepath.Glob(f.path(model.DaemonCoordinator, "fleet", ".*")); err != nil || len(left) > 0 {
				t.Errorf("killed at %d: left in the fleet's home: %q, %v", n, left, err)
			}
			f.stop(model.DaemonCoordinator)
			if !reached {
				t.Logf("killed at 1 to %d", n-1)
				return
			}
		}
		t.Errorf("a start makes more than %d things", enough)
	})
	f := newInProcess(t)
	f.startCoordinator()
	t.Run("collectord", func(t *testing.T) {
		for n := 1; n <= 8; n += 2 { // the rest is the store's
			f.collector = f.collectorConfig()
			f.collector.StateDirectory = f.path(fmt.Sprint("collectord-", n))
			settings := fmt.Sprintf("hostname = \"hq\"\nlisten = %q\nstate_directory = %q\nsocket = %q\n[coordinator]\nurl = %q\nsocket = %q\nport = %d\n[discovery]\nauto_interfaces = false\nmulticast = false\n[store]\nmin_free = \"0B\"\n",
				f.collector.Listen, f.collector.StateDirectory, f.collector.Socket, f.collector.Coordinator.URL, f.collector.Coordinator.Socket, f.control)
			reached := f.killed(program("collectord"), settings, f.collector.StateDirectory, n, " collecting ")
			f.startCollector()
			if _, err := f.people().Identity(t.Context()); err != nil {
				t.Errorf("killed at %d: %v", n, err)
			}
			f.leftovers(f.collector.StateDirectory, n)
			f.stop(model.DaemonCollector)
			if !reached {
				return
			}
		}
	})
	t.Run("workerd", func(t *testing.T) {
		for n := 1; n <= enough; n++ {
			m := f.plug(fmt.Sprint("w", n))
			m.hold(f.token(api.TokenRequest{}))
			settings := fmt.Sprintf("hostname = %q\nstate_directory = %q\n[enrol]\ntoken_file = %q\n[discovery]\nlisten = %q\nmulticast = false\n",
				m.name, m.worker.StateDirectory, m.worker.Enrol.TokenFile, m.worker.Discovery.Listen)
			reached := f.killed(program("workerd"), settings, m.worker.StateDirectory, n, "session admitted")
			start(f, m.name, worker.Spec(), m.worker) // on the same machine as the program
			m.comesToStand("member", "")
			f.leftovers(m.worker.StateDirectory, n)
			f.stop(m.name)
			if got := len(f.members()); got != n {
				t.Errorf("killed at %d: %d members, want %d: none has lost its identity", n, got, n)
			}
			if !reached {
				t.Logf("killed at 1 to %d", n-1)
				return
			}
		}
		t.Errorf("a start makes more than %d things", enough)
	})
}
