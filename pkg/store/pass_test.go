package store

import (
	"fmt"
	"sync"
	"syscall"
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// mixed makes two workers with everything that a lane can have, sends it, and returns
// what a query finds. Worker 1 goes on later, in session.
func mixed(t testing.TB, s *Store) (session *Session, sp *spooler, want map[string][]point) {
	t.Helper()
	session, sp = openSession(t, s, testSource(1, 1)), newSpooler(t)
	sp.schema(1, gauge("g", "a", "b"))
	sp.schema(2, gauge("h", "a"))
	for i := range 15 {
		sp.frame(1, after(i), float64(i), float64(-i))
		sp.frame(2, after(10*i), float64(i*i))
	}
	sp.frame(1, after(15), 15, model.Absent())
	sp.schema(1, gauge("g", "a", "c"))
	sp.frame(1, after(16), 16, 160)
	send(t, session, sp.drain()...)

	gone := newSpooler(t)
	gone.schema(1, gauge("g", "a"))
	gone.frame(1, after(0), 1)
	gone.frame(1, after(1), 2)
	send(t, openSession(t, s, testSource(2, 1)), gone.drain()...)
	if err := s.MarkStale(workerID(2), after(30)); err != nil {
		t.Fatal(err)
	}
	want = map[string][]point{
		`{__name__="g", dev="a", instance="host1", job="node"}`: nil,
		`{__name__="g", dev="b", instance="host1", job="node"}`: nil,
		`{__name__="g", dev="c", instance="host1", job="node"}`: points(16, 160),
		`{__name__="h", dev="a", instance="host1", job="node"}`: nil,
		`{__name__="g", dev="a", instance="host2", job="node"}`: append(points(0, 1, 2), point{At: 30, Ended: true}),
	}
	add := func(name, dev string, p point) {
		key := fmt.Sprintf(`{__name__="%s", dev="%s", instance="host1", job="node"}`, name, dev)
		want[key] = append(want[key], p)
	}
	for i := range 17 {
		add("g", "a", point{At: int64(i), Value: float64(i)})
	}
	for i := range 15 {
		add("g", "b", point{At: int64(i), Value: float64(-i)})
		add("h", "a", point{At: int64(10 * i), Value: float64(i * i)})
	}
	add("g", "b", point{At: 15, Ended: true})
	return session, sp, want
}

func TestReopeningAtAnyStageGivesTheSameAnswers(t *testing.T) {
	s := open(t, testConfig(t.TempDir()))
	_, _, want := mixed(t, s)
	atEveryStage(t, s, func(s *Store, stage string) { wantDiff(t, stage, want, stored(t, s, anySeries())) })
}

func TestRowsGoOnWhereAPassHasCut(t *testing.T) {
	s := open(t, testConfig(t.TempDir()))
	session, sp := openSession(t, s, testSource(1, 1)), newSpooler(t)
	sp.schema(1, gauge("g", "a"))
	var want []point
	for i := range 40 {
		sp.frame(1, after(i), float64(i))
		want = append(want, point{At: int64(i), Value: float64(i)})
		send(t, session, sp.drain()...)
		if i%7 == 6 {
			pass(t, s)
			wantSeries(t, s, "g", "a", want...)
		}
	}
	if stats := s.Stats(); stats.SealedRows != 35 || stats.Rows != 5 {
		t.Errorf("%d rows are sealed and %d open, want 35 and 5", stats.SealedRows, stats.Rows)
	}
	atEveryStage(t, s, func(s *Store, _ string) { wantSeries(t, s, "g", "a", want...) })
}

// TestRowsAreVisibleWithoutABreak asks all the time while rows come and passes move them:
// what was there stays, every row once.
func TestRowsAreVisibleWithoutABreak(t *testing.T) {
	s := open(t, testConfig(t.TempDir()))
	session, sp := openSession(t, s, testSource(1, 1)), newSpooler(t)
	sp.schema(1, gauge("g", "a"))
	sp.frame(1, after(0), 0)
	send(t, session, sp.drain()...)
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for before := 0; !t.Failed(); {
				select {
				case <-stop:
					return
				default:
				}
				got := seriesOfDevice(t, stored(t, s, named("g")), "a")
				if len(got) < before {
					t.Errorf("%d rows after there were %d", len(got), before)
				}
				before = len(got)
				for i, p := range got {
					if (p != point{At: int64(i), Value: float64(i)}) {
						t.Errorf("row %d is %+v", i, p)
						return
					}
				}
			}
		})
	}
	for i := 1; i < 400; i++ {
		sp.frame(1, after(i), float64(i))
		send(t, session, sp.drain()...)
		if i%10 == 0 {
			pass(t, s)
		}
	}
	close(stop)
	readers.Wait()
}

// TestAPassThatFailsChangesNothing has the disk fail at each change that a pass makes.
func TestAPassThatFailsChangesNothing(t *testing.T) {
	for _, fails := range []error{syscall.EIO, syscall.ENOSPC} {
		for n := int64(0); ; n++ {
			d := newDisk(uint64(n))
			s := openOn(t, d)
			session, sp, want := mixed(t, s)
			awaitDurable(t, session, sp.seq)
			s.committing.Lock() // only the pass writes
			d.stopAfter(n, fails)
			err := s.Pass()
			failed := d.goOn()
			s.committing.Unlock()
			stage := fmt.Sprintf("%v at change %d (%v)", fails, n, err)
			wantDiff(t, stage, want, stored(t, s, anySeries()))

			// It goes on.
			sp.frame(2, after(200), 7)
			send(t, session, sp.drain()...)
			h := `{__name__="h", dev="a", instance="host1", job="node"}`
			want[h] = append(want[h], point{At: 200, Value: 7})
			wantDiff(t, stage+", one more row", want, stored(t, s, anySeries()))
			awaitDurable(t, session, sp.seq)
			pass(t, s)
			wantDiff(t, stage+", then a pass", want, stored(t, s, anySeries()))
			closeStore(t, s)
			wantDiff(t, stage+", then reopened", want, stored(t, openOn(t, d), anySeries()))
			if t.Failed() {
				return
			}
			if !failed {
				if n < 10 {
					t.Errorf("a pass makes %d changes: the test does not test it", n)
				}
				break
			}
		}
	}
}

// TestEndedInTheMiddleOfAPass ends the process, or the power, at each change that a pass
// makes.
func TestEndedInTheMiddleOfAPass(t *testing.T) {
	for _, power := range []bool{false, true} {
		for n := int64(0); ; n++ {
			d := newDisk(uint64(n))
			s := openOn(t, d)
			session, sp, want := mixed(t, s)
			awaitDurable(t, session, sp.seq)
			_ = s.flush() // the end of worker 2
			s.committing.Lock()
			d.stopAfter(n, syscall.EIO)
			err := s.Pass()
			failed := d.left.Load() == 0
			stage := fmt.Sprintf("power %t, ended at change %d (%v)", power, n, err)
			after := d
			if power {
				after = diskOf(d.Cut(uint64(n)))
			} else {
				d.Kill()
				after = diskOf(d.Disk)
			}
			later := openOn(t, after)
			wantDiff(t, stage, want, stored(t, later, anySeries()))
			pass(t, later)
			wantDiff(t, stage+", then a pass", want, stored(t, later, anySeries()))
			closeStore(t, later)
			wantDiff(t, stage+", then reopened", want, stored(t, openOn(t, after), anySeries()))
			s.committing.Unlock()
			if t.Failed() || !failed {
				break
			}
		}
	}
}

// TestRowsThatCannotBeReadNowStay: a pass that cannot open the journal's files does not take
// its rows for lost.
func TestRowsThatCannotBeReadNowStay(t *testing.T) {
	d := newDisk(1)
	s := openOn(t, d)
	session, sp, want := mixed(t, s)
	awaitDurable(t, session, sp.seq)
	d.blind.Store(true)
	if err := s.Pass(); err == nil {
		t.Error("a pass succeeded that could read nothing")
	}
	d.blind.Store(false)
	wantDiff(t, "after", want, stored(t, s, anySeries()))
	pass(t, s)
	atEveryStage(t, s, func(s *Store, stage string) { wantDiff(t, stage, want, stored(t, s, anySeries())) })
}
