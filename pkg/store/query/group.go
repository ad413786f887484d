package query

import (
	"fmt"

	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/schemas"
)

// group is the selected columns of a part in a lane.
type group struct {
	part    *schemas.Part
	columns []uint16
	chunks  []chunk // by time
	first   [1]chunk
	counted int // chunks
	values  int // in all chunks that were counted
	lane    int32
	rolled  *rolledGroup // nil unless rollups were tried
	// live says that the lane's last row that was read had the part.
	live bool
	// tangled says that the times of its chunks overlap: it is a sparse part.
	tangled bool
}

// chunk is a stretch of a lane in which a part came up. Where a series has no value it is
// model.Absent, also in the first row without the part.
type chunk struct {
	t []int64
	v []float64 // column after column, each as long as t
	// odd are the columns of which something is damaged, with what is not.
	odd map[int]samples
	// rank is that of the piece, of a sparse part.
	rank uint64
}

type samples struct {
	t []int64
	v []float64
}

// column returns the samples of a column.
func (c *chunk) column(i int) samples {
	if c.odd != nil {
		if s, is := c.odd[i]; is {
			return s
		}
	}
	n := len(c.t)
	return samples{c.t, c.v[i*n : i*n+n : i*n+n]}
}

// spoil replaces a column.
func (c *chunk) spoil(column int, by samples) {
	if c.odd == nil {
		c.odd = map[int]samples{}
	}
	c.odd[column] = by
}

// cut is values of a column, from up to and without to, and the row of the chunk
// where they begin.
type cut struct{ from, to, row int }

// cutsOf cuts runs of a piece to the rows of the window, which are n from first on. low is the
// first row with the part, rows count from the window's first; all is how many values the
// column has in the whole piece.
func (l *loader) cutsOf(runs []Run, first, n int) (low, high, all int) {
	l.cuts = l.cuts[:0]
	for _, r := range runs {
		from, to := max(r.From-first, 0), min(r.To-first, n)
		if from < to {
			if len(l.cuts) == 0 {
				low = from
			}
			at := all + from + first - r.From
			l.cuts = append(l.cuts, cut{at, at + to - from, from - low})
			high = to
		}
		all += r.Rows()
	}
	return low, high, all
}

// take reads a group out of a piece, whose rows from first on are at the times t.
func (l *loader) take(n *lane, g *group, r PieceReader, t []int64, first int) error {
	runs, err := r.Select(g.part.ID())
	if err != nil {
		return l.passOver(n, err)
	}
	low, high, all := l.cutsOf(runs, first, len(t))
	if g.live && (len(l.cuts) == 0 || low > 0) {
		l.end(g, t[:1])
	}
	if len(l.cuts) == 0 {
		return nil
	}
	sparse := g.part.IsSparse()
	g.live = high == len(t) && !sparse
	if !g.live && !sparse {
		high++ // a row without the part
	}
	c := chunk{t: t[low:high], rank: l.rank}
	m := high - low
	c.v = l.memory.values.take(m * len(g.columns))
	last := &l.cuts[len(l.cuts)-1]
	filled := last.row + last.to - last.from
	for i, column := range g.columns {
		dst := c.v[i*m : i*m+m : i*m+m]
		if err := l.column(r, int(column), dst[:filled], all); err != nil {
			c.spoil(i, samples{})
			if err := l.passOver(n, err); err != nil {
				return err
			}
		}
		if filled < m {
			dst[filled] = model.Absent()
		}
	}
	if sparse {
		l.thin(g, &c)
	}
	g.chunks = append(g.chunks, c)
	return nil
}

// end notes that a lane has a row without the part.
func (l *loader) end(g *group, at []int64) {
	v := l.memory.values.take(len(g.columns))
	for i := range v {
		v[i] = model.Absent()
	}
	g.chunks = append(g.chunks, chunk{t: at, v: v})
	g.live = false
}

// column reads the cuts of a column, of all values that it has in the piece.
func (l *loader) column(r PieceReader, column int, dst []float64, all int) error {
	if len(l.cuts) > 1 {
		return l.holed(r, column, dst, all)
	}
	only := l.cuts[0]
	if n := only.to - only.from; n != all {
		if few, can := r.(RowsReader); can {
			read, err := few.Rows(dst[:0], column, only.from, only.to)
			return landed(dst, read, err)
		}
		values, err := l.whole(r, column, all)
		copy(dst, values[min(only.from, len(values)):])
		return err
	}
	read, err := r.Column(dst[:0], column)
	return landed(dst, read, err)
}

// landed checks that what was read is dst.
func landed(dst, read []float64, err error) error {
	switch {
	case err != nil:
		return err
	case len(read) != len(dst):
		return fmt.Errorf("%d values in %d rows of a column", len(read), len(dst))
	case &read[0] != &dst[0]:
		copy(dst, read)
	}
	return nil
}

// holed reads a column of a part that the stream did not have all the time.
func (l *loader) holed(r PieceReader, column int, dst []float64, all int) error {
	values, err := l.whole(r, column, all)
	if err != nil {
		return err
	}
	end := 0
	for _, c := range l.cuts {
		for ; end < c.row; end++ {
			dst[end] = model.Absent()
		}
		end += copy(dst[c.row:], values[c.from:c.to])
	}
	return nil
}

// whole reads a column into scratch.
func (l *loader) whole(r PieceReader, column int, all int) ([]float64, error) {
	values, err := r.Column(l.scratch[:0], column)
	if err != nil {
		return nil, err
	}
	l.scratch = values
	if len(values) != all {
		return nil, fmt.Errorf("%d values in %d rows of a column", len(values), all)
	}
	return values, nil
}
