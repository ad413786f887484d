package store

import (
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// localStream is the only stream of a Writer.
const localStream model.StreamID = 1

// localKeyEvery is how often a Writer writes a key frame. Its frames go no
// further than this process, so it hardly matters.
const localKeyEvery = 60

// Writer stores metrics of this process as the frames of a worker of its own:
// they take the same way as everybody's. Safe for concurrent use.
type Writer struct {
	store  *Store
	source Source

	mu      sync.Mutex // guards everything below
	closed  bool
	session *Session // nil after a refusal, until the next Write
	seq     uint64
	layout  *localLayout
	row     []float64
	payload []byte
	raw     []byte
}

// Local opens a writer for source. Its Boot does not matter: a writer has its own.
func (s *Store) Local(source Source) (*Writer, error) {
	w := &Writer{store: s, source: source}
	return w, w.open()
}

// open begins a session with a new boot: nothing needs to be resumed.
func (w *Writer) open() error {
	var random [16]byte
	if _, err := rand.Read(random[:]); err != nil {
		return fmt.Errorf("local source %q: %w", w.source.Instance, err)
	}
	w.source.Boot = model.BootIDFrom(random)
	session, err := w.store.OpenSession(w.source)
	if err != nil {
		return fmt.Errorf("local source %q: %w", w.source.Instance, err)
	}
	w.session, w.seq, w.layout = session, session.Resume(), nil
	return nil
}

// Write stores metrics as one frame. A series of an earlier call that is missing
// now ends there. It fails with a *Refusal when the store does not take the
// frame, and with another error when a metric is not valid (frame.ErrInvalid)
// or a series occurs twice; then nothing is stored. After any error the next
// call begins anew.
func (w *Writer) Write(at time.Time, metrics []model.Metric) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return w.store.refused(later(CauseClosed, "the writer is closed"))
	}
	if w.session == nil {
		if err := w.open(); err != nil {
			return err
		}
	}
	if w.layout == nil && len(metrics) == 0 {
		return nil
	}
	if w.layout == nil || !w.layout.fill(w.row, metrics) {
		if err := w.relayout(metrics); err != nil {
			return fmt.Errorf("store own metrics: %w", err)
		}
		w.layout.fill(w.row, metrics)
	}
	w.payload, _ = w.layout.encoder.Append(w.payload[:0], model.Millis(at.UnixMilli()), w.row)
	if err := w.append(frame.KindFrame, localStream, w.payload); err != nil {
		return fmt.Errorf("store own metrics: %w", err)
	}
	return nil
}

// Close ends the writer; its series stay as they are. Calling it again does nothing.
func (w *Writer) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	if w.session == nil {
		return nil
	}
	return w.session.Close()
}

// relayout declares a schema of exactly these metrics.
func (w *Writer) relayout(metrics []model.Metric) error {
	part, layout := layoutOf(metrics)
	encoded, err := frame.AppendPart(nil, part)
	if err != nil {
		return err
	}
	schema := frame.Schema{Parts: []frame.PartID{frame.PartIDOf(encoded)}}
	columns, err := frame.NewLayout([]model.Part{part})
	if err != nil {
		return err
	}
	if err := w.append(frame.KindPart, 0, encoded); err != nil {
		return err
	}
	w.layout = nil
	if err := w.append(frame.KindSchema, localStream, frame.AppendSchema(nil, schema)); err != nil {
		return err
	}
	layout.encoder = frame.NewEncoder(columns, schema.ID(), localKeyEvery)
	w.layout, w.row = layout, make([]float64, columns.Columns())
	return nil
}

func (w *Writer) append(kind frame.Kind, stream model.StreamID, payload []byte) error {
	w.seq++
	record := frame.Record{Seq: w.seq, Kind: kind, Stream: stream, Payload: payload}
	w.raw = frame.AppendRecord(w.raw[:0], record)
	err := w.session.Append(record, w.raw)
	if refusal := (*Refusal)(nil); errors.As(err, &refusal) && !refusal.Skipped {
		w.session = nil
	}
	return err
}

// localLayout says which metric goes to which column.
type localLayout struct {
	encoder *frame.Encoder
	columns map[string]int
	key     []byte
}

// layoutOf groups metrics by name, in the order of first occurrence, which makes
// a part of them.
func layoutOf(metrics []model.Metric) (model.Part, *localLayout) {
	part := model.Part{Collector: "self"}
	families := map[string]int{}
	for _, m := range metrics {
		i, known := families[m.Name]
		if !known {
			i = len(part.Families)
			families[m.Name] = i
			part.Families = append(part.Families, model.Family{Name: m.Name, Help: m.Help, Type: m.Type})
		}
		part.Families[i].Series = append(part.Families[i].Series, slices.Clone(m.Labels))
	}
	layout := &localLayout{columns: make(map[string]int, len(metrics))}
	column := 0
	for _, f := range part.Families {
		for _, labels := range f.Series {
			layout.key = appendSeriesKey(layout.key[:0], f.Name, labels)
			layout.columns[string(layout.key)] = column
			column++
		}
	}
	return part, layout
}

// fill puts the metrics into their columns; false when one has no column of its own.
func (l *localLayout) fill(row []float64, metrics []model.Metric) bool {
	for i := range row {
		row[i] = model.Absent()
	}
	for _, m := range metrics {
		l.key = appendSeriesKey(l.key[:0], m.Name, m.Labels)
		column, known := l.columns[string(l.key)]
		if !known || !model.IsAbsent(row[column]) {
			return false
		}
		row[column] = m.Value
	}
	return true
}

// appendSeriesKey appends a key that tells series apart: no valid text contains
// the separators.
func appendSeriesKey(key []byte, name string, labels model.Labels) []byte {
	key = append(key, name...)
	for _, l := range labels {
		key = append(key, 0xfe)
		key = append(key, l.Name...)
		key = append(key, 0xff)
		key = append(key, l.Value...)
	}
	return key
}
