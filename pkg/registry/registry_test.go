package registry

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
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

func TestSuspectAndExpiredToTheTick(t *testing.T) {
	running(t, t.TempDir(), DefaultConfig(), func(t *testing.T, r *Registry) {
		start := time.Now()
		probe(r, 1, 10*time.Second)
		steps := []struct {
			at   time.Duration
			do   func()
			want model.WorkerState
		}{
			{0, nil, model.Registered},
			{5*time.Second - 1, nil, model.Registered},
			{5 * time.Second, nil, model.Suspect},
			{8 * time.Second, func() { r.Contact(testID(1), time.Time{}) }, model.Registered},
			{13*time.Second - 1, nil, model.Registered},
			{13 * time.Second, nil, model.Suspect},
			{18*time.Second - 1, nil, model.Suspect},
			{18 * time.Second, nil, model.Expired},
			{500 * time.Second, nil, model.Expired},
			{501 * time.Second, func() { probe(r, 1, 4*time.Second) }, model.Registered}, // a shorter lease
			{503*time.Second - 1, nil, model.Registered},
			{503 * time.Second, nil, model.Suspect},
			{505 * time.Second, nil, model.Expired},
			{506 * time.Second, func() { r.Contact(testID(1), time.Now().Add(-time.Second)) }, model.Registered},
			{507 * time.Second, func() { probe(r, 1, 20*time.Second) }, model.Registered}, // a longer one
			{517*time.Second - 1, nil, model.Registered},
			{517 * time.Second, nil, model.Suspect},
			{527 * time.Second, nil, model.Expired},
		}
		for _, step := range steps {
			passUntil(start, step.at)
			if step.do != nil {
				step.do()
			}
			if got := stateOf(r, 1); got != step.want {
				t.Errorf("after %v: %v, want %v", step.at, got, step.want)
			}
		}
		if s := r.Stats(); s.Expirations != 3 || s.Suspicions != 5 || s.Revivals != 4 || s.States[model.Expired] != 1 {
			t.Errorf("%d expirations, %d suspicions, %d revivals; want 3, 5, 4", s.Expirations, s.Suspicions, s.Revivals)
		}
	})
}

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
		if s := r.Stats(); s.Unsaved != 0 || s.Writes != 1 {
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
		time.Sleep(2 * saveOthers)
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

// A clock that steps, without a monotonic reading to fall back on, expires
// nobody who was heard.
func TestClockStep(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var offset time.Duration
		now := func() time.Time {
			mu.Lock()
			defer mu.Unlock()
			return time.Now().Round(0).Add(offset)
		}
		r, err := Open(dir, DefaultConfig(), Deps{Now: now})
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- r.Run(t.Context()) }()
		probe(r, 1, 10*time.Second)
		probe(r, 2, 10*time.Second)
		mu.Lock()
		offset = -time.Hour
		mu.Unlock()
		for range 20 {
			time.Sleep(4 * time.Second)
			r.Contact(testID(1), time.Time{})
			if got := stateOf(r, 1); got != model.Registered {
				t.Fatalf("the worker that is heard is %v", got)
			}
		}
		r.Close()
		if s := r.Stats(); s.Expirations != 0 {
			t.Errorf("%d expirations", s.Expirations)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// A hundred thousand workers, leases from one second to a minute, silent from
// different times on: each expires exactly once, exactly when its lease is
// spent, and nobody else is looked at. The disk is left out of it.
func TestManyExpireExactly(t *testing.T) {
	const n = 100_000
	cfg := DefaultConfig()
	cfg.MaxWorkers = n
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r, err := Open(dir, cfg, Deps{})
		if err != nil {
			t.Fatal(err)
		}
		defer r.disk.close() // instead of Close, which writes
		ctx, cancel := context.WithCancel(t.Context())
		var firing sync.WaitGroup
		defer firing.Wait()
		defer cancel()
		firing.Go(func() { r.fireUntil(ctx) })
		start := time.Now()
		due, keepAlive := make([]time.Time, n), make([]time.Duration, n)
		for i := range n {
			keepAlive[i] = time.Duration(1000+i%59_001) * time.Millisecond
			probe(r, i, keepAlive[i])
			due[i] = start.Add(keepAlive[i])
		}
		for second := 4; second <= 20; second += 4 {
			passUntil(start, time.Duration(second)*time.Second)
			for i := range n {
				if i%20 >= second && due[i].After(time.Now()) {
					r.Contact(testID(i), time.Time{})
					due[i] = time.Now().Add(keepAlive[i])
				}
			}
		}
		early := r.Stats()
		passUntil(start, 2*time.Minute)
		s := r.Stats()
		if s.States[model.Expired] != n || s.Expirations != n {
			t.Fatalf("%d expired, %d expirations; want %d", s.States[model.Expired], s.Expirations, n)
		}
		for i, at := range due {
			if w, _ := r.Worker(testID(i)); !w.Since.Equal(at) {
				t.Fatalf("%s with a lease of %v expired %v late", w.Instance, w.KeepAlive, w.Since.Sub(at))
			}
		}
		if fired := s.TimersFired - early.TimersFired; fired > 3*n {
			t.Errorf("%d deadlines looked at for %d workers", fired, n)
		}
		if s.Timers != 0 {
			t.Errorf("%d timers left", s.Timers)
		}
	})
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
