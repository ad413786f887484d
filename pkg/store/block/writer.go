package block

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Part names a part of a schema and says how its values are counted.
type Part struct {
	ID frame.PartID
	// Scales are the decimal digits of each column: see model.Family. A scale
	// that does not fit the values costs space, never exactness.
	Scales []uint8
}

// PartOf is the part that id names.
func PartOf(id frame.PartID, p model.Part) Part {
	scales := make([]uint8, 0, p.Columns())
	for i := range p.Families {
		for range p.Families[i].Series {
			scales = append(scales, p.Families[i].Scale)
		}
	}
	return Part{ID: id, Scales: scales}
}

const maxScale = frame.MaxScale

// table gathers the rows of one part.
type table struct {
	id     frame.PartID
	scales []uint8
	spans  []span
	values []float64 // row after row
}

func (t *table) columns() int { return len(t.scales) }
func (t *table) rows() int    { return len(t.values) / len(t.scales) }

// Writer gathers a stretch of frames of one stream and seals it. It keeps its
// memory for the next block. Not safe for concurrent use.
type Writer struct {
	worker  model.WorkerID
	stream  model.StreamID
	times   []int64
	known   map[frame.PartID]*table
	tables  []*table // of this block
	spare   []*table
	current []*table // of the schema
	width   int      // of a row
	values  int

	encoder encoder
	section sectionWriter
	column  []float64
	differs []uint64
	data    []byte // sealed sections
}

// NewWriter returns a writer, on which Begin is to be called.
func NewWriter() *Writer {
	return &Writer{known: map[frame.PartID]*table{}, section: newSectionWriter()}
}

// Begin begins the block of a stream, and forgets what was not sealed.
func (w *Writer) Begin(worker model.WorkerID, stream model.StreamID) {
	w.worker, w.stream = worker, stream
	w.times, w.current, w.width, w.values = w.times[:0], w.current[:0], 0, 0
	w.spare = append(w.spare, w.tables...)
	w.tables = w.tables[:0]
	clear(w.known)
}

// Schema says what the rows that follow consist of: parts, in the order of
// the schema. It copies what it needs. A part may come and go any number of
// times.
//
// ErrInvalid: no parts, a part without columns, too many columns or twice, or with other
// scales than before. ErrFull: too many different parts. The schema is as it was then.
func (w *Writer) Schema(parts []Part) error {
	if len(parts) == 0 {
		return fmt.Errorf("schema of no parts: %w", ErrInvalid)
	}
	fresh := 0
	for i := range parts {
		p := &parts[i]
		if n := len(p.Scales); n == 0 || n > frame.MaxPartColumns || slices.Max(p.Scales) > maxScale {
			return fmt.Errorf("part %v: %d columns: %w", p.ID, n, ErrInvalid)
		}
		for j := range i {
			if parts[j].ID == p.ID {
				return fmt.Errorf("part %v twice in a schema: %w", p.ID, ErrInvalid)
			}
		}
		t := w.known[p.ID]
		if t != nil && !slices.Equal(t.scales, p.Scales) {
			return fmt.Errorf("part %v has other scales than before: %w", p.ID, ErrInvalid)
		}
		if t == nil {
			fresh++
		}
	}
	if len(w.tables)+fresh > MaxParts {
		return fmt.Errorf("more than %d parts: %w", MaxParts, ErrFull)
	}
	w.current, w.width = w.current[:0], 0
	for i := range parts {
		w.current = append(w.current, w.table(&parts[i]))
		w.width += len(parts[i].Scales)
	}
	return nil
}

// table returns the part's table.
func (w *Writer) table(p *Part) *table {
	if t := w.known[p.ID]; t != nil {
		return t
	}
	var t *table
	if n := len(w.spare); n > 0 {
		t, w.spare = w.spare[n-1], w.spare[:n-1]
	} else {
		t = new(table)
	}
	t.id, t.scales, t.spans, t.values = p.ID, append(t.scales[:0], p.Scales...), t.spans[:0], t.values[:0]
	w.known[p.ID] = t
	w.tables = append(w.tables, t)
	return t
}

// maxTime bounds times in either direction: 2^45 ms are a thousand years.
const maxTime = maxSpread / 2

// Append takes the next frame: its time, later than the one before, and its row,
// which is copied. A row of the wrong length is a bug of the caller and panics.
//
// ErrOrder: not later. ErrFull: seal first. ErrInvalid: no schema, or a time out of all
// reason. The block is as it was then.
func (w *Writer) Append(at model.Millis, row []float64) error {
	switch n := len(w.times); {
	case w.width == 0 || at <= -maxTime || at >= maxTime:
		return fmt.Errorf("frame at %d ms, %d columns: %w", at, w.width, ErrInvalid)
	case len(row) != w.width:
		panic(fmt.Sprintf("block: row of %d values, schema of %d", len(row), w.width))
	case n > 0 && int64(at) <= w.times[n-1]:
		return fmt.Errorf("frame at %d ms after %d ms: %w", at, w.times[n-1], ErrOrder)
	case n == MaxRows || w.values+len(row) > MaxValues:
		return fmt.Errorf("%d frames of %d values: %w", n, w.values, ErrFull)
	}
	n := len(w.times)
	w.times = append(w.times, int64(at))
	w.values += len(row)
	for _, t := range w.current {
		t.values = append(t.values, row[:t.columns()]...)
		row = row[t.columns():]
		if last := len(t.spans) - 1; last >= 0 && t.spans[last].to == n {
			t.spans[last].to++
		} else {
			t.spans = append(t.spans, span{n, n + 1})
		}
	}
	return nil
}

// Rows is the number of frames that wait to be sealed.
func (w *Writer) Rows() int { return len(w.times) }

// Values is the number of values in them, of eight bytes of memory each.
func (w *Writer) Values() int { return w.values }

// Seal appends the block to dst; there must be a frame. The writer is then as after Begin.
func (w *Writer) Seal(dst []byte) []byte {
	if len(w.times) == 0 {
		panic("block: sealed without a frame")
	}
	tables := slices.DeleteFunc(w.tables, func(t *table) bool {
		if len(t.spans) == 0 {
			w.spare = append(w.spare, t)
		}
		return len(t.spans) == 0
	})
	w.tables = tables
	slices.SortFunc(tables, func(a, b *table) int { return bytes.Compare(a.id[:], b.id[:]) })

	start := len(dst)
	dst = append(dst, magic...)
	dst = append(dst, version)
	dst = append(dst, make([]byte, headerSize-directoryAt)...)
	dst = append(dst, w.worker[:]...)
	dst = binary.AppendUvarint(dst, uint64(w.stream))
	dst = binary.AppendUvarint(dst, uint64(len(w.times)))
	first, last := w.times[0], w.times[len(w.times)-1]
	dst = binary.AppendVarint(dst, first)
	dst = binary.AppendUvarint(dst, uint64(last-first))

	w.data = w.data[:0]
	w.section.begin()
	w.section.add(w.encoder.integers(w.times, w.section.raw))
	dst = w.end(dst)
	dst = binary.AppendUvarint(dst, uint64(len(tables)))
	for _, t := range tables {
		dst = w.entry(dst, t)
	}
	end := len(dst) - start + checksumSize
	binary.LittleEndian.PutUint32(dst[start+directoryAt:], uint32(end))
	binary.LittleEndian.PutUint32(dst[start+sizeAt:], uint32(end+len(w.data)))
	dst = binary.LittleEndian.AppendUint32(dst, checksum(dst[start:]))
	dst = append(dst, w.data...)
	w.Begin(w.worker, w.stream)
	return dst
}
