package daemon

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// listenNotify makes the socket that systemd would.
func listenNotify(t *testing.T) (path string, next func() string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	return path, func() string {
		t.Helper()
		buffer := make([]byte, 4096)
		if err := socket.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		n, err := socket.Read(buffer)
		if err != nil {
			t.Fatalf("waiting for a notification: %v", err)
		}
		return string(buffer[:n])
	}
}

func TestNotifications(t *testing.T) {
	path, next := listenNotify(t)
	t.Setenv("NOTIFY_SOCKET", path)
	n := systemdNotifier(quiet())
	n.ready()
	n.status("3 workers\nREADY=0")
	n.alive()
	n.stopping()
	for _, want := range []string{"READY=1", "STATUS=3 workers", "WATCHDOG=1", "STOPPING=1"} {
		if got := next(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	n.reloading()
	stamp, isReloading := strings.CutPrefix(next(), "RELOADING=1\nMONOTONIC_USEC=")
	if usec, err := strconv.ParseUint(strings.TrimSpace(stamp), 10, 64); !isReloading || err != nil || usec == 0 {
		t.Errorf("got reloading with the time %q, want microseconds", stamp)
	}
}

func TestNobodyToNotify(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	systemdNotifier(quiet()).ready()
	var none *notifier
	none.ready()
	t.Setenv("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "gone"))
	systemdNotifier(quiet()).ready() // is a warning in the log
}

func TestWatchdogIsFedWhileAllMakeProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var fed []time.Duration
		began := time.Now()
		w := &watchdog{log: quiet()}
		var stuck atomic.Bool
		w.add("loop", func() error { return nil })
		w.add("store", func() error {
			if stuck.Load() {
				return errors.New("no commit for 1m")
			}
			return nil
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			w.run(ctx, 10*time.Second, func() { fed = append(fed, time.Since(began)) })
		}()
		time.Sleep(15 * time.Second)
		stuck.Store(true)
		if err := w.stuck(); err == nil || err.Error() != "store: no commit for 1m" {
			t.Errorf("got %v, want the part and its error", err)
		}
		time.Sleep(20 * time.Second)
		stuck.Store(false)
		time.Sleep(10 * time.Second)
		cancel()
		<-done
		if diff := cmp.Diff([]time.Duration{0, 10 * time.Second, 40 * time.Second}, fed); diff != "" {
			t.Errorf("fed at (-want +got):\n%s", diff)
		}
	})
}
