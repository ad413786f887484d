package head

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudless-fleet/cloudless/pkg/event"
	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

func TestFramesOutsideTimeAreLeftOut(t *testing.T) {
	w := newWorld(t)
	w.limits.Retention = 10 * time.Hour
	w.restart(-1, nil)
	s := w.open(testSource(1, 1))
	sp := newSpooler(t)
	sp.schema(1, gauge("g", "a", "b"))
	sp.frame(1, after(0), 1, 1)
	send(t, s, sp.drain()...)
	f := func(at time.Duration, want Cause) {
		t.Helper()
		got := try(s, sp.frame(1, after(int(at.Seconds())), at.Seconds(), model.Absent()))
		if cause(got) != want {
			t.Errorf("frame at %s: got %v, want %s", at, got, want)
		}
	}
	f(time.Hour+time.Second, CauseFuture)
	f(250*365*24*time.Hour, CauseFuture)
	if newest, _ := w.head.Newest(workerID(1)); newest.At != after(0) {
		t.Errorf("newest frame: got %d, want %d: what is refused does not count", newest.At, after(0))
	}
	f(-11*time.Hour, CauseNone) // beyond the retention: counted, not told
	f(-4*time.Hour, CauseNone)
	f(-time.Second, CauseNone)
	f(time.Second, CauseNone)
	w.wantLines(1, 1, "-14400: -14400 -", "-1: -1 -", "0: 1 1", "1: 1 -")
	w.wantRefused(map[string]int{"refused_future/1": 2, "refused_too_old/1": 1})
	if diff := cmp.Diff(map[Cause]uint64{CauseFuture: 2, CauseTooOld: 1}, w.head.Stats().Refused); diff != "" {
		t.Errorf("refused (-want +got):\n%s", diff)
	}
	if s.Applied() != sp.seq {
		t.Errorf("applied: got %d, want %d: what is left out does not hold up the rest", s.Applied(), sp.seq)
	}
}

func TestLimitsMuteOneStreamOnly(t *testing.T) {
	w := newWorld(t)
	w.limits.MaxSeries, w.limits.MaxNewSeries, w.limits.MaxStreams = 3, 4, 3
	w.restart(-1, nil)
	s := w.open(testSource(1, 1))
	sp := newSpooler(t)
	trial := func(stream model.StreamID, want Cause, parts ...model.Part) {
		t.Helper()
		sp.schema(stream, parts...)
		records := sp.drain()
		send(t, s, records[:len(records)-1]...)
		if refusal := try(s, records[len(records)-1]); cause(refusal) != want {
			t.Errorf("schema of stream %d: got %v, want %s", stream, refusal, want)
		}
	}
	trial(1, CauseNone, gauge("one", "a", "b"))
	trial(2, CauseTooManySeries, gauge("two", "a", "b"))
	sp.frame(1, after(0), 1, 1)
	sp.frame(2, after(0), 2, 2)
	sp.frame(2, after(1), 2, 2)
	send(t, s, sp.drain()...)
	w.wantLines(1, 2)
	w.wantRefused(map[string]int{"refused_limit/-1": 2})
	trial(2, CauseNone, gauge("two", "a"))
	sp.frame(2, after(2), 1)
	send(t, s, sp.drain()...)
	trial(2, CauseNone, gauge("two", "b"))
	sp.frame(2, after(3), 2)
	send(t, s, sp.drain()...)
	trial(2, CauseTooManyNew, gauge("two", "c"))
	sp.frame(1, after(2), 1, 1)
	send(t, s, sp.drain()...)
	w.wantLines(1, 1, "0: 1 1", "2: 1 1")
	w.wantLines(1, 2, "2: 1", "3: 2")
	w.pass(time.Hour)
	trial(2, CauseNone, gauge("two", "c"))
	trial(3, CauseTooManySeries, gauge("three", "c"))
	trial(4, CauseTooManyStreams, gauge("four", "c"))
}

func TestBadRecordsHaveTheirCause(t *testing.T) {
	w := newWorld(t)
	worker := byte(0)
	f := func(want Cause, skipped bool, prepare func(*spooler) frame.Record) {
		t.Helper()
		worker++
		s := w.open(testSource(worker, 1))
		sp := newSpooler(t)
		last := prepare(sp)
		for _, r := range sp.drain() {
			if r.Seq != last.Seq {
				send(t, s, r)
			}
		}
		refusal := try(s, last)
		if cause(refusal) != want {
			t.Errorf("got %v, want %s", refusal, want)
			return
		}
		if refusal.Skipped != skipped {
			t.Errorf("%s: skipped is %t, want %t", want, refusal.Skipped, skipped)
		}
		if skipped != (s.Applied() == last.Seq) {
			t.Errorf("%s: applied is %d", want, s.Applied())
		}
	}
	f(CauseBadPart, true, func(sp *spooler) frame.Record { return sp.add(frame.KindPart, 0, []byte("no part")) })
	f(CauseBadSchema, true, func(sp *spooler) frame.Record { return sp.add(frame.KindSchema, 1, []byte("no schema")) })
	f(CauseBadSchema, true, func(sp *spooler) frame.Record { // one series twice
		a, b := gauge("g", "a"), gauge("g", "a")
		b.Collector = "other"
		var named frame.Schema
		for _, p := range []model.Part{a, b} {
			encoded, err := frame.AppendPart(nil, p)
			if err != nil {
				t.Fatal(err)
			}
			named.Parts = append(named.Parts, frame.PartIDOf(encoded))
			sp.add(frame.KindPart, 0, encoded)
		}
		return sp.add(frame.KindSchema, 1, frame.AppendSchema(nil, named))
	})
	f(CauseUnknownPart, false, func(sp *spooler) frame.Record {
		return sp.add(frame.KindSchema, 1, frame.AppendSchema(nil, frame.Schema{Parts: []frame.PartID{{9}}}))
	})
	f(CauseUnknownSchema, true, func(sp *spooler) frame.Record { return sp.add(frame.KindFrame, 1, []byte("no frame")) })
	f(CauseUnknownSchema, true, func(sp *spooler) frame.Record {
		sp.schema(1, gauge("g", "a"))
		sp.schema(2, gauge("h", "a"))
		sp.frame(1, after(0), 1)
		r := sp.frame(2, after(0), 1)
		r.Stream = 1
		return r
	})
	f(CauseBadFrame, true, func(sp *spooler) frame.Record {
		sp.schema(1, gauge("g", "a"))
		return sp.add(frame.KindFrame, 1, []byte("no frame"))
	})
	f(CauseBadFrame, true, func(sp *spooler) frame.Record {
		sp.schema(1, gauge("g", "a"))
		r := sp.frame(1, after(0), 1)
		r.Payload = append(r.Payload, 1, 2, 3)
		return r
	})
	f(CauseBadRecord, true, func(sp *spooler) frame.Record {
		r := sp.add(frame.KindEvent, 1, nil)
		r.Kind = 77
		return r
	})
	f(CauseBadRecord, true, func(*spooler) frame.Record { return frame.Record{Kind: frame.KindEvent} })
}

func TestAFrameWithoutItsPredecessorWaitsForAKeyFrame(t *testing.T) {
	w := newWorld(t)
	s := w.open(testSource(1, 1))
	sp := newSpooler(t)
	sp.schema(1, gauge("g", "a"))
	for i := range 12 {
		sp.frame(1, after(i), float64(i))
	}
	records := sp.drain()
	send(t, s, append(records[:4:4], records[5:]...)...) // the third frame is lost
	w.wantLines(1, 1, "0: 0", "1: 1", "10: 10", "11: 11")
	w.wantRefused(map[string]int{"refused_damaged/-1": 7})
	if got := w.head.Stats().Refused[CauseNoBase]; got != 7 {
		t.Errorf("got %d frames without base, want 7", got)
	}
}

func TestCausesHaveNames(t *testing.T) {
	seen := map[string]bool{}
	for c := range causes {
		if name := c.String(); name == "" || seen[name] {
			t.Errorf("cause %d: name %q is empty or taken", c, name)
		}
		seen[c.String()] = true
		if gap := c.Gap(); !gap.Refused() || event.Cause(gap).Text() == "" {
			t.Errorf("cause %v: the ledger does not know %q", c, gap)
		}
	}
	if got := fmt.Sprint(causes); got != "cause(22)" {
		t.Errorf("got %q", got)
	}
	if len(Causes()) != int(causes)-1 {
		t.Errorf("got %d causes", len(Causes()))
	}
}
