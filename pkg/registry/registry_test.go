package registry

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// running calls f with a registry that runs in virtual time.
func running(t *testing.T, dir string, cfg Config, f func(t *testing.T, r *Registry)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r, err := Open(dir, cfg, Deps{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- r.Run(ctx) }()
		f(t, r)
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
		if err := r.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
}

func probe(r *Registry, n int, keepAlive time.Duration) Reply {
	return r.ProbeAck(ProbeAck{ID: testID(n), Host: hostNamed("web", "10.0.0.1"), KeepAlive: keepAlive})
}

func stateOf(r *Registry, n int) model.WorkerState {
	w, _ := r.Worker(testID(n))
	return w.State
}

// passUntil lets virtual time pass until start+after, and what is due happen.
func passUntil(start time.Time, after time.Duration) {
	time.Sleep(time.Until(start.Add(after)))
	synctest.Wait()
}

func TestRunAndClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, err := Open(t.TempDir(), DefaultConfig(), Deps{})
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- r.Run(t.Context()) }()
		synctest.Wait()
		if err := r.Run(t.Context()); err == nil {
			t.Error("a second Run was allowed")
		}
		for range 2 {
			if err := r.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		}
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
		if err := r.Run(t.Context()); err != ErrClosed {
			t.Errorf("run after close: %v, want %v", err, ErrClosed)
		}
		if _, err := r.Changes(t.Context(), 0); err != ErrClosed {
			t.Errorf("changes after close: %v, want %v", err, ErrClosed)
		}
	})
}

// All methods at once, for the race detector.
func TestConcurrentUse(t *testing.T) {
	cfg := DefaultConfig()
	cfg.MaxWorkers, cfg.MaxCandidates, cfg.PersistInterval = 50, 20, time.Millisecond
	r := open(t, t.TempDir(), cfg)
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() { r.Run(ctx) })
	all.Go(func() {
		for since := uint64(0); ; {
			d, err := r.Changes(ctx, since)
			if err != nil {
				return
			}
			since = d.Version
		}
	})
	var callers sync.WaitGroup
	for g := range 4 {
		callers.Go(func() {
			for i := range 500 {
				n := (i*7 + g) % 100
				probe(r, n, time.Second)
				r.Contact(testID(n), time.Time{})
				r.Contacts([]Sighting{{ID: testID(n + 1)}})
				switch i % 50 {
				case 0:
					r.Forget(testID(n))
				case 1:
					r.Leave(testID(n))
				case 2:
					for _, w := range r.Workers() {
						_ = fmt.Sprint(w)
					}
					r.Candidates()
					r.Stats()
				}
			}
		})
	}
	callers.Wait()
	cancel()
	all.Wait()
}

func TestContactsOfOthers(t *testing.T) {
	running(t, t.TempDir(), DefaultConfig(), func(t *testing.T, r *Registry) {
		probe(r, 1, 0)
		probe(r, 2, 0)
		r.ProbeAck(ProbeAck{ID: testID(3), Host: hostNamed("web", "10.0.0.1"), Verdict: Hold})
		if !r.Leave(testID(2)) || r.Leave(testID(99)) {
			t.Error("leaving: want true for a member only")
		}
		unknown := r.Contacts([]Sighting{{ID: testID(1)}, {ID: testID(2)}, {ID: testID(3)}, {ID: testID(99)}})
		if diff := cmp.Diff([]model.WorkerID{testID(2), testID(3), testID(99)}, unknown); diff != "" {
			t.Errorf("unknown contacts (-want +got):\n%s", diff)
		}
		if s := r.Stats(); s.Renewals != 1 || s.UnknownContacts != 3 {
			t.Errorf("%d renewals, %d unknown; want 1, 3", s.Renewals, s.UnknownContacts)
		}
		if r.Leave(testID(3)) {
			t.Error("a waiting worker left as a member")
		}
		if _, ok := r.Worker(testID(3)); ok {
			t.Error("a waiting worker that left is remembered")
		}
	})
}
