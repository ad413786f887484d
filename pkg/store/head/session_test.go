package head

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/cloudless-fleet/cloudless/pkg/durable"
	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/journal"
)

func TestRecordsAreStoredOnce(t *testing.T) {
	w := newWorld(t)
	session := w.open(testSource(1, 1))
	sp := newSpooler(t)
	sp.schema(1, gauge("g", "a"))
	sp.frame(1, after(0), 1)
	sp.frame(1, after(1), 2)
	records := sp.drain()
	send(t, session, records...)
	send(t, session, records...)
	send(t, session, records[3], records[2], records[0])
	sp.frame(1, after(2), 3)
	records = append(records, sp.drain()...)
	send(t, session, records[4]) // duplicates did not disturb the decoder
	w.wantLines(1, 1, "0: 1", "1: 2", "2: 3")
	if stats := w.head.Stats(); stats.Samples != 3 || stats.Frames != 3 || stats.Duplicates != 7 {
		t.Errorf("got %d samples, %d frames and %d duplicates, want 3, 3 and 7", stats.Samples, stats.Frames, stats.Duplicates)
	}
	if session.Applied() != 5 {
		t.Errorf("applied: got %d, want 5", session.Applied())
	}
	// The next session of the boot resumes, and what comes again is not stored.
	session = w.open(testSource(1, 1))
	if session.Resume() != 5 {
		t.Errorf("resume: got %d, want 5", session.Resume())
	}
	send(t, session, records...)
	send(t, session, sp.frame(1, after(3), 4))
	if n := w.journal.count(journal.KindRecord); n != 4 {
		t.Errorf("got %d frames in the journal, want 4", n)
	}
}

func TestOneRecordOnTwoSessionsIsStoredOnce(t *testing.T) {
	w := newWorld(t)
	sp := newSpooler(t)
	sp.schema(1, gauge("g", "a"))
	for i := range 6 {
		sp.frame(1, after(i), float64(i))
	}
	records := sp.drain()
	live := testSource(1, 1)
	live.First = 6 // the fourth frame; what is before comes as context
	first := w.open(live)
	if first.Resume() != 5 {
		t.Fatalf("resume: got %d, want 5: nothing of the stretch is here", first.Resume())
	}
	send(t, first, records...)
	w.wantLines(1, 1, "3: 3", "4: 4", "5: 5")
	back := testSource(1, 1)
	back.Backfill = true
	second := w.open(back)
	if second.Resume() != 0 {
		t.Errorf("resume of the backlog: got %d, want 0", second.Resume())
	}
	send(t, second, records...)
	w.wantLines(1, 1, "0: 0", "1: 1", "2: 2", "3: 3", "4: 4", "5: 5")
	if second.Applied() != 8 {
		t.Errorf("applied: got %d, want 8", second.Applied())
	}
	sp.frame(1, after(6), 6)
	send(t, first, sp.drain()...) // the live session goes on undisturbed
	if n := w.journal.count(journal.KindRecord); n != 7 {
		t.Errorf("got %d frames in the journal, want 7", n)
	}
	if n := w.journal.count(journal.KindBase); n != 1 {
		t.Errorf("got %d bases, want 1: the live session began with a delta frame", n)
	}
	if again := w.open(testSource(1, 1)); again.Resume() != 9 {
		t.Errorf("resume: got %d, want 9", again.Resume())
	}
}

func TestASessionEndsTheOneOfItsRole(t *testing.T) {
	w := newWorld(t)
	live, back := testSource(1, 1), testSource(1, 1)
	back.Backfill = true
	first, second := w.open(live), w.open(back)
	third := w.open(live)
	event := frame.Record{Seq: 1, Kind: frame.KindEvent, Payload: []byte("x")}
	if got := cause(try(first, event)); got != CauseSuperseded {
		t.Errorf("the session before: got %v", got)
	}
	send(t, second, event)
	send(t, third, event)
	if stats := w.head.Stats(); stats.Sessions != 2 || stats.Workers != 1 {
		t.Errorf("got %+v", stats)
	}
	third.Close()
	third.Close()
	if got := cause(try(third, event)); got != CauseClosed {
		t.Errorf("closed session: got %v", got)
	}
	if !w.head.Connected(workerID(1)) {
		t.Error("not connected, but the backlog is")
	}
	w.head.Close()
	if got := cause(try(second, event)); got != CauseClosed {
		t.Errorf("closed head: got %v", got)
	}
	if _, refusal := w.head.OpenSession(live); cause(refusal) != CauseClosed {
		t.Errorf("session of a closed head: got %v", refusal)
	}
	if w.head.Connected(workerID(1)) {
		t.Error("connected to a closed head")
	}
}

func TestEventsReachTheirTakerOnce(t *testing.T) {
	w := newWorld(t)
	s := w.open(testSource(1, 1))
	for _, seq := range []uint64{1, 2, 2, 1, 3} {
		send(t, s, frame.Record{Seq: seq, Kind: frame.KindEvent, Payload: []byte{'a' + byte(seq)}})
	}
	if diff := cmp.Diff([]string{"1:b", "2:c", "3:d"}, w.events); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestNumbersPassedOverCountAsReceived(t *testing.T) {
	w := newWorld(t)
	s := w.open(testSource(1, 1))
	e := func(seq uint64) frame.Record { return frame.Record{Seq: seq, Kind: frame.KindEvent} }
	send(t, s, e(3), e(4), e(9))
	if s.Applied() != 9 {
		t.Errorf("applied: got %d, want 9", s.Applied())
	}
	send(t, s, e(6)) // it comes after all
	send(t, s, e(6), e(3))
	stats := w.head.Stats()
	if stats.Events != 4 || stats.Missing != 6 || stats.Duplicates != 2 {
		t.Errorf("got %d events, %d missing, %d duplicates, want 4, 6, 2", stats.Events, stats.Missing, stats.Duplicates)
	}
	if got := w.open(testSource(1, 1)).Resume(); got != 9 {
		t.Errorf("resume: got %d, want 9", got)
	}
}

func TestAFrameThatComesTooLateForItsSuccessorsIsRefused(t *testing.T) {
	w := newWorld(t)
	s := w.open(testSource(1, 1))
	sp := newSpooler(t)
	sp.schema(1, gauge("g", "a"))
	sp.schema(2, gauge("h", "a"))
	for i := range 4 {
		sp.frame(1, after(i), 1)
		sp.frame(2, after(i), 2)
	}
	r := sp.drain()
	send(t, s, r[:4]...)
	send(t, s, r[4], r[5], r[6])
	send(t, s, r[8], r[7]) // stream 2 does not mind
	send(t, s, r[11])      // nor one that waits for its predecessor: counted, not told
	if got := try(s, r[9]); got != nil {
		t.Errorf("the frame that was missing: got %v", got)
	}
	send(t, s, r[10])
	w.wantLines(1, 1, "0: 1", "1: 1", "2: 1", "3: 1")
	w.wantLines(1, 2, "0: 2", "1: 2", "2: 2")
	w.wantRefused(map[string]int{"refused_damaged/-1": 1})

	sp.schema(3, gauge("i", "a"))
	sp.keyEvery = 1
	sp.schema(4, gauge("j", "a"))
	sp.frame(4, after(0), 1)
	sp.frame(4, after(1), 1)
	r = sp.drain()
	send(t, s, r[:4]...)
	send(t, s, r[5])
	if got := try(s, r[4]); cause(got) != CauseOrder || !got.Skipped {
		t.Errorf("a key frame behind a later one: got %v", got)
	}
	w.wantRefused(map[string]int{"refused_damaged/-1": 1, "refused_other/-1": 1})
}

func TestADamagedFrameDoesNotTakeTheNewestRowAlong(t *testing.T) {
	w := newWorld(t)
	s := w.open(testSource(1, 1))
	sp := newSpooler(t)
	sp.schema(1, gauge("g", "a"))
	sp.frame(1, after(0), 1)
	send(t, s, sp.drain()...)
	r := sp.frame(1, after(1), 2)
	r.Payload = append(r.Payload, 1)
	if got := cause(try(s, r)); got != CauseBadFrame {
		t.Fatalf("got %v", got)
	}
	rows := w.head.Live(workerID(1))
	if len(rows) != 1 || rows[0].At != after(0) || rows[0].Values[0] != 1 {
		t.Errorf("got %+v, want the row before", rows)
	}
}

func TestSourcesAreChecked(t *testing.T) {
	w := newWorld(t)
	f := func(want Cause, spoil func(*Source)) {
		t.Helper()
		source := testSource(1, 1)
		spoil(&source)
		if _, refusal := w.head.OpenSession(source); cause(refusal) != want {
			t.Errorf("source %+v: got %v, want %v", source, refusal, want)
		}
	}
	f(CauseBadSource, func(s *Source) { s.Worker = model.WorkerID{} })
	f(CauseBadSource, func(s *Source) { s.Boot = model.BootID{} })
	f(CauseBadSource, func(s *Source) { s.Labels = labels.FromStrings("instance", "\xff") })
	f(CauseBadSource, func(s *Source) { s.Labels = labels.FromStrings("__name__", "x") })
	f(CauseNone, func(s *Source) { s.Labels = labels.EmptyLabels() })
	f(CauseNone, func(s *Source) { s.First = 0 })
}

func TestWorkersAreBounded(t *testing.T) {
	w := newWorld(t)
	w.limits.MaxWorkers = 2
	w.restart(-1, nil)
	send(t, w.open(testSource(1, 1)), frame.Record{Seq: 1, Kind: frame.KindEvent})
	w.open(testSource(2, 1)).Close()
	w.open(testSource(3, 1)) // of the second nothing was left but what was received of it
	if _, refusal := w.head.OpenSession(testSource(2, 1)); cause(refusal) != CauseTooManyWorkers || !refusal.Temporary {
		t.Errorf("got %v", refusal)
	}
	if stats := w.head.Stats(); stats.Workers != 2 || stats.Refused[CauseTooManyWorkers] != 1 {
		t.Errorf("got %+v", stats)
	}
}

func TestStretchesOfABootAreBounded(t *testing.T) {
	w := newWorld(t)
	const most = 4096
	var last *Refusal
	for i := range uint64(most + 1) {
		source := testSource(1, 1)
		source.First = 10*i + 10
		s := w.open(source)
		last = try(s, frame.Record{Seq: source.First, Kind: frame.KindEvent})
		if last != nil && i < most {
			t.Fatalf("stretch %d: %v", i, last)
		}
	}
	if cause(last) != CauseTooManyHoles || !last.Temporary {
		t.Errorf("got %v", last)
	}
}

func TestWhatCannotBeWrittenIsNotCounted(t *testing.T) {
	w := newWorld(t)
	s := w.open(testSource(1, 1))
	sp := newSpooler(t)
	sp.schema(1, gauge("g", "a"))
	sp.frame(1, after(0), 1)
	send(t, s, sp.drain()...)
	sp.frame(1, after(1), 2)
	records := sp.drain()
	f := func(want Cause, fail error) {
		t.Helper()
		w.journal.setFail(fail)
		refusal := try(s, records[0])
		if cause(refusal) != want || !refusal.Temporary || refusal.Skipped {
			t.Errorf("%v: got %v, want a temporary %s", fail, refusal, want)
		}
		if again := try(s, records[0]); again != refusal {
			t.Errorf("after it: got %v, want the same", again)
		}
		w.journal.setFail(nil)
		if s.Applied() != 3 {
			t.Errorf("applied: got %d, want 3", s.Applied())
		}
		if rows := w.head.Live(workerID(1)); len(rows) != 1 || rows[0].Values[0] != 1 {
			t.Errorf("newest row: got %+v", rows)
		}
		s = w.open(testSource(1, 1))
		sp2 := newSpooler(t)
		sp2.schema(1, gauge("g", "a"))
		sp2.frame(1, after(0), 1)
		send(t, s, sp2.drain()...) // context
	}
	f(CauseFailed, errTest)
	f(CauseDiskFull, fmt.Errorf("append: %w", durable.ErrFull))
	send(t, s, records...)
	w.wantLines(1, 1, "0: 1", "1: 2")
}

func TestNothingGoesToTheJournalBeforeItsSchema(t *testing.T) {
	w := newWorld(t)
	s := w.open(testSource(1, 1))
	sp := newSpooler(t)
	sp.schema(1, gauge("g", "a"))
	sp.frame(1, after(0), 1)
	records := sp.drain()
	w.logFail = errTest
	if refusal := try(s, records[0]); cause(refusal) != CauseFailed {
		t.Fatalf("got %v", refusal)
	}
	if _, refusal := w.head.OpenSession(testSource(1, 1)); cause(refusal) != CauseFailed || w.journal.len() != 0 {
		t.Errorf("while the log owes a part: got %v", refusal)
	}
	w.logFail = nil
	send(t, w.open(testSource(1, 1)), records...)
	w.restart(-1, nil) // loads the log, in its order
	w.wantLines(1, 1, "0: 1")
}
