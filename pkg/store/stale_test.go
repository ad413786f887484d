package store

import (
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

func TestAnAbsentColumnEndsOnce(t *testing.T) {
	s := open(t, testConfig(t.TempDir()))
	session := openSession(t, s, testSource(1, 1))
	sp := newSpooler(t)
	sp.schema(1, gauge("g", "a", "b"))
	none := model.Absent()
	sp.frame(1, after(0), none, 1) // a was never there: nothing to end
	sp.frame(1, after(1), 5, none)
	sp.frame(1, after(2), none, none)
	sp.frame(1, after(3), none, none)
	sp.frame(1, after(4), 6, none)
	send(t, session, sp.drain()...)
	atEveryStage(t, s, func(s *Store, _ string) {
		wantSeries(t, s, "g", "a", point{At: 1, Value: 5}, point{At: 2, Ended: true}, point{At: 4, Value: 6})
		wantSeries(t, s, "g", "b", point{At: 0, Value: 1}, point{At: 1, Ended: true})
	})
}

func TestSeriesThatLeaveTheirSchemaEnd(t *testing.T) {
	s := open(t, testConfig(t.TempDir()))
	session := openSession(t, s, testSource(1, 1))
	sp := newSpooler(t)
	kept := gauge("kept", "x")
	sp.schema(1, kept, gauge("g", "a", "b"), gauge("gone", "y"))
	sp.frame(1, after(0), 1, 2, 3, 4)
	sp.schema(1, gauge("g", "b", "c"), kept) // other order, one part changed, one gone
	sp.frame(1, after(1), 5, 6, 7)
	sp.frame(1, after(2), 8, 9, 10)
	send(t, session, sp.drain()...)
	atEveryStage(t, s, func(s *Store, _ string) {
		wantSeries(t, s, "kept", "x", points(0, 1, 7, 10)...)
		wantSeries(t, s, "g", "a", point{At: 0, Value: 2}, point{At: 1, Ended: true})
		wantSeries(t, s, "g", "b", points(0, 3, 5, 8)...)
		wantSeries(t, s, "g", "c", points(1, 6, 9)...)
		wantSeries(t, s, "gone", "y", point{At: 0, Value: 4}, point{At: 1, Ended: true})
	})
}

func TestASeriesThatMovesToAnotherStreamDoesNotEnd(t *testing.T) {
	s := open(t, testConfig(t.TempDir()))
	session := openSession(t, s, testSource(1, 1))
	sp := newSpooler(t)
	moves := gauge("moves", "a")
	sp.schema(1, moves, gauge("stays", "a"))
	sp.frame(1, after(0), 1, 1)
	sp.schema(2, moves)
	sp.frame(2, after(1), 2)
	sp.schema(1, gauge("stays", "a"))
	sp.frame(1, after(2), 1)
	sp.frame(2, after(3), 3)
	send(t, session, sp.drain()...)
	atEveryStage(t, s, func(s *Store, _ string) {
		wantSeries(t, s, "moves", "a", point{At: 0, Value: 1}, point{At: 1, Value: 2}, point{At: 3, Value: 3})
	})
}

// TestWhatASeriesWasInAnotherStreamCountsWhenItWasBefore: the volume that says so has
// nothing of the time that is asked for.
func TestWhatASeriesWasInAnotherStreamCountsWhenItWasBefore(t *testing.T) {
	s := open(t, testConfig(t.TempDir()))
	session := openSession(t, s, testSource(1, 1))
	sp := newSpooler(t)
	moves := gauge("moves", "a")
	sp.schema(2, moves)
	sp.frame(2, after(1), 2)
	send(t, session, sp.drain()...)
	pass(t, s)
	sp.schema(1, moves, gauge("stays", "a"))
	sp.frame(1, after(25), 2, 1)
	sp.schema(1, gauge("stays", "a"))
	sp.frame(1, after(30), 1) // moves is not in it, but was in stream 2 a moment ago
	sp.frame(2, after(40), 3)
	send(t, session, sp.drain()...)
	for range 2 {
		got := between(t, s, after(20), after(50), named("moves"))
		wantDiff(t, "from 20 s on", []point{{At: 25, Value: 2}, {At: 40, Value: 3}}, seriesOfDevice(t, got, "a"))
		pass(t, s)
	}
}

func TestANewBootEndsWhatItNoLongerHas(t *testing.T) {
	for _, sealed := range []bool{false, true} {
		s := open(t, testConfig(t.TempDir()))
		sp := newSpooler(t)
		sp.schema(1, gauge("g", "a", "b"))
		sp.frame(1, after(0), 1, 2)
		send(t, openSession(t, s, testSource(1, 1)), sp.drain()...)
		if sealed {
			pass(t, s)
		}
		sp = newSpooler(t)
		sp.schema(1, gauge("g", "b"))
		sp.frame(1, after(5), 3)
		send(t, openSession(t, s, testSource(1, 2)), sp.drain()...)
		atEveryStage(t, s, func(s *Store, _ string) {
			wantSeries(t, s, "g", "a", point{At: 0, Value: 1}, point{At: 5, Ended: true})
			wantSeries(t, s, "g", "b", point{At: 0, Value: 2}, point{At: 5, Value: 3})
		})
	}
}

// named1 renames worker 1.
func named1(boot byte, name string) Source {
	source := testSource(1, boot)
	source.Instance = name
	return source
}

func TestARenamedWorkerEndsItsOldSeries(t *testing.T) {
	want := map[string][]point{
		`{__name__="g", dev="a", instance="host1", job="node"}`:  {{At: 0, Value: 1}, {At: 0, Ended: true}},
		`{__name__="g", dev="a", instance="second", job="node"}`: {{At: 1, Value: 2}, {At: 1, Ended: true}},
		`{__name__="g", dev="a", instance="third", job="node"}`:  {{At: 2, Value: 3}},
	}
	// between is what happens before each of the renames.
	f := func(name string, between func(s *Store) *Store) {
		t.Run(name, func(t *testing.T) {
			s := open(t, testConfig(t.TempDir()))
			for i, name := range []string{"host1", "second", "third"} {
				sp := newSpooler(t)
				sp.schema(1, gauge("g", "a"))
				sp.frame(1, after(i), float64(i+1))
				session, err := s.OpenSession(named1(byte(i), name))
				if err != nil {
					t.Fatal(err)
				}
				send(t, session, sp.drain()...)
				session.Close()
				s = between(s)
			}
			atEveryStage(t, s, func(s *Store, stage string) { wantDiff(t, stage, want, stored(t, s, named("g"))) })
		})
	}
	reopen := func(s *Store) *Store {
		closeStore(t, s)
		return open(t, s.config)
	}
	f("at once", func(s *Store) *Store { return s })
	f("pass", func(s *Store) *Store { pass(t, s); return s })
	f("restart", reopen)
	f("pass and restart", func(s *Store) *Store { pass(t, s); return reopen(s) })
	f("passes and restarts", func(s *Store) *Store { pass(t, s); s = reopen(s); pass(t, s); return reopen(s) })
}

func TestMarkStaleEndsAllSeriesOfAWorker(t *testing.T) {
	s := open(t, testConfig(t.TempDir()))
	sp, other := newSpooler(t), newSpooler(t)
	sp.schema(1, gauge("g", "a", "b"))
	sp.schema(2, gauge("h", "a"))
	sp.frame(1, after(0), 1, model.Absent())
	sp.frame(2, after(60), 2) // its clock is ahead
	session := openSession(t, s, testSource(1, 1))
	send(t, session, sp.drain()...)
	other.schema(1, gauge("other", "a"))
	other.frame(1, after(0), 1)
	send(t, openSession(t, s, testSource(2, 1)), other.drain()...)

	for range 2 { // the second time there is nothing left to do
		if err := s.MarkStale(workerID(1), after(30)); err != nil {
			t.Fatal(err)
		}
		pass(t, s)
	}
	wantSeries(t, s, "g", "a", point{At: 0, Value: 1}, point{At: 60, Ended: true})
	wantSeries(t, s, "h", "a", point{At: 60, Value: 2}, point{At: 60, Ended: true})
	wantSeries(t, s, "other", "a", point{At: 0, Value: 1})
	if n := len(stored(t, s, named("g"))); n != 1 {
		t.Errorf("got %d series g, want 1: a column that never had a value has no series", n)
	}
	if rows := s.Live(workerID(1)); len(rows) != 0 {
		t.Errorf("live rows of a worker that is gone: %+v", rows)
	}
	// It comes back on the same connection.
	sp.frame(1, after(90), 3, 4)
	send(t, session, sp.drain()...)
	atEveryStage(t, s, func(s *Store, _ string) {
		wantSeries(t, s, "g", "a", point{At: 0, Value: 1}, point{At: 60, Ended: true}, point{At: 90, Value: 3})
		wantSeries(t, s, "g", "b", point{At: 90, Value: 4})
		wantSeries(t, s, "h", "a", point{At: 60, Value: 2}, point{At: 60, Ended: true})
		wantSeries(t, s, "other", "a", point{At: 0, Value: 1})
	})
}

// TestMarkStaleKnowsWorkersFromBefore: from before a restart, a pass, or both.
func TestMarkStaleKnowsWorkersFromBefore(t *testing.T) {
	f := func(name string, passes, restarts bool) {
		t.Run(name, func(t *testing.T) {
			config := testConfig(t.TempDir())
			s := open(t, config)
			sp := newSpooler(t)
			sp.schema(1, gauge("g", "a", "b"))
			sp.frame(1, after(0), 1, 2)
			sp.frame(1, after(1), 1, model.Absent())
			session := openSession(t, s, testSource(1, 1))
			send(t, session, sp.drain()...)
			awaitDurable(t, session, sp.seq)
			next := func() {
				if passes {
					pass(t, s)
				}
				if restarts {
					closeStore(t, s)
					s = open(t, config)
				}
			}
			next()
			if err := s.MarkStale(workerID(9), after(9)); err != nil {
				t.Errorf("unknown worker: %v", err)
			}
			for _, second := range []int{30, 40, 50} {
				if err := s.MarkStale(workerID(1), after(second)); err != nil {
					t.Fatal(err)
				}
				next() // the end is remembered
			}
			atEveryStage(t, s, func(s *Store, _ string) {
				wantSeries(t, s, "g", "a", point{At: 0, Value: 1}, point{At: 1, Value: 1}, point{At: 30, Ended: true})
				wantSeries(t, s, "g", "b", point{At: 0, Value: 2}, point{At: 1, Ended: true})
			})
		})
	}
	f("at once", false, false)
	f("restart", false, true)
	f("pass", true, false)
	f("pass and restart", true, true)
}

func TestNewestAndLive(t *testing.T) {
	config := testConfig(t.TempDir())
	s := open(t, config)
	if _, known := s.Newest(workerID(1)); known {
		t.Error("a worker that never came has a newest frame")
	}
	sp := newSpooler(t)
	sp.schema(2, gauge("h", "a"))
	sp.schema(1, gauge("g", "a", "b"))
	sp.frame(2, after(3), 9)
	sp.frame(1, after(0), 7, 2)
	sp.frame(1, after(1), 1, 2)
	session := openSession(t, s, testSource(1, 1))
	send(t, session, sp.drain()...)
	if !s.Connected(workerID(1)) || s.Connected(workerID(2)) {
		t.Error("connected: want worker 1 only")
	}
	check := func(s *Store, stage string, received time.Time) {
		t.Helper()
		newest, known := s.Newest(workerID(1))
		if want := (Newest{At: model.Millis(after(3).UnixMilli()), Received: received}); !known || newest.At != want.At || !newest.Received.Equal(want.Received) {
			t.Errorf("%s: newest: got %+v, %t, want %+v", stage, newest, known, want)
		}
		rows := s.Live(workerID(1))
		if len(rows) != 2 || rows[0].Stream != 1 || rows[1].Stream != 2 || rows[0].At != model.Millis(after(1).UnixMilli()) {
			t.Fatalf("%s: live rows: got %+v", stage, rows)
		}
		wantDiff(t, stage+": values of stream 1", []float64{1, 2}, rows[0].Values)
		wantDiff(t, stage+": values of stream 2", []float64{9}, rows[1].Values)
		if got := rows[0].Parts[0].Model().Families[0].Name; got != "g" {
			t.Errorf("%s: part of stream 1: got family %q", stage, got)
		}
	}
	check(s, "before", testNow)
	session.Close()
	// After a restart it is known what the newest row is, but not when it came.
	atEveryStage(t, s, func(s *Store, stage string) {
		if stage != "at once" {
			check(s, stage, time.Time{})
		}
	})
}
