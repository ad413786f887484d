package collector

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// told is a view that answers are given to, and the workers that ended.
type told struct {
	*fleetView
	ended []model.WorkerID
	now   time.Time
}

func newTold() *told {
	v := &told{now: time.Unix(1e9, 0)}
	v.fleetView = newFleetView(nil, func(row api.RegisteredWorker, at time.Time) {
		v.fleetView.size() // no lock is held
		v.ended = append(v.ended, row.ID)
	}, quiet(), func() time.Time { return v.now })
	return v
}

// step is an answer that arrives.
type step func(*told)

func full(since, version uint64, rows ...api.RegisteredWorker) step {
	return func(v *told) {
		v.polled(since, api.WorkerChanges{Version: version, Full: true, Now: 1e12, Workers: rows})
	}
}

func delta(since, version uint64, rows ...api.RegisteredWorker) step {
	return func(v *told) { v.polled(since, api.WorkerChanges{Version: version, Now: 1e12, Workers: rows}) }
}

func removal(since, version uint64, ids ...model.WorkerID) step {
	return func(v *told) { v.polled(since, api.WorkerChanges{Version: version, Now: 1e12, Removed: ids}) }
}

func refresh(version uint64, rows ...api.RegisteredWorker) step {
	return func(v *told) {
		v.refreshed(api.WorkerChanges{Version: version, Full: true, Now: 1e12, Workers: rows})
	}
}

const (
	registered = model.Registered
	suspect    = model.Suspect
	expired    = model.Expired
	left       = model.Left
)

// of is a row of a worker that was heard at the coordinator's present.
func of(n int, state model.WorkerState) api.RegisteredWorker {
	one := row(n, state)
	one.LastContact = 1e12
	return one
}

// stale is a row of a worker that was heard longer ago than queries look back.
func stale(n int, state model.WorkerState) api.RegisteredWorker {
	one := row(n, state)
	one.LastContact = 1e12 - model.Millis(lookback.Milliseconds())
	return one
}

func TestAnswersInEveryOrder(t *testing.T) {
	type states map[int]model.WorkerState
	type ends []int
	f := func(what string, want states, ended ends, steps ...step) {
		t.Helper()
		v := newTold()
		for _, arrive := range steps {
			arrive(v)
		}
		got := states{}
		for n := range 10 {
			if one, known := v.get(id(n)); known {
				got[n] = one.State
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: states (-want +got):\n%s", what, diff)
		}
		var wantEnded []model.WorkerID
		for _, n := range ended {
			wantEnded = append(wantEnded, id(n))
		}
		if diff := cmp.Diff(wantEnded, v.ended); diff != "" {
			t.Errorf("%s: ended (-want +got):\n%s", what, diff)
		}
	}
	f("a delta changes what it names", states{1: registered, 2: suspect, 3: registered}, nil,
		full(0, 5, of(1, registered), of(2, registered)), delta(5, 7, of(2, suspect), of(3, registered)))
	f("nothing has changed", states{1: registered}, nil, full(0, 5, of(1, registered)), delta(5, 5), delta(5, 5))
	f("expired, told twice", states{1: expired}, ends{1},
		full(0, 5, of(1, registered)), delta(5, 6, of(1, expired)), delta(6, 7, of(1, expired)))
	f("expired, back, left", states{1: left}, ends{1, 1},
		full(0, 5, of(1, suspect)), delta(5, 6, of(1, expired)), delta(6, 7, of(1, registered)), delta(7, 8, of(1, left)))
	f("expired, then forgotten", states{}, ends{1},
		full(0, 5, of(1, registered)), delta(5, 6, of(1, expired)), removal(6, 7, id(1)))
	f("forgotten alive", states{}, ends{1}, full(0, 5, of(1, registered)), removal(5, 6, id(1), id(9)))
	f("missing in a full answer", states{3: registered}, ends{1},
		full(0, 5, of(1, registered), stale(2, expired), of(3, registered)), full(5, 9, of(3, registered)))

	f("found by a refresh before any poll", states{1: registered}, nil, refresh(5, of(1, registered)), full(0, 5, of(1, registered)))
	f("found by a refresh that overtakes a poll", states{1: registered, 2: registered}, nil,
		full(0, 5, of(1, registered)), refresh(7, of(1, registered), of(2, registered)), delta(5, 6, of(1, suspect)))
	f("an overtaken full poll does not lose what a refresh found", states{2: registered}, nil,
		refresh(7, of(2, registered)), full(0, 5, of(1, registered)))
	f("a later poll goes on from the refresh", states{1: expired, 2: registered}, ends{1},
		full(0, 5, of(1, registered)), refresh(7, of(1, registered), of(2, registered)), delta(5, 8, of(2, registered), of(1, expired)))
	f("ended by a refresh, told again by the poll it overtook", states{1: expired}, ends{1},
		full(0, 5, of(1, registered)), refresh(6, of(1, expired)), delta(5, 6, of(1, expired)))
	f("ended by a poll, told again by the refresh after it", states{1: expired}, ends{1},
		full(0, 5, of(1, registered)), delta(5, 6, of(1, expired)), refresh(6, of(1, expired)))
	f("a refresh that is overtaken brings nothing back", states{1: expired}, ends{1, 2},
		full(0, 5, of(1, registered), of(2, registered)), delta(5, 6, of(1, expired)), removal(6, 7, id(2)),
		refresh(5, of(1, registered), of(2, registered)))

	f("the coordinator restarts: everybody is suspect", states{1: suspect, 2: expired}, ends{2},
		full(0, 5, of(1, registered), of(2, registered)), full(5, 1000, of(1, suspect), of(2, expired)), delta(1000, 1001))
	f("the register was lost, its numbers begin anew", states{2: registered}, ends{1},
		full(0, 1000, of(1, registered)), full(1000, 3), delta(3, 4, of(2, registered)))
	f("over before anybody looked: recently, and long ago", states{1: expired, 2: left, 3: expired, 4: left}, ends{1, 2},
		full(0, 5, of(1, expired), of(2, left), stale(3, expired), stale(4, left)))
	f("registered and expired between two polls", states{1: expired}, ends{1}, full(0, 5), delta(5, 9, of(1, expired)))
}

func TestALateRefreshTellsLeases(t *testing.T) {
	v := newTold()
	leased := func(state model.WorkerState, left int64) api.RegisteredWorker {
		one := of(1, state)
		one.LeaseRemaining = left
		return one
	}
	full(0, 5, leased(registered, 30_000))(v)
	v.now = v.now.Add(10 * time.Second)
	refresh(4, leased(registered, 25_000))(v)
	one, _ := v.get(id(1))
	if one.LeaseRemaining != 25_000 || !one.at.Equal(v.now) {
		t.Errorf("same state: got %d ms at %v, want 25000 ms now", one.LeaseRemaining, one.at)
	}
	delta(5, 6, leased(suspect, 15_000))(v)
	refresh(5, leased(registered, 30_000))(v)
	if one, _ = v.get(id(1)); one.LeaseRemaining != 15_000 || one.State != suspect {
		t.Errorf("other state: got %d ms of a %v worker, want 15000 ms of a suspect one", one.LeaseRemaining, one.State)
	}
}

func TestWhoIsExpected(t *testing.T) {
	v := newTold()
	if v.isLoaded() {
		t.Error("loaded before the first answer")
	}
	full(0, 5, of(1, registered), of(2, suspect), of(3, expired), of(4, left))(v)
	got := []bool{v.expected(id(1)), v.expected(id(2)), v.expected(id(3)), v.expected(id(4)), v.expected(id(5))}
	if want := []bool{true, true, false, false, false}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if !v.isLoaded() || v.size() != 4 {
		t.Errorf("loaded %v with %d workers, want 4", v.isLoaded(), v.size())
	}
	want := map[model.WorkerState]int{registered: 1, suspect: 1, expired: 1, left: 1}
	if diff := cmp.Diff(want, v.stats().Workers); diff != "" {
		t.Errorf("by state (-want +got):\n%s", diff)
	}
}
