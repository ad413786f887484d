package registry

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

func TestWhatTheCoordinatorAddsIsNewsOnce(t *testing.T) {
	dir := t.TempDir()
	running(t, dir, DefaultConfig(), func(t *testing.T, r *Registry) {
		boot, other := model.BootIDFrom([16]byte{1}), model.BootIDFrom([16]byte{2})
		if r.SetBoot(testID(1), boot) || r.SetLabels(testID(1), nil) || r.KeepAlive(testID(1), 0) {
			t.Errorf("a worker that is not known was annotated")
		}
		probe(r, 1, lease)
		version := func() uint64 {
			d, err := r.Changes(t.Context(), 0)
			if err != nil {
				t.Fatal(err)
			}
			return d.Version
		}
		for _, step := range []struct {
			name string
			do   func() bool
			news bool
		}{
			{"a process", func() bool { return r.SetBoot(testID(1), boot) }, true},
			{"the same", func() bool { return r.SetBoot(testID(1), boot) }, false},
			{"another one", func() bool { return r.SetBoot(testID(1), other) }, true},
			{"labels", func() bool { return r.SetLabels(testID(1), map[string]string{"rack": "7"}) }, true},
			{"the same labels", func() bool { return r.SetLabels(testID(1), map[string]string{"rack": "7"}) }, false},
			{"a clock that is right", func() bool { return r.KeepAlive(testID(1), 99*time.Millisecond) }, false},
			{"a clock that is ahead", func() bool { return r.KeepAlive(testID(1), 2*time.Second) }, true},
			{"jitter", func() bool { return r.KeepAlive(testID(1), 2*time.Second+50*time.Millisecond) }, false},
			{"a packet that says the same", func() bool {
				return r.ProbeAck(ProbeAck{ID: testID(1), Host: hostNamed("web", "10.0.0.1"), KeepAlive: lease, Offset: 2 * time.Second, HasOffset: true}).OK
			}, false},
			{"a packet without a clock", func() bool { return probe(r, 1, lease).OK }, false},
			{"a packet that says otherwise", func() bool {
				return r.ProbeAck(ProbeAck{ID: testID(1), Host: hostNamed("web", "10.0.0.1"), KeepAlive: lease, Offset: -time.Minute, HasOffset: true}).OK
			}, true},
			{"a refused packet", func() bool {
				return !r.ProbeAck(ProbeAck{ID: testID(1), Host: hostNamed("web", "10.0.0.1"), Verdict: RefuseRevoked, Offset: time.Hour, HasOffset: true}).OK
			}, true}, // its budget is
		} {
			before := version()
			if !step.do() {
				t.Errorf("%s: false", step.name)
			}
			if got := version() != before; got != step.news {
				t.Errorf("%s: news %v, want %v", step.name, got, step.news)
			}
		}
		w, _ := r.Worker(testID(1))
		if w.Boot != other || w.ClockOffset != -time.Minute || !cmp.Equal(w.Labels, map[string]string{"rack": "7"}) {
			t.Errorf("got %+v", w)
		}
	})
	running(t, dir, DefaultConfig(), func(t *testing.T, r *Registry) {
		if w, ok := r.Worker(testID(1)); !ok || w.Boot != (model.BootID{}) || w.Labels != nil || w.ClockOffset != 0 {
			t.Errorf("after a restart: %+v, %v; want nothing of it, until it is said again", w, ok)
		}
	})
}

func TestAKeepAliveRenewsTheLease(t *testing.T) {
	running(t, t.TempDir(), DefaultConfig(), func(t *testing.T, r *Registry) {
		probe(r, 1, 10*time.Second)
		time.Sleep(8 * time.Second)
		synctest.Wait()
		if !r.KeepAlive(testID(1), 0) || stateOf(r, 1) != model.Registered {
			t.Errorf("got %v, want registered", stateOf(r, 1))
		}
		r.Leave(testID(1))
		if r.KeepAlive(testID(1), 0) {
			t.Errorf("a worker that has left was kept alive")
		}
	})
}
