package registry

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/boltfile"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

func TestRestartKnowsItsWorkers(t *testing.T) {
	dir := t.TempDir()
	cfg := DefaultConfig()
	running(t, dir, cfg, func(t *testing.T, r *Registry) {
		for i := range 5 {
			probe(r, i, lease)
		}
		time.Sleep(10 * time.Second)
		for i := range 4 {
			r.Contact(testID(i), time.Time{})
		}
		r.Leave(testID(3))
		time.Sleep(29 * time.Second) // 4 expires, the others are suspect
		r.ProbeAck(ProbeAck{ID: testID(9), Host: hostNamed("new", "10.0.0.9"), Verdict: Hold})
		r.ProbeAck(ProbeAck{ID: testID(8), Host: hostNamed("not", "10.0.0.8"), Verdict: RefusePolicy})
		r.Contact(testID(0), time.Time{})
	})
	// Each bubble starts at the same time: the clock was set back, so to speak.
	running(t, dir, cfg, func(t *testing.T, r *Registry) {
		start := time.Now()
		want := []model.WorkerState{model.Suspect, model.Suspect, model.Suspect, model.Left, model.Expired}
		for i, want := range want {
			if got := stateOf(r, i); got != want {
				t.Errorf("worker %d after the restart: %v, want %v", i, got, want)
			}
		}
		if got := stateOf(r, 9); got != model.Pending {
			t.Errorf("worker 9 after the restart: %v, want pending", got)
		}
		if w, _ := r.Worker(testID(8)); w.State != model.Probed || w.RetriesLeft != 2 {
			t.Errorf("worker 8 after the restart: %v with %d retries, want probed with 2", w.State, w.RetriesLeft)
		}
		passUntil(start, lease/2-1)
		r.Contact(testID(1), time.Time{})
		if got := stateOf(r, 0); got != model.Suspect {
			t.Errorf("just before half a lease: %v, want suspect", got)
		}
		passUntil(start, lease/2)
		for i, want := range []model.WorkerState{model.Expired, model.Registered, model.Expired, model.Left, model.Expired} {
			if got := stateOf(r, i); got != want {
				t.Errorf("worker %d half a lease later: %v, want %v", i, got, want)
			}
		}
		if reply := probe(r, 2, lease); !reply.OK || reply.Instance != "web-3" || reply.State != model.Registered {
			t.Errorf("the expired worker asks: %+v", reply)
		}
	})
}

// A registry that dies without Close has kept what is older than the persist
// interval.
func TestKilledAfterPersistInterval(t *testing.T) {
	dir, copied := t.TempDir(), t.TempDir()
	running(t, dir, DefaultConfig(), func(t *testing.T, r *Registry) {
		probe(r, 1, lease)
		time.Sleep(DefaultConfig().PersistInterval)
		synctest.Wait()
		if s := r.Stats(); s.Unsaved != 0 || s.Writes == 0 {
			t.Errorf("%d unsaved after %d writes", s.Unsaved, s.Writes)
		}
		copyFile(t, dir, copied)
	})
	r := open(t, copied, DefaultConfig())
	if w, ok := r.Worker(testID(1)); !ok || w.Instance != "web" || w.State != model.Suspect {
		t.Errorf("worker after the kill: %+v %v", w, ok)
	}
}

func TestFloodIsOneWrite(t *testing.T) {
	running(t, t.TempDir(), DefaultConfig(), func(t *testing.T, r *Registry) {
		for i := range 2000 {
			probe(r, i, lease)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if s := r.Stats(); s.Writes > 2 || s.WrittenValues < 2000 || s.Unsaved != 0 {
			t.Errorf("2000 new workers: %d transactions for %d values, %d unsaved", s.Writes, s.WrittenValues, s.Unsaved)
		}
		before := r.Stats().WrittenValues
		for i := range 2000 {
			probe(r, i, lease)
			r.Contact(testID(i), time.Time{})
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if got := r.Stats().WrittenValues - before; got != 0 {
			t.Errorf("renewals wrote %d values, want 0", got)
		}
	})
}

// A disk that fails for a while costs nothing but the wait for the next try.
func TestDiskFailsForAWhile(t *testing.T) {
	dir, elsewhere := t.TempDir(), t.TempDir()
	running(t, dir, DefaultConfig(), func(t *testing.T, r *Registry) {
		broken, _, err := openDisk(elsewhere, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		broken.Close()
		exchange := func(d *boltfile.File) *boltfile.File {
			r.saving.Lock()
			defer r.saving.Unlock()
			old := r.disk
			r.disk = d
			return old
		}
		working := exchange(broken)
		probe(r, 1, lease)
		time.Sleep(2 * boltfile.RetryInterval)
		synctest.Wait()
		if s := r.Stats(); s.WriteErrors < 2 || s.Unsaved != 1 {
			t.Errorf("%d failed writes, %d unsaved; want a few, 1", s.WriteErrors, s.Unsaved)
		}
		exchange(working)
		time.Sleep(2 * boltfile.RetryInterval)
		synctest.Wait()
		if s := r.Stats(); s.Unsaved != 0 || s.Writes == 0 {
			t.Errorf("%d unsaved, %d writes; want 0 and some", s.Unsaved, s.Writes)
		}
	})
}
