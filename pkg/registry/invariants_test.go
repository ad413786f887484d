package registry

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Random events happen to one worker; whatever they are, these facts hold.
func TestNextInvariants(t *testing.T) {
	p := testPolicy()
	p.ForgetAfter = 2 * time.Hour
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 0))
		now := t0
		w := NewWorker(testID(1), now, p)
		heard := now // last event that renews a lease
		for i := range 400 {
			if random.IntN(200) == 0 {
				now = now.Add(-time.Duration(random.Int64N(int64(time.Hour))))
				if heard.After(now) {
					heard = now
				}
			} else {
				now = now.Add(time.Duration(random.Int64N(int64(20 * time.Second))))
			}
			e := randomEvent(random)
			before := w
			after, actions := Next(w, e, now, p)
			if !sameWorker(w, before) {
				t.Fatalf("seed %d, event %d: Next changed its argument", seed, i)
			}
			switch e := e.(type) {
			case Contact:
				if at := now.Add(-e.Ago); at.After(heard) && before.Admitted() && before.State != model.Left {
					heard = at
				}
			case ProbeAck:
				if after.State == model.Registered && e.Verdict == Admit {
					heard = now
				}
			}
			if problem := broken(before, e, now, after, actions, heard, p); problem != "" {
				t.Fatalf("seed %d, event %d: %T%+v at %v: %s\nbefore %+v\nafter  %+v\nactions %+v", seed, i, e, e, now, problem, before, after, actions)
			}
			w = after
			if len(actions) > 0 && actions[len(actions)-1] == (Drop{}) {
				w, heard = NewWorker(testID(1), now, p), now
			}
		}
	}
}

func randomEvent(random *rand.Rand) Event {
	switch random.IntN(10) {
	case 0, 1, 2:
		return Deadline{}
	case 3, 4, 5, 6:
		return Contact{Ago: time.Duration(random.Int64N(int64(10 * time.Second)))}
	case 7, 8:
		n := 1 + random.IntN(2)
		addr := fmt.Sprintf("10.0.0.%d", n)
		return ProbeAck{ID: testID(1), Host: hostNamed(fmt.Sprint("h", n), addr), Source: netip.MustParseAddr(addr),
			KeepAlive: time.Duration(random.IntN(3)) * 20 * time.Second, Verdict: Verdict(random.IntN(int(verdictCount)))}
	}
	if random.IntN(5) == 0 {
		return Leave{}
	}
	return Deadline{}
}

// broken names the fact that does not hold, if any.
func broken(before Worker, e Event, now time.Time, after Worker, actions []Action, heard time.Time, p Policy) string {
	_, isDeadline := e.(Deadline)
	probeAck, isProbeAck := e.(ProbeAck)
	acks, changes, persists := 0, 0, 0
	for _, action := range actions {
		switch action := action.(type) {
		case SendRegisterAck:
			acks++
			switch {
			case action.OK && (action.MaxRetries != 0 || after.State != model.Registered || probeAck.Verdict != Admit):
				return "success without admission"
			case !action.OK && action.MaxRetries != after.RetriesLeft:
				return "the retries told are not those left"
			}
		case StateChanged:
			changes++
			if action.From != before.State || action.To != after.State {
				return "a wrong change is told"
			}
		case Persist:
			persists++
		}
	}
	silence := now.Sub(heard)
	switch {
	case acks > 1 || isProbeAck != (acks == 1):
		return "not one answer to a question"
	case (changes == 1) != (before.State != after.State):
		return "change of state not told once"
	case changes > persists || persists > 1:
		return "change of state not kept, or kept twice"
	case after.State == model.Expired && before.State != model.Expired && (!isDeadline || silence < after.KeepAlive):
		return "expired before its lease"
	case after.State == model.Suspect && before.State == model.Registered && (!isDeadline || silence < after.KeepAlive/2):
		return "suspect before half its lease"
	case isDeadline && after.State == model.Registered && silence >= after.KeepAlive/2:
		return "a deadline left it registered although silent"
	case isDeadline && after.State == model.Suspect && silence >= after.KeepAlive:
		return "a deadline left it suspect although its lease is spent"
	case (after.State == model.Expired) && before.State != model.Expired && after.Expirations != before.Expirations+1:
		return "expiry not counted"
	case before.Admitted() && !after.Admitted():
		return "a member ceased to be one"
	case after.RetriesLeft < 0 || after.RetriesLeft > p.RetryLimit:
		return "budget out of bounds"
	case (after.RetriesLeft == 0) == after.CoolDownUntil.IsZero():
		return "no budget without cool-down, or the reverse"
	case after.LeaseFrom.After(now):
		return "lease from the future"
	case after.KeepAlive < p.KeepAliveMin || after.KeepAlive > p.KeepAliveMax:
		return "lease out of bounds"
	case after.Conflict && after.Rival == nil:
		return "conflict without a rival"
	}
	if at, ok := after.Deadline(p); ok && isDeadline && !at.After(now) && (len(actions) == 0 || actions[len(actions)-1] != (Drop{})) {
		return "a deadline changed nothing and is still due"
	}
	return ""
}

// Random calls through the engine; its counters and structures must agree with
// what it shows, and with what a restart finds.
func TestEngineInvariants(t *testing.T) {
	cfg := DefaultConfig()
	cfg.MaxWorkers, cfg.MaxCandidates, cfg.ForgetAfter = 30, 10, time.Hour
	cfg.PersistInterval = time.Minute // fewer waits for the disk
	dir := t.TempDir()
	for seed := range uint64(3) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			r, err := Open(dir, cfg, Deps{})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- r.Run(ctx) }()
			for range 2000 {
				time.Sleep(time.Duration(random.Int64N(int64(time.Second))))
				id := testID(random.IntN(60))
				switch e := randomEvent(random).(type) {
				case ProbeAck:
					e.ID = id
					r.ProbeAck(e)
				case Contact:
					r.Contact(id, time.Now().Add(-e.Ago))
				case Leave:
					r.Leave(id)
				case Deadline:
					if random.IntN(50) == 0 {
						r.Forget(id)
					} else if random.IntN(500) == 0 {
						time.Sleep(70 * time.Minute)
					}
				}
				synctest.Wait()
				if problem := inconsistent(r); problem != "" {
					t.Fatalf("seed %d: %s", seed, problem)
				}
			}
			members, candidates := r.Workers(), len(r.Candidates())
			cancel()
			<-ended
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
			again, err := Open(dir, cfg, Deps{})
			if err != nil {
				t.Fatal(err)
			}
			defer again.Close()
			loaded := again.Workers()
			if len(loaded) != len(members) || len(again.Candidates()) != candidates {
				t.Fatalf("seed %d: %d members and %d candidates, after a restart %d and %d",
					seed, len(members), candidates, len(loaded), len(again.Candidates()))
			}
			for i, w := range loaded {
				if w.ID != members[i].ID || w.Instance != members[i].Instance || !w.LastContact.Equal(members[i].LastContact.Truncate(time.Millisecond)) {
					t.Errorf("seed %d: member %+v, after a restart %+v", seed, members[i], w)
				}
			}
		})
	}
}

func inconsistent(r *Registry) string {
	s := r.Stats()
	now := time.Now()
	var states [model.Left + 1]int
	names := map[string]bool{}
	conflicts := 0
	r.mu.Lock()
	defer r.unlock()
	for id, e := range r.known {
		states[e.w.State]++
		if e.w.Conflict {
			conflicts++
		}
		deadline, ok := e.w.Deadline(r.policy)
		switch {
		case e.w.ID != id || r.slots[e.slot] != e:
			return "entry in a wrong place"
		case e.isMember != e.w.Admitted() || e.isMember != (e.w.Instance != ""):
			return fmt.Sprintf("member %v, state %v, instance %q", e.isMember, e.w.State, e.w.Instance)
		case e.isMember && names[e.w.Instance]:
			return "instance name twice: " + e.w.Instance
		case ok && !deadline.After(now):
			return fmt.Sprintf("%v is overdue by %v", e.w.State, now.Sub(deadline))
		case ok && int64(deadline.Sub(r.epoch)) < e.armed:
			return fmt.Sprintf("timer of a worker %v is too late", e.w.State)
		}
		names[e.w.Instance] = true
	}
	switch {
	case s.States != states:
		return fmt.Sprintf("counted %v, want %v", s.States, states)
	case s.Conflicts != conflicts:
		return fmt.Sprintf("counted %d conflicts, want %d", s.Conflicts, conflicts)
	case s.Members != r.members.Len() || r.members.Len()+r.others.Len() != len(r.known):
		return "lists do not add up"
	case r.members.Len() > r.cfg.MaxWorkers || r.others.Len() > r.cfg.MaxCandidates:
		return "more workers than allowed"
	case len(r.slots)-len(r.freeSlots) != len(r.known) || s.Timers > len(r.known):
		return "slots or timers leak"
	case len(r.names) != r.members.Len():
		return "names leak"
	}
	return ""
}
