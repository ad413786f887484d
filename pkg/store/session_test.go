package store

import (
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/ledger"
)

func TestRecordsAreStoredOnce(t *testing.T) {
	s := open(t, testConfig(t.TempDir()))
	session := openSession(t, s, testSource(1, 1))
	sp := newSpooler(t)
	sp.schema(1, gauge("g", "a"))
	sp.frame(1, after(0), 1)
	sp.frame(1, after(1), 2)
	records := sp.drain()
	send(t, session, records...)
	send(t, session, records...)
	send(t, session, records[3], records[2], records[0])
	if stats := s.Stats(); stats.Samples != 2 || stats.Duplicates != 7 {
		t.Errorf("got %d samples and %d duplicates, want 2 and 7", stats.Samples, stats.Duplicates)
	}
	atEveryStage(t, s, func(s *Store, stage string) {
		wantSeries(t, s, "g", "a", points(0, 1, 2)...)
		// What a later life gets again is a duplicate, too.
		session, err := s.OpenSession(testSource(1, 1))
		if err != nil {
			t.Fatal(err)
		}
		if session.Resume() != 4 {
			t.Errorf("%s: resume is %d, want 4", stage, session.Resume())
		}
		send(t, session, records...)
		wantSeries(t, s, "g", "a", points(0, 1, 2)...)
	})
}

func TestAPassedOverRecordThatComesAfterAllIsTaken(t *testing.T) {
	s := open(t, testConfig(t.TempDir()))
	session := openSession(t, s, testSource(1, 1))
	event := func(seq uint64) error { return trySend(session, frame.Record{Seq: seq, Kind: frame.KindEvent}) }
	for _, seq := range []uint64{1, 5, 6, 5, 3, 7} {
		if err := event(seq); err != nil {
			t.Errorf("record %d: %v", seq, err)
		}
	}
	if stats := s.Stats(); stats.Events != 5 || stats.Duplicates != 1 {
		t.Errorf("got %d events and %d duplicates, want 5 and 1", stats.Events, stats.Duplicates)
	}
	awaitDurable(t, session, 7)
}

func TestFramesOutsideTimeAreLeftOut(t *testing.T) {
	config := testConfig(t.TempDir())
	config.Retention = 10 * time.Hour
	s := open(t, config)
	session := openSession(t, s, testSource(1, 1))
	sp := newSpooler(t)
	sp.schema(1, gauge("g", "a"))
	sp.frame(1, after(0), 1)
	send(t, session, sp.drain()...)
	f := func(at time.Duration, want Cause) {
		t.Helper()
		sp.frame(1, testNow.Add(at), at.Seconds())
		err := trySend(session, sp.drain()[0])
		if got := causeOf(t, err); got != want {
			t.Errorf("frame at %s: got %v, want %s", at, err, want)
		}
	}
	f(time.Hour+time.Second, CauseFuture)
	f(250*365*24*time.Hour, CauseFuture)
	newest, _ := s.Newest(workerID(1))
	if want := model.Millis(testNow.UnixMilli()); newest.At != want {
		t.Errorf("newest frame: got %d, want %d: what is refused does not count", newest.At, want)
	}
	f(-11*time.Hour, CauseNone) // beyond the retention: nobody needs to be told
	f(-9*time.Hour, CauseNone)  // late, but within
	f(-time.Second, CauseNone)
	f(time.Second, CauseNone)
	wantDiff(t, "refused", map[Cause]uint64{CauseFuture: 2, CauseTooOld: 1}, s.Stats().Refused)
	awaitDurable(t, session, sp.seq) // what was left out does not hold up the rest
	totals := s.Ledger().Totals(ledger.Query{Worker: workerID(1)})
	if len(totals) == 0 {
		t.Errorf("the ledger does not know of what was refused")
	}
	atEveryStage(t, s, func(s *Store, stage string) {
		wantSeries(t, s, "g", "a", point{At: -9 * 3600, Value: -9 * 3600}, point{At: -1, Value: -1}, point{At: 0, Value: 1}, point{At: 1, Value: 1})
		wantDiff(t, stage+": totals of the ledger", totals, s.Ledger().Totals(ledger.Query{Worker: workerID(1)}))
	})
}

func TestLimitsMuteOneStreamOnly(t *testing.T) {
	config := testConfig(t.TempDir())
	config.MaxSeries, config.MaxNewSeries = 3, 4
	s := open(t, config)
	session := openSession(t, s, testSource(1, 1))
	sp := newSpooler(t)
	trial := func(stream model.StreamID, want Cause, parts ...model.Part) {
		t.Helper()
		sp.schema(stream, parts...)
		records := sp.drain()
		send(t, session, records[:len(records)-1]...)
		if err := trySend(session, records[len(records)-1]); causeOf(t, err) != want {
			t.Errorf("schema of stream %d: got %v, want %s", stream, err, want)
		}
	}
	trial(1, CauseNone, gauge("one", "a", "b"))
	trial(2, CauseTooManySeries, gauge("two", "a", "b"))
	sp.frame(1, after(0), 1, 1)
	sp.frame(2, after(0), 2, 2)
	sp.frame(2, after(1), 2, 2)
	send(t, session, sp.drain()...)
	if n := len(stored(t, s, named("two"))); n != 0 {
		t.Errorf("refused stream stored %d series", n)
	}
	trial(2, CauseNone, gauge("two", "a"))
	trial(2, CauseNone, gauge("two", "b"))
	trial(2, CauseTooManyNew, gauge("two", "c"))
	sp.frame(1, after(1), 1, 1)
	send(t, session, sp.drain()...)
	atEveryStage(t, s, func(s *Store, _ string) { wantSeries(t, s, "one", "b", points(0, 1, 1)...) })
}

func TestBadRecordsHaveTheirCause(t *testing.T) {
	s := open(t, testConfig(t.TempDir()))
	worker := byte(0)
	f := func(want Cause, skipped bool, prepare func(*spooler) frame.Record) {
		t.Helper()
		worker++
		session := openSession(t, s, testSource(worker, 1))
		sp := newSpooler(t)
		last := prepare(sp)
		for _, r := range sp.drain() {
			if r.Seq != last.Seq {
				send(t, session, r)
			}
		}
		before := s.Stats().Refused[want]
		err := trySend(session, last)
		if causeOf(t, err) != want {
			t.Errorf("got %v, want %s", err, want)
			return
		}
		if refusal := err.(*Refusal); refusal.Skipped != skipped {
			t.Errorf("%s: skipped is %t, want %t", want, refusal.Skipped, skipped)
		}
		if n := s.Stats().Refused[want] - before; n != 1 {
			t.Errorf("%s: counted %d times, want once", want, n)
		}
		if skipped {
			awaitDurable(t, session, last.Seq)
		} else if err := trySend(session, frame.Record{Seq: last.Seq + 1, Kind: frame.KindEvent}); err == nil {
			t.Errorf("%s: the session has ended, and goes on", want)
		}
	}
	f(CauseBadPart, true, func(sp *spooler) frame.Record { return sp.add(frame.KindPart, 0, []byte("no part")) })
	f(CauseBadSchema, true, func(sp *spooler) frame.Record { return sp.add(frame.KindSchema, 1, []byte("no schema")) })
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
}

func TestAFrameWithoutItsPredecessorWaitsForAKeyFrame(t *testing.T) {
	s := open(t, testConfig(t.TempDir()))
	session := openSession(t, s, testSource(1, 1))
	sp := newSpooler(t)
	sp.schema(1, gauge("g", "a"))
	for i := range 12 {
		sp.frame(1, after(i), float64(i))
	}
	records := sp.drain()
	send(t, session, append(records[:4:4], records[5:]...)...) // the third frame is lost
	if got := s.Stats().Refused[CauseNoBase]; got != 7 {
		t.Errorf("got %d frames without base, want 7", got)
	}
	atEveryStage(t, s, func(s *Store, _ string) {
		wantSeries(t, s, "g", "a", append(points(0, 0, 1), points(10, 10, 11)...)...)
	})
}

func TestSourcesAreChecked(t *testing.T) {
	s := open(t, testConfig(t.TempDir()))
	tries := uint64(0)
	f := func(spoil func(*Source)) {
		t.Helper()
		tries++
		source := testSource(1, 1)
		spoil(&source)
		if _, err := s.OpenSession(source); causeOf(t, err) != CauseBadSource {
			t.Errorf("source %+v: got %v, want bad_source", source, err)
		}
		if n := s.Stats().Refused[CauseBadSource]; n != tries {
			t.Errorf("source %+v: %d refusals counted, want %d", source, n, tries)
		}
	}
	f(func(s *Source) { s.Worker = model.WorkerID{} })
	f(func(s *Source) { s.Boot = model.BootID{} })
	f(func(s *Source) { s.Instance = "" })
	f(func(s *Source) { s.Instance = "\xff" })
	f(func(s *Source) { s.ExtraLabels = model.LabelsOf("job", "x") })
	f(func(s *Source) { s.ExtraLabels = model.LabelsOf("__name__", "x") })
}

func TestWorkersAreBounded(t *testing.T) {
	config := testConfig(t.TempDir())
	config.MaxWorkers = 2
	s := open(t, config)
	openSession(t, s, testSource(1, 1))
	second := openSession(t, s, testSource(2, 1))
	_, err := s.OpenSession(testSource(3, 1))
	wantTemporary(t, err, CauseTooManyWorkers)
	if n := s.Stats().Refused[CauseTooManyWorkers]; n != 1 {
		t.Errorf("counted %d times, want once", n)
	}
	second.Close() // nothing of it is stored: it makes room
	openSession(t, s, testSource(3, 1))
	if _, err := s.OpenSession(testSource(2, 1)); causeOf(t, err) != CauseTooManyWorkers {
		t.Errorf("got %v", err)
	}
}

func TestCausesHaveNames(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range append(Causes(), CauseNone) {
		if name := c.String(); name == "" || seen[name] {
			t.Errorf("cause %d: name %q is empty or taken", c, name)
		}
		seen[c.String()] = true
	}
}
