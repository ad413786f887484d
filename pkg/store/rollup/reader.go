package rollup

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/block"
)

// Reader reads buckets out of a rollup. It keeps its memory from block to block. Not safe for
// concurrent use.
//
//	r.Reset(b)               // any number of blocks, one after the other
//	r.Select(part)           // any number of parts
//	r.Buckets(dst, column, …)
//
// Errors are those of block.Reader, or wrap ErrVersion or ErrInvalid.
type Reader struct {
	block  *block.Block
	reader *block.Reader
	tier   Tier
	lane   []laneBucket // of all rows of the block
	none   []int64

	part    frame.PartID
	columns int // of it
	piece   int // that is selected, -1 for none
	number  int // of it in the block
	mask    mask
	times   []int64               // of the part's rows
	values  [statistics][]float64 // of one column
	scratch []float64
}

// NewReader returns a reader, on which Reset is to be called.
func NewReader() *Reader { return &Reader{reader: block.NewReader(), piece: -1} }

// Reset turns to another rollup, and reads what it says of the lane.
func (r *Reader) Reset(b *block.Block) error {
	r.block, r.piece, r.columns, r.lane, r.tier = b, -1, 0, r.lane[:0], 0
	r.reader.Reset(b)
	number, found := b.Find(clock)
	if !found {
		return fmt.Errorf("block without a clock: %w", ErrInvalid)
	}
	if err := r.reader.Select(number); err != nil {
		return err
	}
	if n := r.reader.Columns(); n < clockColumns || b.Part(number).Rows != b.Rows() {
		return fmt.Errorf("clock of %d columns, %d of %d rows: %w", n, b.Part(number).Rows, b.Rows(), ErrInvalid)
	}
	times, err := r.reader.Times()
	if err != nil {
		return err
	}
	for c := range clockColumns {
		if r.values[c], err = r.reader.Values(r.values[c][:0], c, 0, b.Rows()); err != nil {
			return err
		}
	}
	if v := r.values[clockVersion][0]; v != version {
		return fmt.Errorf("version %v: %w", v, ErrVersion)
	}
	r.tier = Tier(whole(r.values[clockTier][0], math.MaxInt32))
	if !r.tier.Known() {
		return fmt.Errorf("tier of %v ms: %w", r.values[clockTier][0], ErrInvalid)
	}
	for i, at := range times {
		start, span := whole(r.values[clockStart][i], int64(r.tier)), whole(r.values[clockSpan][i], int64(r.tier))
		rows := whole(r.values[clockRows][i], math.MaxInt32)
		if start < 1 || span < 0 || start+span > int64(r.tier) || rows < 1 || span < rows-1 || at%int64(r.tier) != 0 {
			r.lane = r.lane[:0]
			return fmt.Errorf("bucket %d ends at %d, rows from %d for %d ms: %w", i, at, start, span, ErrInvalid)
		}
		from := model.Millis(at - int64(r.tier) + start)
		r.lane = append(r.lane, laneBucket{model.Millis(at), from, from + model.Millis(span), int(rows)})
	}
	return nil
}

// whole is v if it is a whole number from 0 to most, else -1.
func whole(v float64, most int64) int64 {
	if v >= 0 && v <= float64(most) && v == math.Trunc(v) {
		return int64(v)
	}
	return -1
}

// Tier is that of the block.
func (r *Reader) Tier() Tier { return r.tier }

// Range gives the times of the lane's first and last row.
func (r *Reader) Range() (first, last model.Millis) {
	return r.lane[0].from, r.lane[len(r.lane)-1].to
}

// Select turns to a part. It returns how many columns it has, 0 when it is not in the block.
func (r *Reader) Select(part frame.PartID) (columns int, err error) {
	if r.piece >= 0 && r.part == part {
		return r.columns, nil
	}
	r.part, r.piece, r.columns = part, -1, 0
	if part == clock {
		return 0, nil
	}
	if _, found := r.block.Find(part); !found {
		return 0, nil
	}
	if err := r.open(0); err != nil {
		return 0, err
	}
	return r.columns, nil
}

// open turns to a piece of the part.
func (r *Reader) open(piece int) error {
	if r.piece == piece {
		return nil
	}
	r.piece = -1
	number, found := r.block.Find(pieceID(r.part, piece))
	if !found {
		return fmt.Errorf("part %v lacks piece %d: %w", r.part, piece, ErrInvalid)
	}
	if err := r.reader.Select(number); err != nil {
		return err
	}
	m, columns, err := r.head(piece)
	if err != nil {
		return fmt.Errorf("part %v, piece %d: %w", r.part, piece, err)
	}
	if piece > 0 && columns != r.columns {
		return fmt.Errorf("part %v of %d columns, piece %d of %d: %w", r.part, r.columns, piece, columns, ErrInvalid)
	}
	r.piece, r.number, r.mask, r.columns = piece, number, m, columns
	return nil
}

// head reads what stands before the statistics, and the times of the part's rows.
func (r *Reader) head(piece int) (m mask, columns int, err error) {
	have := r.reader.Columns()
	if have < headSize {
		return 0, 0, fmt.Errorf("%d columns: %w", have, ErrInvalid)
	}
	first, last := r.block.Range()
	if r.times, r.scratch, err = r.reader.Column(r.times[:0], r.scratch[:0], headMask, first, last); err != nil {
		return 0, 0, err
	}
	masks := whole(r.scratch[0], 1<<statistics-1)
	var numbers [2]int64
	for i, c := range [...]int{headPiece, headColumns} {
		if r.scratch, err = r.reader.Values(r.scratch[:0], c, 0, 1); err != nil {
			return 0, 0, err
		}
		numbers[i] = whole(r.scratch[0], frame.MaxPartColumns)
	}
	columns = int(numbers[1])
	mine := min(columns-piece*pieceColumns, pieceColumns)
	m = mask(masks)
	if masks < 0 || !m.has(statFirst) || numbers[0] != int64(piece) || mine < 1 || have != headSize+m.count()*mine {
		return 0, 0, fmt.Errorf("statistics %#x of %d columns in %d, piece %d: %w", masks, columns, have, numbers[0], ErrInvalid)
	}
	return m, columns, nil
}

// Buckets appends the buckets of a column of the selected part that end from from to to, both
// included: one for each bucket in which the lane had rows. A column of a part that is
// not in the block has buckets too: they have no samples.
func (r *Reader) Buckets(dst []Bucket, column int, from, to model.Millis) ([]Bucket, error) {
	start := len(dst)
	low, _ := slices.BinarySearchFunc(r.lane, from, func(l laneBucket, at model.Millis) int { return cmp.Compare(l.at, at) })
	for _, l := range r.lane[low:] {
		if l.at > to {
			break
		}
		dst = append(dst, Bucket{At: l.at, From: l.from, To: l.to})
	}
	if r.columns == 0 || start == len(dst) {
		return dst, nil
	}
	if column < 0 || column >= r.columns {
		return dst[:start], fmt.Errorf("column %d of %d: %w", column, r.columns, ErrInvalid)
	}
	if err := r.open(column / pieceColumns); err != nil {
		return dst[:start], err
	}
	if err := r.column(dst[start:], r.lane[low:], column%pieceColumns); err != nil {
		return dst[:start], err
	}
	return dst, nil
}

// column fills buckets, which are those of the lane's from the first on.
func (r *Reader) column(buckets []Bucket, lane []laneBucket, column int) (err error) {
	row, _ := slices.BinarySearch(r.times, int64(buckets[0].At))
	end, found := slices.BinarySearch(r.times, int64(buckets[len(buckets)-1].At))
	if found {
		end++
	}
	if row == end {
		return nil
	}
	k := (r.reader.Columns() - headSize) / r.mask.count()
	for s := range statistics {
		r.values[s] = r.values[s][:0]
		if r.mask.has(s) {
			if r.values[s], err = r.reader.Values(r.values[s], headSize+r.mask.place(s)*k+column, row, end); err != nil {
				return err
			}
		}
	}
	i := 0
	for j, at := range r.times[row:end] {
		for i < len(buckets) && int64(buckets[i].At) < at {
			i++
		}
		if i == len(buckets) || int64(buckets[i].At) != at {
			return fmt.Errorf("part %v has a bucket at %d that the lane has not: %w", r.part, at, ErrInvalid)
		}
		if !r.bucket(&buckets[i], j, lane[i].rows) {
			return fmt.Errorf("part %v, column %d, bucket that ends at %d: %w", r.part, column, at, ErrInvalid)
		}
	}
	return nil
}

// count is a statistic that counts something up to most: -1 if it cannot be.
func (r *Reader) count(s statistic, row int, most int64) int64 {
	if len(r.values[s]) == 0 {
		return 0
	}
	return whole(r.values[s][row], most)
}

// value is a statistic that may follow from others.
func (r *Reader) value(s statistic, row int, written bool, otherwise float64) float64 {
	if written && len(r.values[s]) > 0 {
		return r.values[s][row]
	}
	return otherwise
}

// bucket fills b from a row of r.values. It reports whether that can be.
func (r *Reader) bucket(b *Bucket, row, rows int) bool {
	gone, marked := r.count(statMissing, row, int64(rows)), r.count(statMarks, row, anyFlag-1)
	if gone < 0 || marked < 0 {
		return false
	}
	if b.Count = rows - int(gone); b.Count == 0 {
		return true
	}
	width := int64(b.To - b.From)
	start, rest := r.count(statBegins, row, width), r.count(statEnds, row, width)
	falls, after := r.count(statResets, row, int64(b.Count)-1), r.count(statStale, row, width)
	if start < 0 || rest < 0 || falls < 0 || after < 0 || after > rest {
		return false
	}
	b.FirstAt, b.LastAt = b.From+model.Millis(start), b.To-model.Millis(rest)
	if b.LastAt-b.FirstAt < model.Millis(b.Count-1) {
		return false
	}
	if b.Stale = after > 0; b.Stale {
		b.StaleAt = b.LastAt + model.Millis(after)
	}
	b.First = r.values[statFirst][row]
	b.Last = r.value(statLast, row, marked&hasLast != 0, b.First)
	b.Min = r.value(statMin, row, marked&hasLow != 0, lower(b.Last, b.First))
	b.Max = r.value(statMax, row, marked&hasHigh != 0, higher(b.Last, b.First))
	b.Sum = r.value(statSum, row, marked&hasSum != 0, b.First*float64(b.Count))
	b.Resets = int(falls)
	b.Before = r.value(statBefore, row, falls > 0, 0)
	b.Whole, b.Gauge = marked&fraction == 0, marked&gauge != 0
	if b.Gauge {
		b.Resets, b.Before = 0, 0
	}
	return true
}
