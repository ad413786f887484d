package store

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
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
	want := []point{{At: 0, Value: 1}, {At: 1, Value: 2}}
	if diff := cmp.Diff(want, seriesOfDevice(t, stored(t, s, named("g")), "a")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if stats := s.Stats(); stats.Samples != 2 || stats.Duplicates != 7 {
		t.Errorf("got %d samples and %d duplicates, want 2 and 7", stats.Samples, stats.Duplicates)
	}
}

func TestAPassedOverRecordThatComesAfterAllIsRefused(t *testing.T) {
	s := open(t, testConfig(t.TempDir()))
	session := openSession(t, s, testSource(1, 1))
	event := func(seq uint64) error { return trySend(session, frame.Record{Seq: seq, Kind: frame.KindEvent}) }
	for _, seq := range []uint64{1, 5, 6} {
		if err := event(seq); err != nil {
			t.Fatal(err)
		}
	}
	if err := event(5); err != nil {
		t.Errorf("duplicate: got %v", err)
	}
	if err := event(3); causeOf(t, err) != CauseOrder {
		t.Errorf("record 3 after 6: got %v, want order", err)
	}
	if err := event(7); causeOf(t, err) != CauseOrder {
		t.Errorf("after the refusal: got %v, want the same", err)
	}
	if got := s.Stats().Events; got != 3 {
		t.Errorf("got %d events, want 3", got)
	}
}

func TestFramesOutsideTimeAreLeftOut(t *testing.T) {
	config := testConfig(t.TempDir())
	config.Retention, config.OutOfOrder = 10*time.Hour, 3*time.Hour
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
	f(-11*time.Hour, CauseNone)            // beyond the retention
	f(-4*time.Hour, CauseNone)             // beyond the window
	f(-2*time.Hour-time.Second, CauseNone) // late, but within
	f(-time.Second, CauseNone)
	f(time.Second, CauseNone)
	want := []point{{At: -7201, Value: -7201}, {At: -1, Value: -1}, {At: 0, Value: 1}, {At: 1, Value: 1}}
	if diff := cmp.Diff(want, seriesOfDevice(t, stored(t, s, named("g")), "a")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	wantRefused := map[Cause]uint64{CauseFuture: 2, CauseTooOld: 2}
	if diff := cmp.Diff(wantRefused, s.Stats().Refused); diff != "" {
		t.Errorf("refused (-want +got):\n%s", diff)
	}
	awaitDurable(t, session, sp.seq) // what was left out does not hold up the rest
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
	sp.frame(1, after(2), 1, 1)
	send(t, session, sp.drain()...)
	if got := seriesOfDevice(t, stored(t, s, named("one")), "b"); len(got) != 2 {
		t.Errorf("the other stream: got %v, want two samples", got)
	}
	for stream := range model.StreamID(maxStreams) {
		session.worker.lanes[stream+100] = &lane{boot: session.boot}
	}
	if err := trySend(session, sp.add(frame.KindSchema, 999, nil)); causeOf(t, err) != CauseTooManyStreams {
		t.Errorf("one more stream: got %v", err)
	}
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
		err := trySend(session, last)
		if causeOf(t, err) != want {
			t.Errorf("got %v, want %s", err, want)
			return
		}
		if refusal := err.(*Refusal); refusal.Skipped != skipped {
			t.Errorf("%s: skipped is %t, want %t", want, refusal.Skipped, skipped)
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
	var at []int64
	for _, p := range seriesOfDevice(t, stored(t, s, named("g")), "a") {
		at = append(at, p.At)
	}
	if diff := cmp.Diff([]int64{0, 1, 10, 11}, at); diff != "" {
		t.Errorf("frames stored (-want +got):\n%s", diff)
	}
	if got := s.Stats().Refused[CauseNoBase]; got != 7 {
		t.Errorf("got %d frames without base, want 7", got)
	}
}

func TestSourcesAreChecked(t *testing.T) {
	s := open(t, testConfig(t.TempDir()))
	f := func(spoil func(*Source)) {
		t.Helper()
		source := testSource(1, 1)
		spoil(&source)
		if _, err := s.OpenSession(source); causeOf(t, err) != CauseBadSource {
			t.Errorf("source %+v: got %v, want bad_source", source, err)
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
	openSession(t, s, testSource(2, 1)).Close()
	if _, err := s.OpenSession(testSource(3, 1)); causeOf(t, err) != CauseTooManyWorkers {
		t.Errorf("got %v", err)
	}
	s.sweep(testNow.Add(idleAfter)) // the closed one is forgotten, the open one is not
	openSession(t, s, testSource(3, 1))
	if _, err := s.OpenSession(testSource(2, 1)); causeOf(t, err) != CauseTooManyWorkers {
		t.Errorf("got %v", err)
	}
}

func TestNoNewDataWithoutFreeDisk(t *testing.T) {
	config := testConfig(t.TempDir())
	s := open(t, config)
	session := openSession(t, s, testSource(1, 1))
	sp := newSpooler(t)
	sp.schema(1, gauge("g", "a"))
	send(t, session, sp.drain()...)
	s.config.MinFree = 1 << 62
	s.tend()
	err := trySend(session, sp.frame(1, after(0), 1))
	if causeOf(t, err) != CauseDiskFull || !err.(*Refusal).Temporary {
		t.Errorf("got %v, want a temporary disk_full", err)
	}
	if _, err := s.OpenSession(testSource(1, 1)); causeOf(t, err) != CauseDiskFull {
		t.Errorf("new session: got %v", err)
	}
	s.config.MinFree = 0
	s.tend()
	session = openSession(t, s, testSource(1, 1))
	send(t, session, sp.drain()...)
	if stats := s.Stats(); stats.FreeBytes == 0 || stats.DiskBytes == 0 || stats.DiskFull {
		t.Errorf("got stats %+v", stats)
	}
}

func TestCausesHaveNames(t *testing.T) {
	seen := map[string]bool{}
	for c := range causes {
		if name := c.String(); name == "" || seen[name] {
			t.Errorf("cause %d: name %q is empty or taken", c, name)
		}
		seen[c.String()] = true
	}
	if got := fmt.Sprint(causes); got != "cause(22)" {
		t.Errorf("got %q", got)
	}
}
