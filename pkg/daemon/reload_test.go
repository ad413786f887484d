package daemon

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudless-fleet/cloudless/pkg/daemon/logging"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// reloadBench is a process whose next configuration the test decides.
type reloadBench struct {
	process  *Process[sampleConfig]
	next     sampleConfig
	loadErr  error
	applied  []string // what the reloaders applied, in order
	notified []string
	log      bytes.Buffer
}

func newReloadBench(start sampleConfig) *reloadBench {
	b := &reloadBench{next: start}
	log := slog.New(logging.NewTextHandler(&b.log, slog.LevelInfo))
	b.process = newProcess("sampled", start, log)
	b.process.load = func() (sampleConfig, error) { return b.next, b.loadErr }
	b.process.notify = &notifier{log: log, send: func(state string) error {
		first, _, _ := strings.Cut(state, "\n")
		b.notified = append(b.notified, first)
		return nil
	}}
	return b
}

// follow registers a reloader that fails when the configuration is named after it.
func (b *reloadBench) follow(name string, keys ...string) {
	b.process.OnReload(Reloader[sampleConfig]{Name: name, Keys: keys,
		Prepare: func(_ context.Context, next sampleConfig) (func(), error) {
			if strings.Contains(next.Name, name) {
				return nil, errors.New("cannot follow")
			}
			return func() { b.applied = append(b.applied, name+" "+next.Name) }, nil
		}})
}

func (b *reloadBench) logged() string {
	defer b.log.Reset()
	var text strings.Builder
	for line := range strings.Lines(b.log.String()) {
		text.WriteString(line[len("15:04:05.000 "):])
	}
	return text.String()
}

func TestReloadIsAllOrNothing(t *testing.T) {
	b := newReloadBench(sampleConfig{Name: "old", Count: 1})
	b.follow("first", "name")
	b.process.OnReload(Reloader[sampleConfig]{Name: "nothing to apply",
		Prepare: func(context.Context, sampleConfig) (func(), error) { return nil, nil }})
	b.follow("second", "cache")
	ctx := t.Context()

	b.next = sampleConfig{Name: "new", Count: 1}
	b.process.reloadNow(ctx)
	if diff := cmp.Diff([]string{"first new", "second new"}, b.applied); diff != "" {
		t.Errorf("applied (-want +got):\n%s", diff)
	}
	if got, want := b.logged(), "INFO  configuration reloaded keys=[name]\n"; got != want {
		t.Errorf("logged %s, want %s", got, want)
	}

	b.applied, b.next = nil, sampleConfig{Name: "fails second and first"}
	b.process.reloadNow(ctx)
	if b.applied != nil || b.process.current.Name != "new" {
		t.Errorf("a part could not follow, but %v was applied, and the configuration is %q", b.applied, b.process.current.Name)
	}
	want := "ERROR configuration not reloaded, the old one stays\n" +
		"ERROR configuration problem err=\"first: cannot follow\"\n" +
		"ERROR configuration problem err=\"second: cannot follow\"\n"
	if got := b.logged(); got != want {
		t.Errorf("logged %s, want %s", got, want)
	}

	b.loadErr = errors.New("x.toml:3: name: want a string\nx.toml:4: count: want a whole number")
	b.process.reloadNow(ctx)
	want = "ERROR configuration not reloaded, the old one stays\n" +
		"ERROR configuration problem err=\"x.toml:3: name: want a string\"\n" +
		"ERROR configuration problem err=\"x.toml:4: count: want a whole number\"\n"
	if got := b.logged(); b.applied != nil || got != want {
		t.Errorf("applied %v, logged %s, want %s", b.applied, got, want)
	}
	wantNotified := []string{"RELOADING=1", "STATUS=configuration reloaded", "READY=1",
		"RELOADING=1", "STATUS=reload failed: first: cannot follow", "READY=1",
		"RELOADING=1", "STATUS=reload failed: x.toml:3: name: want a string", "READY=1"}
	if diff := cmp.Diff(wantNotified, b.notified); diff != "" {
		t.Errorf("notified (-want +got):\n%s", diff)
	}
}

func TestReloadTellsWhatWaitsForARestart(t *testing.T) {
	b := newReloadBench(sampleConfig{Name: "old"})
	b.follow("cache", "cache", "nam")
	b.next.Count, b.next.Cache.Size = 2, model.MiB
	b.process.reloadNow(t.Context())
	want := "INFO  configuration reloaded keys=\"[count cache.size]\"\nWARN  settings wait for a restart keys=[count]\n"
	if got := b.logged(); got != want {
		t.Errorf("logged %s, want %s", got, want)
	}
	b.next.Name = "other"
	b.process.reloadNow(t.Context())
	want = "INFO  configuration reloaded keys=[name]\nWARN  settings wait for a restart keys=\"[name count]\"\n"
	if got := b.logged(); got != want {
		t.Errorf("logged %s, want %s", got, want)
	}
	b.next.Name, b.next.Count = "old", 0
	b.process.reloadNow(t.Context())
	if got, want := b.logged(), "INFO  configuration reloaded keys=\"[name count]\"\n"; got != want {
		t.Errorf("back as it was: logged %s, want %s", got, want)
	}
}

func TestEveryReloadIsToldOf(t *testing.T) {
	b := newReloadBench(sampleConfig{})
	b.follow("pipes")
	var told []error
	b.process.OnReloaded(func(err error) { told = append(told, err) })

	b.process.reloadNow(t.Context())
	b.next.Name = "no pipes"
	b.process.reloadNow(t.Context())
	b.loadErr = errors.New("sampled.toml:3: broken")
	b.process.reloadNow(t.Context())

	if len(told) != 3 || told[0] != nil || told[1] == nil || !errors.Is(told[2], b.loadErr) {
		t.Errorf("told %v; want success, what a part could not follow, what could not be read", told)
	}
}
