package registry

import (
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudless-fleet/cloudless/pkg/boltfile"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

func TestRegisterAckIsIdempotent(t *testing.T) {
	running(t, t.TempDir(), DefaultConfig(), func(t *testing.T, r *Registry) {
		first := probe(r, 1, lease)
		if !first.OK || first.Instance != "web" || first.MaxRetries != 0 {
			t.Fatalf("first answer %+v", first)
		}
		version := r.feed.version
		for range 10 {
			time.Sleep(10 * time.Second)
			if again := probe(r, 1, lease); again != first {
				t.Errorf("asked again: %+v, want %+v", again, first)
			}
		}
		if r.feed.version != version || r.Stats().Suspicions != 0 {
			t.Errorf("asking again changed something: %d changes", r.feed.version-version)
		}
	})
}

func TestBudgetThroughTheEngine(t *testing.T) {
	dir := t.TempDir()
	cfg := DefaultConfig()
	refused := func(r *Registry) Reply {
		return r.ProbeAck(ProbeAck{ID: testID(1), Host: hostNamed("web", "10.0.0.1"), Verdict: RefusePolicy, Message: "no"})
	}
	running(t, dir, cfg, func(t *testing.T, r *Registry) {
		for want := cfg.RetryLimit - 1; want >= 0; want-- {
			if got := refused(r); got.OK || got.MaxRetries != want || got.Message != "no" || got.State != model.Probed {
				t.Errorf("refused: %+v, want %d retries", got, want)
			}
		}
		time.Sleep(20 * time.Second)
		if got := refused(r); got.OK || got.MaxRetries != 0 || !strings.Contains(got.Message, "another 40s") {
			t.Errorf("in cool-down: %+v", got)
		}
		if got := probe(r, 1, 0); got.OK || got.MaxRetries != 0 {
			t.Errorf("admitted in cool-down: %+v", got)
		}
		if s := r.Stats(); s.Answers[RefusePolicy] != 3 || s.CoolingDown != 2 || s.Answers[Admit] != 0 {
			t.Errorf("counted %v and %d cooling down", s.Answers, s.CoolingDown)
		}
	})
	running(t, dir, cfg, func(t *testing.T, r *Registry) { // the cool-down outlives a restart
		if got := probe(r, 1, 0); got.OK || got.MaxRetries != 0 {
			t.Errorf("in cool-down after a restart: %+v", got)
		}
		time.Sleep(cfg.CoolDown)
		if got := refused(r); got.MaxRetries != cfg.RetryLimit-1 {
			t.Errorf("after the cool-down: %+v", got)
		}
		if got := probe(r, 1, 0); !got.OK || got.Instance != "web" {
			t.Errorf("admitted: %+v", got)
		}
	})
}

func TestInstanceNamesStick(t *testing.T) {
	dir := t.TempDir()
	cfg := DefaultConfig()
	running(t, dir, cfg, func(t *testing.T, r *Registry) {
		for i, want := range []string{"web", "web-2", "web-3"} {
			if got := probe(r, i, 0).Instance; got != want {
				t.Errorf("worker %d: %q, want %q", i, got, want)
			}
		}
		time.Sleep(time.Minute) // all expired
		moved := r.ProbeAck(ProbeAck{ID: testID(1), Host: hostNamed("db", "10.0.0.7"), Source: netip.MustParseAddr("10.0.0.7")})
		if moved.Instance != "web-2" {
			t.Errorf("renamed host: %q, want web-2", moved.Instance)
		}
		if w, _ := r.Worker(testID(1)); w.Host.Hostname != "db" || w.Source.String() != "10.0.0.7" {
			t.Errorf("renamed host: %v from %v", w.Host, w.Source)
		}
	})
	running(t, dir, cfg, func(t *testing.T, r *Registry) {
		if got := probe(r, 5, 0).Instance; got != "web-4" {
			t.Errorf("new worker: %q, want web-4", got)
		}
		var got []string
		for _, w := range r.Workers() {
			got = append(got, w.Instance)
		}
		if diff := cmp.Diff([]string{"web", "web-2", "web-3", "web-4"}, got); diff != "" {
			t.Errorf("instances (-want +got):\n%s", diff)
		}
		if !r.Forget(testID(1)) || r.Forget(testID(1)) {
			t.Error("forgetting a worker once")
		}
		if got := probe(r, 6, 0).Instance; got == "web" || got == "web-3" {
			t.Errorf("new worker got the name of another one: %q", got)
		}
	})
	r := open(t, dir, cfg)
	if _, ok := r.Worker(testID(1)); ok {
		t.Error("the forgotten worker is back after a restart")
	}
}

func TestFleetIsFull(t *testing.T) {
	cfg := DefaultConfig()
	cfg.MaxWorkers, cfg.MaxCandidates = 3, 5
	running(t, t.TempDir(), cfg, func(t *testing.T, r *Registry) {
		for i := range 3 {
			probe(r, i, 0)
		}
		if got := probe(r, 3, 0); got.OK || got.Message != "fleet is full" || got.MaxRetries != 2 || got.Instance != "" {
			t.Errorf("the fourth: %+v", got)
		}
		if !probe(r, 2, 0).OK {
			t.Error("a member is refused in a full fleet")
		}
		// A thousand strangers do not make it remember more than five.
		for i := range 1000 {
			r.ProbeAck(ProbeAck{ID: testID(1000 + i), Host: hostNamed("x", "10.0.0.1")})
		}
		s := r.Stats()
		if s.Members != 3 || len(r.Candidates()) != 5 || s.Evicted != 996 || len(r.slots) > 10 || s.Timers > 8 {
			t.Errorf("%d members, %d candidates, %d evicted, %d slots, %d timers", s.Members, len(r.Candidates()), s.Evicted, len(r.slots), s.Timers)
		}
		if got := r.Candidates()[0].ID; got != testID(1999) {
			t.Errorf("first candidate %v, want the one heard last", got)
		}
		time.Sleep(2 * boltfile.SlowInterval)
		if s := r.Stats(); s.Unsaved != 0 {
			t.Errorf("%d unsaved", s.Unsaved)
		}
		r.Forget(testID(0))
		if !probe(r, 3, 0).OK {
			t.Error("refused although there is room again")
		}
		time.Sleep(CandidateMemory)
		synctest.Wait()
		if got := len(r.Candidates()); got != 0 {
			t.Errorf("%d candidates after an hour of silence", got)
		}
	})
}

func TestUnusableAnnouncements(t *testing.T) {
	running(t, t.TempDir(), DefaultConfig(), func(t *testing.T, r *Registry) {
		for _, e := range []ProbeAck{
			{Host: hostNamed("web", "10.0.0.1")},
			{ID: testID(1), Host: model.HostInfo{Hostname: strings.Repeat("x", 256)}},
			{ID: testID(1), Host: model.HostInfo{Hostname: "\xff"}},
			{ID: testID(1), Host: model.HostInfo{Ports: make([]model.PortInfo, 33)}},
			{ID: testID(1), Host: model.HostInfo{Ports: []model.PortInfo{{Daemon: strings.Repeat("x", 65)}}}},
			{ID: testID(1), Version: strings.Repeat("x", 129)},
		} {
			if got := r.ProbeAck(e); got.OK || got.State != 0 || got.Message == "" {
				t.Errorf("%+v: %+v", e, got)
			}
		}
		if s := r.Stats(); s.Answers[RefuseInvalid] != 6 || s.Members != 0 || len(r.Candidates()) != 0 {
			t.Errorf("%d refusals, %d members, %d candidates", s.Answers[RefuseInvalid], s.Members, len(r.Candidates()))
		}
	})
}

func TestConflictIsVisible(t *testing.T) {
	running(t, t.TempDir(), DefaultConfig(), func(t *testing.T, r *Registry) {
		for range 3 {
			for _, addr := range []string{"10.0.0.1", "10.0.0.2"} {
				r.ProbeAck(ProbeAck{ID: testID(1), Host: hostNamed("web", addr), Source: netip.MustParseAddr(addr)})
				time.Sleep(5 * time.Second)
			}
		}
		w, _ := r.Worker(testID(1))
		if !w.Conflict || w.Source.String() != "10.0.0.1" || w.Rival == nil || w.Rival.Source.String() != "10.0.0.2" || w.Instance != "web" {
			t.Errorf("worker %+v with rival %+v", w, w.Rival)
		}
		if s := r.Stats(); s.Conflicts != 1 || s.TurnsTaken != w.Conflicts || w.Conflicts == 0 {
			t.Errorf("%d conflicts, %d turns; want 1, %d", s.Conflicts, s.TurnsTaken, w.Conflicts)
		}
		r.Forget(testID(1))
		if s := r.Stats(); s.Conflicts != 0 {
			t.Errorf("%d conflicts of forgotten workers", s.Conflicts)
		}
	})
}
