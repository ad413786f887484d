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
	store *Store

	mu      sync.Mutex // guards everything below
	session *Session
	seq     uint64
	layout  *localLayout
	row     []float64
	record  frame.Record
	payload []byte
	raw     []byte
}

// Local opens a writer for source. A zero Boot becomes a new one.
func (s *Store) Local(source Source) (*Writer, error) {
	if source.Boot.IsZero() {
		var random [16]byte
		if _, err := rand.Read(random[:]); err != nil {
			return nil, fmt.Errorf("local source %q: %w", source.Instance, err)
		}
		source.Boot = model.BootIDFrom(random)
	}
	session, err := s.OpenSession(source)
	if err != nil {
		return nil, fmt.Errorf("local source %q: %w", source.Instance, err)
	}
	return &Writer{store: s, session: session, seq: session.Resume()}, nil
}

// Write stores metrics as one frame. A series of an earlier call that is missing
// now ends there. It fails with a *Refusal when the store does not take the
// frame, and with another error when a metric is not valid (frame.ErrInvalid)
// or a series occurs twice; then nothing is stored.
func (w *Writer) Write(at time.Time, metrics []model.Metric) error {
	w.mu.Lock()
	defer w.mu.Unlock()
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

// Close ends the writer; its series stay as they are.
func (w *Writer) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
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
	if err := w.append(frame.KindSchema, localStream, frame.AppendSchema(nil, schema)); err != nil {
		return err
	}
	layout.encoder = frame.NewEncoder(columns, schema.ID(), localKeyEvery)
	w.layout, w.row = layout, make([]float64, columns.Columns())
	return nil
}

func (w *Writer) append(kind frame.Kind, stream model.StreamID, payload []byte) error {
	w.seq++
	w.record = frame.Record{Seq: w.seq, Kind: kind, Stream: stream, Payload: payload}
	w.raw = frame.AppendRecord(w.raw[:0], w.record)
	err := w.session.Append(w.record, w.raw)
	if refusal := (*Refusal)(nil); errors.As(err, &refusal) && !refusal.Skipped {
		w.layout = nil // whatever comes next begins with its schema
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

// fill puts the metrics into their columns; false when one has no column.
func (l *localLayout) fill(row []float64, metrics []model.Metric) bool {
	for i := range row {
		row[i] = model.Absent()
	}
	for _, m := range metrics {
		l.key = appendSeriesKey(l.key[:0], m.Name, m.Labels)
		column, known := l.columns[string(l.key)]
		if !known {
			return false
		}
		row[column] = m.Value
	}
	return true
}
