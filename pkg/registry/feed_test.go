package registry

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

func idsOf(workers []Worker) (ids []model.WorkerID) {
	for _, w := range workers {
		ids = append(ids, w.ID)
	}
	return ids
}

func TestChanges(t *testing.T) {
	running(t, t.TempDir(), DefaultConfig(), func(t *testing.T, r *Registry) {
		for i := range 4 {
			probe(r, i, lease)
		}
		all, err := r.Changes(t.Context(), 0)
		if err != nil || !all.Full || len(all.Workers) != 4 {
			t.Fatalf("first call: %d workers, full %v, %v", len(all.Workers), all.Full, err)
		}
		since := all.Version
		for name, do := range map[string]func(){
			"a renewed lease":      func() { r.Contact(testID(1), time.Time{}) },
			"an answered probe":    func() { probe(r, 1, lease) },
			"a stranger":           func() { r.ProbeAck(ProbeAck{ID: testID(9), Host: hostNamed("x", "10.0.0.9"), Verdict: RefusePolicy}) },
			"a stranger forgotten": func() { r.Forget(testID(9)) },
		} {
			do()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			d, err := r.Changes(ctx, since)
			cancel()
			if !errors.Is(err, context.DeadlineExceeded) || d.Version != since || len(d.Workers) != 0 {
				t.Errorf("%s is a change: %+v, %v", name, d, err)
			}
		}
		steps := []struct {
			name    string
			do      func()
			changed []model.WorkerID
			removed []model.WorkerID
		}{
			{"goodbye", func() { r.Leave(testID(2)) }, []model.WorkerID{testID(2)}, nil},
			{"a new lease", func() { probe(r, 1, time.Minute) }, []model.WorkerID{testID(1)}, nil},
			{"two changes, the later one last", func() { r.Leave(testID(3)); probe(r, 2, lease) }, []model.WorkerID{testID(3), testID(2)}, nil},
			{"one worker changed twice", func() { r.Leave(testID(2)); probe(r, 2, lease) }, []model.WorkerID{testID(2)}, nil},
			{"forgotten", func() { r.Forget(testID(2)) }, nil, []model.WorkerID{testID(2)}},
			{"forgotten and back", func() { r.Forget(testID(3)); probe(r, 3, lease) }, []model.WorkerID{testID(3)}, nil},
			{"new and refused by us", func() {
				r.ProbeAck(ProbeAck{ID: testID(1), Host: hostNamed("web", "10.0.0.1"), Verdict: RefuseRevoked})
			}, []model.WorkerID{testID(1)}, nil},
		}
		for _, step := range steps {
			step.do()
			d, err := r.Changes(t.Context(), since)
			if err != nil || d.Full {
				t.Errorf("%s: full %v, %v", step.name, d.Full, err)
			}
			if diff := cmp.Diff(step.changed, idsOf(d.Workers)); diff != "" {
				t.Errorf("%s: changed (-want +got):\n%s", step.name, diff)
			}
			if diff := cmp.Diff(step.removed, d.Removed); diff != "" {
				t.Errorf("%s: removed (-want +got):\n%s", step.name, diff)
			}
			since = d.Version
		}
		for name, version := range map[string]uint64{"of an earlier run": r.feed.oldest - 1, "from elsewhere": since + 1000} {
			if d, err := r.Changes(t.Context(), version); err != nil || !d.Full || len(d.Workers) != 3 || d.Version != since {
				t.Errorf("a version %s: %d workers, full %v, %v", name, len(d.Workers), d.Full, err)
			}
		}
	})
}

// A reader that waits is woken once by an expiry, at its very time.
func TestOneChangeForAnExpiry(t *testing.T) {
	running(t, t.TempDir(), DefaultConfig(), func(t *testing.T, r *Registry) {
		start := time.Now()
		probe(r, 1, lease)
		d, _ := r.Changes(t.Context(), 0)
		var got []string
		for {
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			var err error
			d, err = r.Changes(ctx, d.Version)
			cancel()
			if err != nil {
				break
			}
			for _, w := range d.Workers {
				got = append(got, time.Since(start).String()+" "+w.State.String())
			}
		}
		if diff := cmp.Diff([]string{"15s suspect", "30s expired"}, got); diff != "" {
			t.Errorf("changes (-want +got):\n%s", diff)
		}
	})
}

// What a slow reader missed shows in the count of expirations.
func TestSlowReaderSeesThatAWorkerExpired(t *testing.T) {
	running(t, t.TempDir(), DefaultConfig(), func(t *testing.T, r *Registry) {
		probe(r, 1, lease)
		before, _ := r.Changes(t.Context(), 0)
		time.Sleep(lease)
		synctest.Wait()
		probe(r, 1, lease)
		after, _ := r.Changes(t.Context(), before.Version)
		if len(after.Workers) != 1 || after.Workers[0].State != model.Registered || after.Workers[0].Expirations != before.Workers[0].Expirations+1 {
			t.Errorf("after an expiry and a return: %+v", after.Workers)
		}
	})
}

func TestRemovalsAreBounded(t *testing.T) {
	running(t, t.TempDir(), DefaultConfig(), func(t *testing.T, r *Registry) {
		probe(r, 0, lease)
		first, _ := r.Changes(t.Context(), 0)
		for i := range 10 * maxRemovals {
			probe(r, 1+i, lease)
			r.Forget(testID(1 + i))
		}
		if got := len(r.feed.removed); got > maxRemovals {
			t.Errorf("%d removals remembered, want at most %d", got, maxRemovals)
		}
		if d, _ := r.Changes(t.Context(), first.Version); !d.Full || len(d.Workers) != 1 {
			t.Errorf("reader from before: full %v with %d workers", d.Full, len(d.Workers))
		}
		recent := r.feed.version - 4
		if d, _ := r.Changes(t.Context(), recent); d.Full || len(d.Removed) != 2 {
			t.Errorf("reader from a moment ago: full %v, %d removed", d.Full, len(d.Removed))
		}
	})
}

// No version of an earlier run is taken for one of this run, even when the clock
// was set back in between, as it is here: every bubble starts at one time.
func TestVersionsGrowOverRestarts(t *testing.T) {
	dir := t.TempDir()
	last := uint64(0)
	for range 3 {
		running(t, dir, DefaultConfig(), func(t *testing.T, r *Registry) {
			d, err := r.Changes(t.Context(), last)
			if err != nil || !d.Full || d.Version <= last || d.Version >= 1<<53 {
				t.Errorf("version %d after %d, full %v, %v", d.Version, last, d.Full, err)
			}
			probe(r, 1, lease)
			time.Sleep(time.Second)
			synctest.Wait()
			last = r.feed.version
		})
	}
}
