package store

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
)

// outage is a worker with one stream that was cut off for hours: its spool holds everything,
// and goes on by two sessions.
type outage struct {
	t       testing.TB
	records []frame.Record // by number, from 1 on
	want    []point
}

// newOutage makes frames a minute apart, that of minute 0 the last.
func newOutage(t testing.TB, frames int) *outage {
	sp := newSpooler(t)
	sp.schema(1, gauge("g", "a"))
	o := &outage{t: t}
	for i := range frames {
		at := 60 * (i - frames + 1)
		sp.frame(1, after(at), float64(i))
		o.want = append(o.want, point{At: int64(at), Value: float64(i)})
	}
	o.records = sp.drain()
	return o
}

// of are the records from one number to another, both included.
func (o *outage) of(from, to int) []frame.Record { return o.records[from-1 : to] }

// context is what comes before the records from a number on: declarations, and the frames from
// a key frame on.
func (o *outage) context(first int) []frame.Record {
	context := o.records[:2:2]
	for key := first - 1; key > 2; key-- {
		if h, err := frame.Peek(o.records[key-1].Payload); err == nil && h.Key {
			return append(context, o.of(key, first-1)...)
		}
	}
	return context
}

// begin opens a session for the records from a number on, and brings its decoders up to date.
func (o *outage) begin(s *Store, source Source, first int) *Session {
	o.t.Helper()
	source.First = uint64(first)
	session := openSession(o.t, s, source)
	next := int(session.Resume()) + 1
	send(o.t, session, o.context(max(next, 3))...)
	return session
}

// check finds the frames of records from one number to another, both included, and nothing else.
func (o *outage) check(s *Store, stage string, ranges ...[2]int) {
	o.t.Helper()
	var want []point
	for _, r := range ranges {
		want = append(want, o.want[r[0]-3:r[1]-2]...)
	}
	wantDiff(o.t, stage, want, seriesOfDevice(o.t, stored(o.t, s, named("g")), "a"))
}

func TestLiveAndBackfillSideBySide(t *testing.T) {
	s := open(t, testConfig(t.TempDir()))
	o := newOutage(t, 300) // five hours
	live := o.begin(s, testSource(1, 1), 283)
	send(t, live, o.of(283, 290)...)
	o.check(s, "live only", [2]int{283, 290})

	back := o.begin(s, backfill(1, 1, 1), 1)
	if stats := s.Stats(); stats.Sessions != 2 || stats.Workers != 1 {
		t.Errorf("%d sessions of %d workers, want 2 of 1", stats.Sessions, stats.Workers)
	}
	liveAt, backAt := 290, 2
	for backAt < 150 {
		send(t, back, o.of(backAt+1, backAt+10)...)
		backAt += 10
		if liveAt < 302 {
			liveAt++
			send(t, live, o.of(liveAt, liveAt)...)
		}
		o.check(s, "side by side", [2]int{3, backAt}, [2]int{283, liveAt})
		if backAt == 82 {
			pass(t, s)
			o.check(s, "sealed in the middle", [2]int{3, backAt}, [2]int{283, liveAt})
		}
	}
	awaitDurable(t, back, uint64(backAt))
	awaitDurable(t, live, uint64(liveAt))
	newest, _ := s.Newest(workerID(1))
	if got, want := int64(newest.At), testNow.UnixMilli(); got != want {
		t.Errorf("newest row is %d ms away from the live one", got-want)
	}

	// Backfill that has run into what live has sent: duplicates.
	rest := o.begin(s, backfill(1, 1, 1), 1)
	if got := rest.Resume(); got != 152 {
		t.Errorf("resume of the backfill is %d, want 152", got)
	}
	send(t, rest, o.of(153, 302)...)
	awaitDurable(t, rest, 302)
	if got := s.Stats().Duplicates; got != 20 {
		t.Errorf("%d duplicates, want 20", got)
	}
	send(t, live, o.of(3, 302)...) // and the other way round
	atEveryStage(t, s, func(s *Store, stage string) {
		o.check(s, stage, [2]int{3, 302})
		if got := openSession(t, s, testSource(1, 1)).Resume(); got != 302 {
			t.Errorf("%s: resume is %d, want 302", stage, got)
		}
	})
}

// TestDuplicatesThatWereTakenAreAcknowledged: a session has to know that what another
// one has stored a moment ago is durable.
func TestDuplicatesThatWereTakenAreAcknowledged(t *testing.T) {
	s := open(t, testConfig(t.TempDir()))
	o := newOutage(t, 50)
	live := o.begin(s, testSource(1, 1), 21)
	back := o.begin(s, backfill(1, 1, 1), 1) // before the other one has anything
	send(t, live, o.of(21, 52)...)
	send(t, back, o.of(3, 52)...)
	awaitDurable(t, back, 52)
	awaitDurable(t, live, 52)
	o.check(s, "all", [2]int{3, 52})
}

func TestLateDataOfAnEarlierBoot(t *testing.T) {
	s := open(t, testConfig(t.TempDir()))
	o := newOutage(t, 120)
	send(t, o.begin(s, testSource(1, 1), 1), o.of(1, 12)...)
	pass(t, s)

	now := newSpooler(t)
	now.schema(1, gauge("g", "a"))
	now.frame(1, after(60), 1000)
	now.frame(1, after(120), 1001)
	live := openSession(t, s, testSource(1, 2))
	send(t, live, now.drain()...)
	back := o.begin(s, backfill(1, 1, 1), 1)
	if got := back.Resume(); got != 12 {
		t.Errorf("resume of the boot before is %d, want 12", got)
	}
	send(t, back, o.of(13, 122)...)
	o.want = append(o.want, point{At: 60, Value: 1000}, point{At: 120, Value: 1001})
	rows := s.Live(workerID(1))
	if len(rows) != 1 || rows[0].Values[0] != 1001 {
		t.Errorf("live rows: got %+v", rows)
	}
	atEveryStage(t, s, func(s *Store, stage string) { o.check(s, stage, [2]int{3, 124}) })
}

// TestInAnyPiecesAndOrder delivers a history in stretches that overlap, in any order, with
// passes and restarts in between.
func TestInAnyPiecesAndOrder(t *testing.T) {
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 1))
		config := testConfig(t.TempDir())
		s := open(t, config)
		o := newOutage(t, 100)
		last := len(o.records)
		has := make([]bool, last+1)
		deliver := func(first, next int) {
			source := testSource(1, 1)
			if random.IntN(2) == 0 {
				source = backfill(1, 1, 1)
			}
			session := o.begin(s, source, first)
			from := max(first, int(session.Resume())+1)
			for i := first; i < next; i++ {
				has[i] = true
			}
			if from < next {
				send(t, session, o.of(from, next-1)...)
				awaitDurable(t, session, uint64(next-1))
			}
		}
		for range 12 {
			first := 3 + random.IntN(last-10)
			deliver(first, min(last+1, first+1+random.IntN(40)))
			switch random.IntN(4) {
			case 0:
				pass(t, s)
			case 1:
				closeStore(t, s)
				s = open(t, config)
			}
			var want []point
			for i := 3; i <= last; i++ {
				if has[i] {
					want = append(want, o.want[i-3])
				}
			}
			wantDiff(t, "some", want, seriesOfDevice(t, stored(t, s, named("g")), "a"))
		}
		deliver(1, last+1)
		o.check(s, "all", [2]int{3, last})
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
		atEveryStage(t, s, func(s *Store, stage string) { o.check(s, stage, [2]int{3, last}) })
	}
}

func TestAgeDecidesWhetherLateDataIsTaken(t *testing.T) {
	config := testConfig(t.TempDir())
	config.Retention = 3 * time.Hour
	s := open(t, config)
	o := newOutage(t, 241) // four hours
	back := o.begin(s, backfill(1, 1, 1), 1)
	send(t, back, o.of(3, 243)...)
	awaitDurable(t, back, 243)
	if n := s.Stats().Refused[CauseTooOld]; n != 60 {
		t.Errorf("%d frames were too old, want 60", n)
	}
	atEveryStage(t, s, func(s *Store, stage string) { o.check(s, stage, [2]int{63, 243}) })
}
