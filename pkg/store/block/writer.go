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

// table is a part of the block that is being gathered.
type table struct {
	id     frame.PartID
	scales []uint8
	pieces []piece
}

// piece is where values of a part are: in rows from up to and without to, whose
// values begin at multiples of stride from at.
type piece struct {
	span
	at, stride int
}

func (t *table) columns() int { return len(t.scales) }

// Writer gathers a stretch of frames of one stream and seals it. It keeps its
// memory for the next block. Not safe for concurrent use.
type Writer struct {
	worker  model.WorkerID
	stream  model.StreamID
	times   []int64
	values  []float64 // row after row
	known   map[frame.PartID]*table
	tables  []*table // of this block
	spare   []*table
	current []*table // of the schema
	scales  []uint8  // of all tables
	width   int      // of a row
	runRow  int      // the first row of this schema
	runAt   int      // and its first value

	encoder encoder
	section sectionWriter
	rows    []float64 // of one part
	column  []float64
	differs []uint64
	spans   []span
	data    []byte // sealed sections
}

// NewWriter returns a writer, on which Begin is to be called.
func NewWriter() *Writer {
	return &Writer{known: map[frame.PartID]*table{}, section: newSectionWriter()}
}

// Begin begins the block of a stream, and forgets what was not sealed.
func (w *Writer) Begin(worker model.WorkerID, stream model.StreamID) {
	w.worker, w.stream = worker, stream
	w.times, w.values, w.scales = w.times[:0], w.values[:0], w.scales[:0]
	w.current, w.width, w.runRow, w.runAt = w.current[:0], 0, 0, 0
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
	w.endRun()
	w.current, w.width = w.current[:0], 0
	for i := range parts {
		w.current = append(w.current, w.table(&parts[i]))
		w.width += len(parts[i].Scales)
	}
	return nil
}

// endRun says in the tables where the rows since the last change of schema are.
func (w *Writer) endRun() {
	row, at := len(w.times), w.runAt
	for _, t := range w.current {
		if row > w.runRow {
			t.pieces = append(t.pieces, piece{span{w.runRow, row}, at, w.width})
		}
		at += t.columns()
	}
	w.runRow, w.runAt = row, len(w.values)
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
	w.scales = append(w.scales, p.Scales...)
	n := len(w.scales)
	t.id, t.scales, t.pieces = p.ID, w.scales[n-len(p.Scales):n:n], t.pieces[:0]
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
	case n == MaxRows || len(w.values)+len(row) > MaxValues:
		return fmt.Errorf("%d frames of %d values: %w", n, len(w.values), ErrFull)
	}
	w.times = append(w.times, int64(at))
	w.values = append(w.values, row...)
	return nil
}

// Rows is the number of frames that wait to be sealed.
func (w *Writer) Rows() int { return len(w.times) }

// Values is the number of values in them, of eight bytes of memory each.
func (w *Writer) Values() int { return len(w.values) }

// Seal appends the block to dst; there must be a frame. The writer is then as after Begin.
func (w *Writer) Seal(dst []byte) []byte {
	if len(w.times) == 0 {
		panic("block: sealed without a frame")
	}
	w.endRun()
	w.tables = slices.DeleteFunc(w.tables, func(t *table) bool { return len(t.pieces) == 0 })
	tables := w.tables
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
