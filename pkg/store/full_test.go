package store

import (
	"errors"
	"math"
	"syscall"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

func TestNoNewDataWithoutFreeDisk(t *testing.T) {
	s := open(t, testConfig(t.TempDir()))
	session := openSession(t, s, testSource(1, 1))
	sp := newSpooler(t)
	sp.schema(1, gauge("g", "a"))
	sp.frame(1, after(0), 1)
	history := sp.drain()
	send(t, session, history...)
	s.free.Store(false) // as watchSpace does: see TestMinFree
	refused := sp.frame(1, after(1), 2)
	wantTemporary(t, trySend(session, refused), CauseDiskFull)
	_, err := s.OpenSession(testSource(1, 1))
	wantTemporary(t, err, CauseDiskFull)
	wantTemporary(t, s.MarkStale(workerID(1), after(9)), CauseDiskFull)
	wantSeries(t, s, "g", "a", points(0, 1)...)
	awaitDurable(t, session, 3) // what was taken before
	if stats := s.Stats(); !stats.DiskFull || stats.Refused[CauseDiskFull] != 3 {
		t.Errorf("got stats %+v", stats)
	}

	s.watchSpace()
	// The session has refused a record: it takes nothing behind it.
	if err := trySend(session, frame.Record{Seq: 5, Kind: frame.KindEvent}); causeOf(t, err) != CauseClosed {
		t.Errorf("after the refusal: got %v", err)
	}
	session = openSession(t, s, testSource(1, 1))
	send(t, session, history...)
	send(t, session, refused)
	s.sweep(testNow)
	if stats := s.Stats(); stats.FreeBytes == 0 || stats.DiskBytes == 0 || stats.DiskFull {
		t.Errorf("got stats %+v", stats)
	}
	atEveryStage(t, s, func(s *Store, _ string) { wantSeries(t, s, "g", "a", points(0, 1, 2)...) })
}

func TestMinFree(t *testing.T) {
	config := testConfig(t.TempDir())
	config.MinFree = 1 << 62
	s := open(t, config)
	_, err := s.OpenSession(testSource(1, 1))
	wantTemporary(t, err, CauseDiskFull)
	if !s.Stats().DiskFull {
		t.Error("it is not said that the disk is full")
	}
}

// TestAFullDiskRefusesForATime fills the disk up while a worker sends. It connects again and
// again until it gets through, as workers do.
func TestAFullDiskRefusesForATime(t *testing.T) {
	d := newDisk(1)
	s := openOn(t, d)
	sp := newSpooler(t)
	sp.schema(1, gauge("g", "a"))
	session := openSession(t, s, testSource(1, 1))
	history := sp.drain()
	send(t, session, history...)
	awaitDurable(t, session, sp.seq)
	d.SetRoom(5000)
	var want []point
	var refusal error
	for i := 0; refusal == nil; i++ {
		if i == 1e6 {
			t.Fatal("the disk is full, and everything is taken")
		}
		r := sp.frame(1, after(i), float64(i))
		history = append(history, r)
		if refusal = trySend(session, r); refusal == nil {
			want = append(want, point{At: int64(i), Value: float64(i)})
		}
	}
	wantTemporary(t, refusal, CauseDiskFull)
	_, err := s.OpenSession(testSource(1, 1))
	wantTemporary(t, err, CauseDiskFull)
	wantSeries(t, s, "g", "a", want...)
	if err := s.Pass(); err == nil {
		t.Error("a pass succeeded on a full disk")
	}
	wantSeries(t, s, "g", "a", want...)
	if !s.Failing() || !s.Stats().Failing {
		t.Error("nothing is acknowledged, and nobody is told")
	}

	d.SetRoom(1 << 30)
	awaitDurable(t, session, 2+uint64(len(want))) // by itself
	session = openSession(t, s, testSource(1, 1))
	if got, want := session.Resume(), 2+uint64(len(want)); got != want {
		t.Errorf("resume is %d, want %d", got, want)
	}
	send(t, session, history...)
	want = append(want, point{At: int64(len(want)), Value: float64(len(want))})
	awaitDurable(t, session, sp.seq)
	if s.Failing() {
		t.Error("everything is well, and it does not say so")
	}
	atEveryStage(t, s, func(s *Store, _ string) { wantSeries(t, s, "g", "a", want...) })
}

// TestOneFolderThatFails: each part of the store has a log or files of its own.
func TestOneFolderThatFails(t *testing.T) {
	for _, folder := range []string{journalName, schemasName} { // the ledger may wait: the journal has what it has
		for _, full := range []bool{false, true} {
			fails, cause := error(syscall.EIO), CauseFailed
			if full {
				fails, cause = syscall.ENOSPC, CauseDiskFull
			}
			t.Run(folder+" "+fails.Error(), func(t *testing.T) {
				d := newDisk(1)
				s := openOn(t, d)
				session, sp, want := mixed(t, s)
				history := sp.drain()
				awaitDurable(t, session, sp.seq)
				durable := sp.seq
				d.stopIn(folder, 0, fails)

				// Something for every log.
				tooOld := testNow.Add(-31 * 24 * time.Hour)
				sp.schema(3, gauge("late", "a"))
				sp.frame(3, after(0), 1)
				sp.frame(3, tooOld, 2)
				sp.frame(3, after(1), 3)
				more := sp.drain()
				taken := durable
				for _, r := range more {
					if err := trySend(session, r); err != nil {
						wantTemporary(t, err, cause)
						break
					}
					taken = r.Seq
				}
				if err := s.flush(); err == nil {
					t.Error("a group commit succeeded")
				}
				if seq, _ := session.Durable(); seq != durable {
					t.Errorf("%d is said to be durable, want %d", seq, durable)
				}
				_, err := s.OpenSession(testSource(1, 1))
				wantTemporary(t, err, cause)
				wantDiff(t, "while it fails", want[`{__name__="h", dev="a", instance="host1", job="node"}`], seriesOfDevice(t, stored(t, s, named("h")), "a"))

				d.goOn()
				awaitDurable(t, session, taken)
				session = openSession(t, s, testSource(1, 1))
				for _, r := range append(history, more...) {
					if r.Seq > session.Resume() || r.Kind != frame.KindFrame {
						send(t, session, r)
					}
				}
				awaitDurable(t, session, sp.seq)
				late := `{__name__="late", dev="a", instance="host1", job="node"}`
				if got := stored(t, s, named("late"))[late]; len(got) == 0 || got[0] != (point{Value: 1}) {
					t.Errorf("after it failed: got %v", got)
				}
				if n := s.Stats().Refused[CauseTooOld]; n != 1 {
					t.Errorf("%d frames were too old, want 1", n)
				}
				delete(want, late)
				atEveryStage(t, s, func(s *Store, stage string) {
					got := stored(t, s, anySeries())
					delete(got, late)
					wantDiff(t, stage, want, got)
				})
			})
		}
	}
}

func TestOwnMetricsRecoverFromAFullDisk(t *testing.T) {
	d := newDisk(1)
	s := openOn(t, d)
	w, err := s.Local(Source{Worker: workerID(7), Instance: "collector"})
	if err != nil {
		t.Fatal(err)
	}
	write := func(second int) error {
		return w.Write(after(second), []model.Metric{{Name: "x", Type: model.Gauge, Labels: model.LabelsOf("dev", "a"), Value: float64(second)}})
	}
	d.SetRoom(0)
	second := 0
	for ; ; second++ {
		if err := write(second); err != nil {
			break
		}
		if second == 1e6 {
			t.Fatal("the disk is full, and everything is taken")
		}
	}
	if err := write(second); err == nil {
		t.Error("again: taken")
	}
	d.SetRoom(math.MaxInt64 / 2)
	if err := errors.Join(s.flush(), write(second+1)); err != nil {
		t.Fatal(err)
	}
	got := seriesOfDevice(t, stored(t, s, named("x")), "a")
	if last := got[len(got)-1]; last.At != int64(second+1) {
		t.Errorf("newest is %+v, want that of second %d", last, second+1)
	}
}
