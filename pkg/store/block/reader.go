package block

import (
	"fmt"
	"slices"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Reader decodes a block, part by part. It keeps its memory from block to
// block, and allocates nothing once it has grown to what it reads. It checks
// every section when it reads it first. Not safe for concurrent use.
//
//	r.Reset(b)             // any number of blocks, one after the other
//	r.Select(part)         // any number of parts
//	r.Summary(column)      // reads the part's head only
//	r.Column(column, ...)  // reads the column's group, and keeps it for the next
type Reader struct {
	block   *Block
	part    int // number of the selected part, -1 for none
	section sectionReader
	decoder decoder
	clock   sectionReader // of the times
	times   []int64       // of the block; empty before they were needed
}

// NewReader returns a reader, on which Reset is to be called.
func NewReader() *Reader {
	// No option can fail: they are constants.
	z, err := newZstdReader()
	if err != nil {
		panic(fmt.Sprintf("block: zstd: %v", err))
	}
	return &Reader{part: -1, section: sectionReader{zstd: z, held: -1}, clock: sectionReader{zstd: z, held: -1}}
}

// Reset turns to another block, or to one that was reopened.
func (r *Reader) Reset(b *Block) {
	r.block, r.part, r.times = b, -1, r.times[:0]
}

// Times returns the times of all the block's frames. They belong to the reader
// and are valid until Reset.
func (r *Reader) Times() ([]int64, error) {
	if len(r.times) == r.block.rows {
		return r.times, nil
	}
	if bad := r.readTimes(); bad != "" {
		r.times = r.times[:0]
		return nil, &Damage{SectionTimes, -1, r.block.times.at, bad}
	}
	return r.times, nil
}

func (r *Reader) readTimes() (bad string) {
	b := r.block
	if bad := r.clock.open(b.data, b.times); bad != "" {
		return bad
	}
	c := &r.clock.columns[0]
	if !c.kind.counted() || c.odd {
		return "not whole numbers"
	}
	raw, bad := r.clock.bytesOf(b.data, c)
	if bad != "" {
		return bad
	}
	r.times = append(r.times[:0], r.decoder.counts(c, b.rows, 0, b.rows, raw)...)
	if r.times[0] != int64(b.first) || r.times[b.rows-1] != int64(b.last) {
		return "not the first and last time of the directory"
	}
	for i := 1; i < len(r.times); i++ {
		if r.times[i] <= r.times[i-1] {
			return fmt.Sprintf("row %d is not later than the one before", i)
		}
	}
	return ""
}

// Select turns to a part of the block, which is below Block.Parts.
func (r *Reader) Select(part int) error {
	if r.part == part {
		return nil
	}
	r.part = -1
	place := r.block.parts[part].place
	if bad := r.section.open(r.block.data, place); bad != "" {
		return &Damage{SectionHead, part, place.at, bad}
	}
	r.part = part
	return nil
}

// Columns is the number of columns of the selected part.
func (r *Reader) Columns() int { return len(r.section.columns) }

// Summary says what is known of a column of the selected part without
// decoding it.
func (r *Reader) Summary(column int) Summary {
	return r.section.columns[column].summary(r.section.place.rows)
}

// TimeOf is the time of a row of the selected part. It reads the block's times.
func (r *Reader) TimeOf(row int) (model.Millis, error) {
	times, err := r.Times()
	if err != nil {
		return 0, err
	}
	for _, s := range r.block.parts[r.part].spans {
		if n := s.to - s.from; row >= n {
			row -= n
			continue
		}
		return model.Millis(times[s.from+row]), nil
	}
	return 0, fmt.Errorf("row %d is beyond the part's last", row)
}

// Rows returns which rows of the selected part have a time of from to to, both
// included: first, up to and without last.
func (r *Reader) Rows(from, to model.Millis) (first, last int, err error) {
	if from <= r.block.first && to >= r.block.last {
		return 0, r.section.place.rows, nil
	}
	times, err := r.Times()
	if err != nil {
		return 0, 0, err
	}
	low, _ := slices.BinarySearch(times, int64(from))
	high, found := slices.BinarySearch(times, int64(to))
	if found {
		high++
	}
	for _, s := range r.block.parts[r.part].spans {
		first += min(max(low-s.from, 0), s.to-s.from)
		last += min(max(high-s.from, 0), s.to-s.from)
	}
	return first, max(first, last), nil
}

// Values appends the rows first up to and without last of a column of the
// selected part to v. Rows in which it was not read are model.Absent.
func (r *Reader) Values(v []float64, column, first, last int) ([]float64, error) {
	if first < 0 || last < first || last > r.section.place.rows {
		return v, fmt.Errorf("rows %d to %d of %d: %w", first, last, r.section.place.rows, ErrInvalid)
	}
	if first == last {
		return v, nil
	}
	c := &r.section.columns[column]
	raw, bad := r.section.bytesOf(r.block.data, c)
	if bad == "" {
		n := len(v)
		v = slices.Grow(v, last-first)[:n+last-first]
		if bad = r.decoder.values(c, r.section.place.rows, first, last, raw, v[n:]); bad == "" {
			return v, nil
		}
		v = v[:n]
	}
	place := &r.section.place
	return v, &Damage{SectionValues, r.part, place.at + place.head, fmt.Sprintf("column %d: %s", column, bad)}
}

// Column appends the samples of a column of the selected part that have a time
// of from to to, both included: their times to t and their values to v. A
// sample whose value is model.Absent says that the column was not read then.
func (r *Reader) Column(t []int64, v []float64, column int, from, to model.Millis) ([]int64, []float64, error) {
	first, last, err := r.Rows(from, to)
	if err != nil || first == last {
		return t, v, err
	}
	times, err := r.Times()
	if err != nil {
		return t, v, err
	}
	v, err = r.Values(v, column, first, last)
	if err != nil {
		return t, v, err
	}
	before := 0
	for _, s := range r.block.parts[r.part].spans {
		n := s.to - s.from
		if low, high := max(first-before, 0), min(last-before, n); low < high {
			t = append(t, times[s.from+low:s.from+high]...)
		}
		before += n
	}
	return t, v, nil
}
