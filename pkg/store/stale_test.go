package store

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

func wantSeries(t *testing.T, s *Store, name, device string, want ...point) {
	t.Helper()
	if diff := cmp.Diff(want, seriesOfDevice(t, stored(t, s, named(name)), device)); diff != "" {
		t.Errorf("series %s of %s (-want +got):\n%s", name, device, diff)
	}
}

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
	wantSeries(t, s, "g", "a", point{At: 1, Value: 5}, point{At: 2, Ended: true}, point{At: 4, Value: 6})
	wantSeries(t, s, "g", "b", point{At: 0, Value: 1}, point{At: 1, Ended: true})
	if got := s.Stats().Markers; got != 2 {
		t.Errorf("got %d markers, want 2", got)
	}
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
	wantSeries(t, s, "kept", "x", point{At: 0, Value: 1}, point{At: 1, Value: 7}, point{At: 2, Value: 10})
	wantSeries(t, s, "g", "a", point{At: 0, Value: 2}, point{At: 1, Ended: true})
	wantSeries(t, s, "g", "b", point{At: 0, Value: 3}, point{At: 1, Value: 5}, point{At: 2, Value: 8})
	wantSeries(t, s, "g", "c", point{At: 1, Value: 6}, point{At: 2, Value: 9})
	wantSeries(t, s, "gone", "y", point{At: 0, Value: 4}, point{At: 1, Ended: true})
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
	wantSeries(t, s, "moves", "a", point{At: 0, Value: 1}, point{At: 1, Value: 2}, point{At: 3, Value: 3})
}

func TestANewBootEndsWhatItNoLongerHas(t *testing.T) {
	s := open(t, testConfig(t.TempDir()))
	sp := newSpooler(t)
	sp.schema(1, gauge("g", "a", "b"))
	sp.frame(1, after(0), 1, 2)
	send(t, openSession(t, s, testSource(1, 1)), sp.drain()...)
	sp = newSpooler(t)
	sp.schema(1, gauge("g", "b"))
	sp.frame(1, after(5), 3)
	send(t, openSession(t, s, testSource(1, 2)), sp.drain()...)
	wantSeries(t, s, "g", "a", point{At: 0, Value: 1}, point{At: 5, Ended: true})
	wantSeries(t, s, "g", "b", point{At: 0, Value: 2}, point{At: 5, Value: 3})
}

func TestARenamedWorkerEndsItsOldSeries(t *testing.T) {
	s := open(t, testConfig(t.TempDir()))
	sp := newSpooler(t)
	sp.schema(1, gauge("g", "a"))
	sp.frame(1, after(0), 1)
	send(t, openSession(t, s, testSource(1, 1)), sp.drain()...)
	renamed := testSource(1, 2)
	renamed.Instance = "other"
	sp = newSpooler(t)
	sp.schema(1, gauge("g", "a"))
	sp.frame(1, after(1), 2)
	send(t, openSession(t, s, renamed), sp.drain()...)
	want := map[string][]point{
		`{__name__="g", dev="a", instance="host1", job="node"}`: {{At: 0, Value: 1}, {At: 0, Ended: true}},
		`{__name__="g", dev="a", instance="other", job="node"}`: {{At: 1, Value: 2}},
	}
	if diff := cmp.Diff(want, stored(t, s, named("g"))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
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
	}
	wantSeries(t, s, "g", "a", point{At: 0, Value: 1}, point{At: 60, Ended: true})
	wantSeries(t, s, "h", "a", point{At: 60, Value: 2}, point{At: 60, Ended: true})
	wantSeries(t, s, "other", "a", point{At: 0, Value: 1})
	if n := len(stored(t, s, named("g"))); n != 1 {
		t.Errorf("got %d series g, want 1: a column that never had a value has no series", n)
	}
	// It comes back on the same connection.
	sp.frame(1, after(90), 3, 4)
	send(t, session, sp.drain()...)
	wantSeries(t, s, "g", "a", point{At: 0, Value: 1}, point{At: 60, Ended: true}, point{At: 90, Value: 3})
}

func TestMarkStaleKnowsWorkersFromBeforeTheRestart(t *testing.T) {
	config := testConfig(t.TempDir())
	s := open(t, config)
	sp := newSpooler(t)
	sp.schema(1, gauge("g", "a", "b"))
	sp.frame(1, after(0), 1, 2)
	sp.frame(1, after(1), 1, model.Absent())
	session := openSession(t, s, testSource(1, 1))
	send(t, session, sp.drain()...)
	awaitDurable(t, session, sp.seq)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, config)
	if err := s.MarkStale(workerID(9), after(9)); err != nil {
		t.Errorf("unknown worker: %v", err)
	}
	if err := s.MarkStale(workerID(1), after(30)); err != nil {
		t.Fatal(err)
	}
	if err := s.MarkStale(workerID(1), after(40)); err != nil {
		t.Fatal(err)
	}
	wantSeries(t, s, "g", "a", point{At: 0, Value: 1}, point{At: 1, Value: 1}, point{At: 30, Ended: true})
	wantSeries(t, s, "g", "b", point{At: 0, Value: 2}, point{At: 1, Ended: true})
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
	sp.frame(1, after(1), 1, 2)
	history := sp.drain()
	session := openSession(t, s, testSource(1, 1))
	send(t, session, history...)
	newest, known := s.Newest(workerID(1))
	if want := (Newest{At: model.Millis(after(3).UnixMilli()), Received: testNow}); !known || newest != want {
		t.Errorf("newest: got %+v, %t, want %+v", newest, known, want)
	}
	if !s.Connected(workerID(1)) || s.Connected(workerID(2)) {
		t.Error("connected: want worker 1 only")
	}
	rows := s.Live(workerID(1))
	if len(rows) != 2 || rows[0].Stream != 1 || rows[1].Stream != 2 {
		t.Fatalf("live rows: got %+v", rows)
	}
	if diff := cmp.Diff([]float64{1, 2}, rows[0].Values); diff != "" {
		t.Errorf("values (-want +got):\n%s", diff)
	}
	if got := rows[0].Parts[0].Families[0].Name; got != "g" {
		t.Errorf("part of stream 1: got family %q", got)
	}
	awaitDurable(t, session, sp.seq)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	// After a restart the context tells the time, but not when it came.
	s = open(t, config)
	send(t, openSession(t, s, testSource(1, 1)), history...)
	newest, known = s.Newest(workerID(1))
	if want := (Newest{At: model.Millis(after(3).UnixMilli()), Received: time.Time{}}); !known || newest != want {
		t.Errorf("newest after restart: got %+v, %t, want %+v", newest, known, want)
	}
}
