package head

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/cloudless-fleet/cloudless/pkg/durable"
	"github.com/cloudless-fleet/cloudless/pkg/event"
	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/journal"
	"github.com/cloudless-fleet/cloudless/pkg/store/query"
	"github.com/cloudless-fleet/cloudless/pkg/store/schemas"
)

// testNow is the collector's clock in tests: it stands still unless it is moved.
var testNow = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

func after(seconds int) model.Millis { return model.Millis(testNow.UnixMilli() + int64(seconds)*1000) }

// memory is a journal in memory.
type memory struct {
	mu      sync.Mutex
	entries [][]byte
	oldest  uint64 // index of the first that is there
	fail    error  // of everything
	bad     map[uint64]bool
}

func (m *memory) append(e journal.Entry) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return 0, m.fail
	}
	encoded, err := journal.AppendEntry(nil, e)
	if err != nil {
		return 0, err
	}
	m.entries = append(m.entries, encoded)
	return uint64(len(m.entries)), nil
}

func (m *memory) Session(number uint64, s journal.Session) (uint64, error) {
	return m.append(journal.Entry{Kind: journal.KindSession, Session: number, Worker: s.Worker, Boot: s.Boot, Source: s.Source, Backfill: s.Backfill})
}

func (m *memory) Records(session uint64, raw ...[]byte) (uint64, error) {
	return m.append(journal.Entry{Kind: journal.KindRecord, Session: session, Raw: raw[0]})
}

func (m *memory) Base(session uint64, stream model.StreamID, schema frame.SchemaID, state []byte) (uint64, error) {
	return m.append(journal.Entry{Kind: journal.KindBase, Session: session, Stream: stream, Schema: schema, State: state})
}

func (m *memory) Coverage(c journal.Coverage) (uint64, error) {
	return m.append(journal.Entry{Kind: journal.KindCoverage, Worker: c.Worker, Boot: c.Boot, Heard: c.Heard, Intervals: c.Intervals})
}

func (m *memory) End(source uint32, at model.Millis) (uint64, error) {
	return m.append(journal.Entry{Kind: journal.KindEnd, Source: source, At: at})
}

func (m *memory) Sealed(volume uint64, source uint32, stream model.StreamID) (uint64, error) {
	return m.append(journal.Entry{Kind: journal.KindSealed, Volume: volume, Source: source, Stream: stream})
}

func (m *memory) Passed(session uint64, from, to uint64) (uint64, error) {
	return m.append(journal.Entry{Kind: journal.KindPassed, Session: session, From: from, To: to})
}

func (m *memory) Refused(session, seq uint64, cause string, at model.Millis, samples int64) (uint64, error) {
	return m.append(journal.Entry{Kind: journal.KindRefused, Session: session, Seq: seq, Cause: cause, At: at, Samples: samples})
}

func (m *memory) Next() uint64 { return uint64(m.len()) + 1 }

func (m *memory) len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.entries)
}

func (m *memory) entry(index uint64) (journal.Entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case index < m.oldest || index == 0 || index > uint64(len(m.entries)):
		return journal.Entry{}, durable.ErrDropped
	case m.bad[index]:
		return journal.Entry{}, &durable.Damage{File: "journal", Offset: int64(index), Why: "test"}
	}
	return journal.ParseEntry(m.entries[index-1])
}

func (m *memory) count(kind journal.Kind) (n int) {
	for i := range m.len() {
		if e, err := m.entry(uint64(i + 1)); err == nil && e.Kind == kind {
			n++
		}
	}
	return n
}

func (m *memory) setFail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = err
}

func (m *memory) dropThrough(index uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.oldest = max(m.oldest, index+1)
}

// cut leaves so many records, as a power cut does.
func (m *memory) cut(records int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.entries = m.entries[:records]
}

type memoryViewer struct{ *memory }

func (m *memory) Viewer() Viewer { return memoryViewer{m} }

func (v memoryViewer) Record(index uint64) (uint64, []byte, error) {
	e, err := v.entry(index)
	return e.Session, e.Raw, err
}

func (v memoryViewer) Base(index uint64) (frame.SchemaID, []byte, error) {
	e, err := v.entry(index)
	return e.Schema, e.State, err
}

func (v memoryViewer) Close() {}

// world is a head with everything around it.
type world struct {
	t       testing.TB
	head    *Head
	journal *memory
	limits  Limits

	mu      sync.Mutex
	now     time.Time
	log     [][]byte // of the dictionary
	logFail error
	refused map[string]int // cause/samples of the ledger, and how often
	seqs    map[string]event.Cause
	events  []string
}

func newWorld(t testing.TB) *world {
	w := &world{t: t, journal: &memory{oldest: 1}, now: testNow, limits: DefaultLimits(), refused: map[string]int{}, seqs: map[string]event.Cause{}}
	w.restart(-1, nil)
	return w
}

// restart makes a new head of what the log of schemas and the first records of the journal say; -1: all.
func (w *world) restart(records int, hasVolume func(uint64) bool) Replayed {
	w.t.Helper()
	w.head = w.build(w.journal)
	return w.replay(w.head, w.journal, records, hasVolume)
}

func (w *world) build(j Journal) *Head {
	w.t.Helper()
	d := schemas.New(schemas.DefaultConfig())
	for _, record := range w.log {
		if err := d.Load(record); err != nil {
			w.t.Fatal(err)
		}
	}
	return New(w.limits, Deps{Dictionary: d, SchemaLog: w, Journal: j, Ledger: w, Events: w, Now: w.clock,
		Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
}

func (w *world) replay(h *Head, m *memory, records int, hasVolume func(uint64) bool) Replayed {
	w.t.Helper()
	if records < 0 {
		records = m.len()
	}
	if hasVolume == nil {
		hasVolume = func(uint64) bool { return false }
	}
	for i := range uint64(records) {
		e, err := m.entry(i + 1)
		if err != nil {
			continue
		}
		if err := h.Replay(i+1, e, hasVolume); err != nil {
			w.t.Fatal(err)
		}
	}
	return h.FinishReplay()
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// Append implements SchemaLog.
func (w *world) Append(record []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.logFail != nil {
		return w.logFail
	}
	w.log = append(w.log, slices.Clone(record))
	return nil
}

// Refused implements Ledger.
func (w *world) Refused(_ model.WorkerID, boot model.BootID, seq uint64, cause event.Cause, _ model.Millis, samples int) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.refused[fmt.Sprintf("%s/%d", cause, samples)]++
	w.seqs[fmt.Sprintf("%x:%d", boot[1], seq)] = cause
	return nil
}

// Event implements Events.
func (w *world) Event(_ model.WorkerID, _ model.BootID, seq uint64, payload []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, fmt.Sprintf("%d:%s", seq, payload))
	return nil
}

func (w *world) wantRefused(want map[string]int) {
	w.t.Helper()
	if diff := cmp.Diff(want, w.refused); diff != "" {
		w.t.Errorf("ledger (-want +got):\n%s", diff)
	}
}

func workerID(n byte) model.WorkerID { return model.WorkerIDFrom([16]byte{1, n}) }
func bootID(n byte) model.BootID     { return model.BootIDFrom([16]byte{2, n}) }

func hostLabels(worker byte) labels.Labels {
	return labels.FromStrings("instance", fmt.Sprintf("host%d", worker), "job", "node")
}

func testSource(worker, boot byte) Source {
	return Source{Worker: workerID(worker), Boot: bootID(boot), Labels: hostLabels(worker), First: 1}
}

func (w *world) open(source Source) *Session {
	w.t.Helper()
	s, refusal := w.head.OpenSession(source)
	if refusal != nil {
		w.t.Fatal(refusal)
	}
	return s
}

// line is a row of a lane: "g/a=1 g/b=-" at 3 s is "3: 1 -"; an end row is "3: end".
type line = string

// lines reads a lane of a worker, as a query does.
func (w *world) lines(worker byte, stream model.StreamID) []line {
	w.t.Helper()
	return w.linesOf(w.head, w.sourceOf(w.head, workerID(worker), hostLabels(worker)), stream)
}

func (w *world) sourceOf(h *Head, worker model.WorkerID, host labels.Labels) *schemas.Source {
	w.t.Helper()
	_, source, err := h.deps.Dictionary.AddSource(nil, worker, host)
	if err != nil {
		w.t.Fatal(err)
	}
	return source
}

func (w *world) linesOf(h *Head, source *schemas.Source, stream model.StreamID) []line {
	w.t.Helper()
	type found struct {
		rank uint64
		text string
	}
	timeline := map[int64]found{}
	var pool query.Readers
	for _, p := range h.Data().Pieces(nil, source, stream, schemas.MinTime, schemas.MaxTime) {
		times, texts := w.readPiece(p, &pool)
		for i, at := range times {
			if old, twice := timeline[at]; !twice || p.Rank() < old.rank {
				timeline[at] = found{p.Rank(), texts[i]}
			}
		}
	}
	var all []line
	for _, at := range slices.Sorted(maps.Keys(timeline)) {
		all = append(all, fmt.Sprintf("%g:%s", float64(at-testNow.UnixMilli())/1000, timeline[at].text))
	}
	return all
}

// readPiece reads all of a piece, part by part, column by column.
func (w *world) readPiece(p query.Piece, pool *query.Readers) (times []int64, texts []string) {
	w.t.Helper()
	r, err := p.Open(pool)
	if err != nil {
		w.t.Fatal(err)
	}
	defer r.Close()
	if times, err = r.Times(); err != nil {
		w.t.Fatal(err)
	}
	times = slices.Clone(times)
	if first, last := p.Range(); int64(first) != times[0] || int64(last) != times[len(times)-1] {
		w.t.Errorf("piece from %d to %d has times %v", first, last, times)
	}
	texts = make([]string, len(times))
	s := p.(*piece).members[0].schema
	if s == nil {
		texts[0] = " end"
		return times, texts
	}
	for _, part := range s.parts {
		runs, err := r.Select(part.ID())
		if err != nil || len(runs) != 1 || runs[0].Rows() != len(times) {
			w.t.Fatalf("select: got %v, %v", runs, err)
		}
		for c := range part.Columns() {
			values, err := r.Column(nil, c)
			if err != nil {
				w.t.Fatal(err)
			}
			for i, v := range values {
				texts[i] += " " + number(v)
			}
		}
	}
	if runs, err := r.Select(frame.PartID{9}); runs != nil || err != nil {
		w.t.Errorf("a part that is not there: got %v, %v", runs, err)
	}
	return times, texts
}

func number(v float64) string {
	if model.IsAbsent(v) {
		return "-"
	}
	return fmt.Sprintf("%g", v)
}

func (w *world) wantLines(worker byte, stream model.StreamID, want ...line) {
	w.t.Helper()
	if diff := cmp.Diff(want, w.lines(worker, stream)); diff != "" {
		w.t.Errorf("worker %d, stream %d (-want +got):\n%s", worker, stream, diff)
	}
}

// describe is all of a head's state that matters, as text.
func describe(h *Head) string {
	var b strings.Builder
	for _, w := range h.allWorkers() {
		for _, boot := range w.sortedBoots() {
			if boot.coverage.Len() > 0 {
				fmt.Fprintf(&b, "worker %x boot %x %v\n", w.id[1], boot.id[1], boot.coverage.Intervals())
			}
		}
		for _, l := range w.sortedLanes() {
			describeLane(&b, h, l)
		}
	}
	return b.String()
}

func describeLane(b *strings.Builder, h *Head, l *lane) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.newest.known {
		return
	}
	fmt.Fprintf(b, "  lane %d of %d, newest %d ended %t:", l.stream, l.source.Number(), l.newest.at, l.newest.ended)
	for _, v := range l.rowLocked(h) {
		fmt.Fprintf(b, " %x", math.Float64bits(v))
	}
	fmt.Fprintln(b)
	for _, groups := range [][]*group{l.sealing, l.groups} {
		for _, g := range groups {
			fmt.Fprintf(b, "    group %d base %t:", g.start, g.base)
			for c := g.cursor(); c.next(); {
				fmt.Fprintf(b, " %d@%d", c.index, c.time)
			}
			fmt.Fprintln(b)
		}
	}
}

var errTest = errors.New("test")
