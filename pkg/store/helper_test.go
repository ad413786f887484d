package store

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// testNow is the collector's clock in tests: it stands still.
var testNow = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

func after(seconds int) time.Time { return testNow.Add(time.Duration(seconds) * time.Second) }

func testConfig(dir string) Config {
	config := DefaultConfig()
	config.Dir, config.SyncInterval, config.MinFree = dir, 2*time.Millisecond, 0
	return config
}

func testDeps() Deps {
	return Deps{Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Now: func() time.Time { return testNow }}
}

func open(t testing.TB, config Config) *Store {
	t.Helper()
	return openWith(t, config, testDeps())
}

func openWith(t testing.TB, config Config, deps Deps) *Store {
	t.Helper()
	s, err := Open(config, deps)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close store: %v", err)
		}
	})
	return s
}

func closeStore(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func pass(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Pass(); err != nil {
		t.Fatal(err)
	}
}

func workerID(n byte) model.WorkerID { return model.WorkerIDFrom([16]byte{1, n}) }
func bootID(n byte) model.BootID     { return model.BootIDFrom([16]byte{2, n}) }

func testSource(worker, boot byte) Source {
	return Source{Worker: workerID(worker), Boot: bootID(boot), Instance: "host" + string('0'+rune(worker))}
}

// backfill is the source of what a boot has left behind from a number on.
func backfill(worker, boot byte, first uint64) Source {
	source := testSource(worker, boot)
	source.Backfill, source.First = true, first
	return source
}

func openSession(t testing.TB, s *Store, source Source) *Session {
	t.Helper()
	session, err := s.OpenSession(source)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { session.Close() })
	return session
}

// gauge is a part of one family with a series for each value of label dev.
func gauge(name string, devices ...string) model.Part {
	f := model.Family{Name: name, Type: model.Gauge, Help: "Help of " + name + "."}
	for _, d := range devices {
		f.Series = append(f.Series, model.LabelsOf("dev", d))
	}
	return model.Part{Collector: name, Families: []model.Family{f}}
}

// spooler makes the records of one worker, as its spool would number them.
type spooler struct {
	t       testing.TB
	seq     uint64
	streams map[model.StreamID]*frame.Encoder
	records []frame.Record
}

func newSpooler(t testing.TB) *spooler {
	return &spooler{t: t, streams: map[model.StreamID]*frame.Encoder{}}
}

func (s *spooler) add(kind frame.Kind, stream model.StreamID, payload []byte) frame.Record {
	s.seq++
	r := frame.Record{Seq: s.seq, Kind: kind, Stream: stream, Payload: payload}
	s.records = append(s.records, r)
	return r
}

// keyEvery is how often the frames of a spooler are key frames.
const keyEvery = 10

// schema adds the parts and the schema of a stream.
func (s *spooler) schema(stream model.StreamID, parts ...model.Part) {
	s.t.Helper()
	var named frame.Schema
	for _, p := range parts {
		encoded, err := frame.AppendPart(nil, p)
		if err != nil {
			s.t.Fatal(err)
		}
		named.Parts = append(named.Parts, frame.PartIDOf(encoded))
		s.add(frame.KindPart, 0, encoded)
	}
	layout, err := frame.NewLayout(parts)
	if err != nil {
		s.t.Fatal(err)
	}
	s.add(frame.KindSchema, stream, frame.AppendSchema(nil, named))
	s.streams[stream] = frame.NewEncoder(layout, named.ID(), keyEvery)
}

func (s *spooler) frame(stream model.StreamID, at time.Time, row ...float64) frame.Record {
	payload, _ := s.streams[stream].Append(nil, model.Millis(at.UnixMilli()), row)
	return s.add(frame.KindFrame, stream, payload)
}

// drain returns the records made since the last call.
func (s *spooler) drain() []frame.Record {
	out := s.records
	s.records = nil
	return out
}

// send appends records, which must all be taken.
func send(t testing.TB, session *Session, records ...frame.Record) {
	t.Helper()
	for _, r := range records {
		if err := trySend(session, r); err != nil {
			t.Fatalf("record %d (%v): %v", r.Seq, r.Kind, err)
		}
	}
}

func trySend(session *Session, r frame.Record) error {
	if r.Kind > frame.KindEvent {
		return session.Append(r, r.Payload) // it has no encoded form
	}
	return session.Append(r, frame.AppendRecord(nil, r))
}

// causeOf returns the cause of a refusal, CauseNone for no error.
func causeOf(t testing.TB, err error) Cause {
	t.Helper()
	var refusal *Refusal
	if err != nil && !errors.As(err, &refusal) {
		t.Fatalf("got error %v, want a *Refusal", err)
	}
	if refusal == nil {
		return CauseNone
	}
	return refusal.Cause
}

// wantTemporary demands a refusal that says that the same may be taken later.
func wantTemporary(t testing.TB, err error, want Cause) {
	t.Helper()
	var refusal *Refusal
	if !errors.As(err, &refusal) || refusal.Cause != want || !refusal.Temporary || refusal.Skipped {
		t.Errorf("got %v, want a temporary refusal %v", err, want)
	}
}

// awaitDurable waits until everything up to seq is on disk.
func awaitDurable(t testing.TB, session *Session, seq uint64) {
	t.Helper()
	for {
		got, changed := session.Durable()
		if got >= seq {
			return
		}
		select {
		case <-changed:
		case <-time.After(30 * time.Second):
			t.Fatalf("durable stays at %d, want %d", got, seq)
		}
	}
}

// point is a stored sample; a marker has ended set.
type point struct {
	At    int64 // seconds after testNow, rounded down
	Value float64
	Ended bool
}

// points are values a second apart, the first at second from.
func points(from int, values ...float64) (all []point) {
	for i, v := range values {
		all = append(all, point{At: int64(from + i), Value: v})
	}
	return all
}

// stored reads all samples of the selected series, by label set. Nothing may be
// left out.
func stored(t testing.TB, s *Store, matchers ...*labels.Matcher) map[string][]point {
	t.Helper()
	found, warnings := read(t, s, matchers...)
	for _, w := range warnings {
		t.Errorf("query: warning %v", w)
	}
	return found
}

// read is stored with the warnings. Series without samples are left out.
func read(t testing.TB, s *Store, matchers ...*labels.Matcher) (found map[string][]point, warnings []error) {
	t.Helper()
	return readBetween(t, s, math.MinInt64, math.MaxInt64, matchers...)
}

// readBetween is read of a time, in milliseconds.
func readBetween(t testing.TB, s *Store, from, to int64, matchers ...*labels.Matcher) (found map[string][]point, warnings []error) {
	t.Helper()
	q, err := s.Queryable().Querier(from, to)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	found = map[string][]point{}
	set := q.Select(context.Background(), true, nil, matchers...)
	for set.Next() {
		var points []point
		before := int64(math.MinInt64)
		it := set.At().Iterator(nil)
		for it.Next() == chunkenc.ValFloat {
			at, v := it.At()
			if at <= before {
				t.Errorf("series %s: sample at %d after one at %d", set.At().Labels(), at, before)
			}
			before = at
			p := point{At: floorDiv(at-testNow.UnixMilli(), 1000), Value: v}
			if value.IsStaleNaN(v) {
				p.Value, p.Ended = 0, true
			}
			points = append(points, p)
		}
		if it.Err() != nil {
			t.Fatal(it.Err())
		}
		if len(points) > 0 { // the index of series does not know where there are samples
			found[set.At().Labels().String()] = points
		}
	}
	if set.Err() != nil {
		t.Fatal(set.Err())
	}
	for _, w := range set.Warnings() {
		warnings = append(warnings, w)
	}
	return found, warnings
}

func floorDiv(a, b int64) int64 {
	if a%b < 0 {
		return a/b - 1
	}
	return a / b
}

func named(name string) *labels.Matcher {
	return labels.MustNewMatcher(labels.MatchEqual, labels.MetricName, name)
}

func ofHost(worker byte) *labels.Matcher {
	return labels.MustNewMatcher(labels.MatchEqual, "instance", testSource(worker, 0).Instance)
}

// anySeries selects everything.
func anySeries() *labels.Matcher {
	return labels.MustNewMatcher(labels.MatchRegexp, labels.MetricName, ".+")
}

// seriesOfDevice finds the one series of a device.
func seriesOfDevice(t testing.TB, found map[string][]point, device string) []point {
	t.Helper()
	for text, points := range found {
		if strings.Contains(text, `dev="`+device+`"`) {
			return points
		}
	}
	t.Fatalf("no series of device %q among %q", device, slices.SortedFunc(maps.Keys(found), cmp.Compare[string]))
	return nil
}

func wantSeries(t testing.TB, s *Store, name, device string, want ...point) {
	t.Helper()
	wantDiff(t, "series "+name+" of "+device, want, seriesOfDevice(t, stored(t, s, named(name)), device))
}

func wantDiff(t testing.TB, what string, want, got any) {
	t.Helper()
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// atEveryStage checks what a store has before a pass, behind it, and in later lives of
// each.
func atEveryStage(t *testing.T, s *Store, check func(s *Store, stage string)) {
	t.Helper()
	config, deps := s.config, s.deps
	check(s, "at once")
	closeStore(t, s)
	s = openWith(t, config, deps)
	check(s, "reopened")
	pass(t, s)
	check(s, "sealed")
	closeStore(t, s)
	s = openWith(t, config, deps)
	check(s, "sealed and reopened")
	pass(t, s)
	check(s, "sealed twice")
	closeStore(t, s)
	check(openWith(t, config, deps), "sealed twice and reopened")
}

// between reads all samples of a time.
func between(t testing.TB, s *Store, from, to time.Time, matchers ...*labels.Matcher) map[string][]point {
	t.Helper()
	found, warnings := readBetween(t, s, from.UnixMilli(), to.UnixMilli(), matchers...)
	for _, w := range warnings {
		t.Errorf("query: warning %v", w)
	}
	return found
}
