package store

import (
	"cmp"
	"errors"
	"slices"

	"github.com/cloudless-fleet/cloudless/pkg/durable"
	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/block"
	"github.com/cloudless-fleet/cloudless/pkg/store/query"
	"github.com/cloudless-fleet/cloudless/pkg/store/volume"
)

// rollValues is how many values of a lane are in memory at once, unless one row has more: 32 MiB.
const rollValues = 1 << 22

// rollSource is where rows of a lane are: an entry of a raw volume, of which the rows after
// a time are wanted.
type rollSource struct {
	volume.Located
	after model.Millis
	parts []block.PartInfo
	size  int // values
	lost  bool
}

// rollRows reads the rows of a lane out of raw volumes, in the order of their times. For one
// goroutine; it keeps its memory.
type rollRows struct {
	readers query.Readers
	block   *block.Block
	layouts map[string]*rollLayout
	key     []byte
	cursors []*rollCursor
	spare   []*rollCursor
	scratch []float64

	// damaged is told what cannot be read.
	damaged func(error)
}

// rollLayout is the parts of rows. There is one for each list of them.
type rollLayout struct {
	parts   []block.PartInfo
	columns int
}

// read visits the rows of sources up to a time, inclusive. Of rows with equal times the one
// stored first counts. A row without parts is an end row. What cannot be read is passed over,
// unless the disk fails.
func (r *rollRows) read(sources []rollSource, until model.Millis, visit func(at model.Millis, l *rollLayout, row []float64) error) error {
	if len(r.layouts) > 1<<12 {
		r.layouts = nil // hosts of other kinds
	}
	for len(sources) > 0 {
		last := sources[0].Last
		n := 1
		for ; n < len(sources) && sources[n].First <= last; n++ {
			last = max(last, sources[n].Last)
		}
		if err := r.together(sources[:n], min(last, until), visit); err != nil {
			return err
		}
		sources = sources[n:]
	}
	return nil
}

// together reads sources that overlap: some time of all of them, then the next.
func (r *rollRows) together(sources []rollSource, last model.Millis, visit func(model.Millis, *rollLayout, []float64) error) error {
	size := 0
	for i := range sources {
		if err := r.pass(r.survey(&sources[i]), &sources[i]); err != nil {
			return err
		}
		size += sources[i].size
	}
	first := max(sources[0].First, sources[0].after+1)
	for i := range sources {
		first = min(first, max(sources[i].First, sources[i].after+1))
	}
	if first > last {
		return nil
	}
	step := (last-first)/model.Millis(size/rollValues+1) + 1
	for from := first; from <= last; from += step {
		if err := r.stretch(sources, from, min(from+step-1, last), visit); err != nil {
			return err
		}
	}
	return nil
}

// survey looks what a block has.
func (r *rollRows) survey(s *rollSource) error {
	s.parts, s.size = s.parts[:0], 0
	if s.Size == 0 {
		return nil
	}
	b, err := s.File.Block(s.Entry, r.block)
	if err != nil {
		return err
	}
	r.block = b
	for i := range b.Parts() {
		p := b.Part(i)
		s.parts = append(s.parts, p)
		s.size += p.Columns * p.Rows
	}
	return nil
}

// pass lets go on after an error that concerns a block only.
func (r *rollRows) pass(err error, s *rollSource) error {
	if err == nil || errors.Is(err, durable.ErrDisk) || errors.Is(err, volume.ErrClosed) {
		return err
	}
	s.lost = true
	r.damaged(err)
	return nil
}

// stretch reads the rows of a time.
func (r *rollRows) stretch(sources []rollSource, from, to model.Millis, visit func(model.Millis, *rollLayout, []float64) error) error {
	r.spare = append(r.spare, r.cursors...)
	r.cursors = r.cursors[:0]
	for i := range sources {
		s := &sources[i]
		low := max(from, s.after+1)
		if s.lost || s.Last < low || s.First > to {
			continue
		}
		c := r.cursor()
		err := volume.Guard(func() error { return c.load(r, s, low, to) })
		if err != nil {
			r.spare = append(r.spare, c)
			if err := r.pass(s.File.Locate(s.Entry, err), s); err != nil {
				return err
			}
			continue
		}
		if len(c.times) > 0 {
			r.cursors = append(r.cursors, c)
		}
	}
	slices.SortStableFunc(r.cursors, func(a, b *rollCursor) int { return cmp.Compare(a.rank, b.rank) })
	return merge(r.cursors, visit)
}

// merge visits the rows of cursors by time; the first cursor's count.
func merge(cursors []*rollCursor, visit func(model.Millis, *rollLayout, []float64) error) error {
	for {
		var next *rollCursor
		for _, c := range cursors {
			if c.at < len(c.times) && (next == nil || c.times[c.at] < next.times[next.at]) {
				next = c
			}
		}
		if next == nil {
			return nil
		}
		now := next.times[next.at]
		layout, row := next.row()
		if err := visit(model.Millis(now), layout, row); err != nil {
			return err
		}
		for _, c := range cursors {
			if c.at < len(c.times) && c.times[c.at] == now {
				c.at++
			}
		}
	}
}

func (r *rollRows) cursor() *rollCursor {
	if n := len(r.spare); n > 0 {
		c := r.spare[n-1]
		r.spare = r.spare[:n-1]
		return c
	}
	return new(rollCursor)
}

// layoutOf returns the one layout of parts.
func (r *rollRows) layoutOf(parts []block.PartInfo) *rollLayout {
	r.key = r.key[:0]
	for i := range parts {
		r.key = append(r.key, parts[i].ID[:]...)
	}
	if l := r.layouts[string(r.key)]; l != nil {
		return l
	}
	l := &rollLayout{parts: slices.Clone(parts)}
	for _, p := range parts {
		l.columns += p.Columns
	}
	if r.layouts == nil {
		r.layouts = map[string]*rollLayout{}
	}
	r.layouts[string(r.key)] = l
	return l
}

// rollCursor holds rows of one source.
type rollCursor struct {
	rank   uint64
	times  []int64
	at     int // the row now
	pieces []rollPiece
	data   []float64

	runs  [][]query.Run // of the source's parts
	bound []int         // where the layout changes
	now   int           // piece
	tile  []float64     // rows of a piece, one after the other
	tiled int           // the first of them
	tiles int           // how many they are
}

// rollPiece is rows of one layout, column after column.
type rollPiece struct {
	from, to int // rows of the cursor
	layout   *rollLayout
	data     []float64
}

// load reads the rows of a time, inclusive.
func (c *rollCursor) load(r *rollRows, s *rollSource, from, to model.Millis) error {
	c.rank, c.times, c.at, c.now, c.tiles = rankOf(s.Located), c.times[:0], 0, 0, 0
	clear(c.pieces)
	c.pieces, c.data = c.pieces[:0], c.data[:0]
	reader, err := pieceOf(s.Located).Open(&r.readers)
	if err != nil {
		return err
	}
	defer reader.Close()
	times, err := reader.Times()
	if err != nil {
		return err
	}
	low, _ := slices.BinarySearch(times, int64(from))
	high, found := slices.BinarySearch(times, int64(to))
	if found {
		high++
	}
	if low >= high {
		return nil
	}
	c.times = append(c.times, times[low:high]...)
	if err := c.split(r, s, reader, low); err != nil {
		return err
	}
	return c.values(r, s, reader, low)
}

// split finds where the layout changes.
func (c *rollCursor) split(r *rollRows, s *rollSource, reader query.PieceReader, low int) error {
	n := len(c.times)
	c.runs = slices.Grow(c.runs[:0], len(s.parts))[:len(s.parts)]
	c.bound = append(c.bound[:0], 0, n)
	for i := range s.parts {
		runs, err := reader.Select(s.parts[i].ID)
		if err != nil {
			return err
		}
		c.runs[i] = append(c.runs[i][:0], runs...)
		for _, u := range runs {
			for _, at := range [2]int{u.From - low, u.To - low} {
				if at > 0 && at < n {
					c.bound = append(c.bound, at)
				}
			}
		}
	}
	slices.Sort(c.bound)
	c.bound = slices.Compact(c.bound)
	var parts []block.PartInfo
	values := 0
	for i := 1; i < len(c.bound); i++ {
		p := rollPiece{from: c.bound[i-1], to: c.bound[i]}
		parts = parts[:0]
		for k := range s.parts {
			if _, in := place(c.runs[k], p.from+low); in {
				parts = append(parts, s.parts[k])
			}
		}
		p.layout = r.layoutOf(parts)
		values += (p.to - p.from) * p.layout.columns
		c.pieces = append(c.pieces, p)
	}
	c.data = slices.Grow(c.data, values)[:values]
	rest := c.data
	for i := range c.pieces {
		p := &c.pieces[i]
		n := (p.to - p.from) * p.layout.columns
		p.data, rest = rest[:n:n], rest[n:]
	}
	return nil
}

// place tells which of the rows of runs a row is.
func place(runs []query.Run, row int) (at int, in bool) {
	for _, u := range runs {
		switch {
		case row < u.From:
			return at, false
		case row < u.To:
			return at + row - u.From, true
		}
		at += u.Rows()
	}
	return at, false
}

// values reads all columns.
func (c *rollCursor) values(r *rollRows, s *rollSource, reader query.PieceReader, low int) error {
	rows, can := reader.(query.RowsReader)
	for k := range s.parts {
		if len(c.runs[k]) == 0 {
			continue
		}
		if _, err := reader.Select(s.parts[k].ID); err != nil {
			return err
		}
		for i := range c.pieces {
			p := &c.pieces[i]
			at, in := place(c.runs[k], p.from+low)
			if !in {
				continue
			}
			n := p.to - p.from
			dst := p.data[n*p.layout.before(s.parts[k].ID):]
			for column := range s.parts[k].Columns {
				one := dst[column*n : column*n : column*n+n]
				var err error
				if can {
					one, err = rows.Rows(one, column, at, at+n)
				} else if r.scratch, err = reader.Column(r.scratch[:0], column); err == nil {
					one = append(one, r.scratch[at:at+n]...)
				}
				if err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// before is how many columns stand before a part's.
func (l *rollLayout) before(id frame.PartID) (columns int) {
	for i := range l.parts {
		if l.parts[i].ID == id {
			break
		}
		columns += l.parts[i].Columns
	}
	return columns
}

// tileRows is how many rows are turned from columns at once.
const tileRows = 64

// row returns the row that the cursor is at, valid until the next call.
func (c *rollCursor) row() (*rollLayout, []float64) {
	for c.at >= c.pieces[c.now].to {
		c.now++
		c.tiles = 0
	}
	p := &c.pieces[c.now]
	k := p.layout.columns
	if c.tiles == 0 || c.at >= c.tiled+c.tiles {
		c.tiled, c.tiles = c.at, min(tileRows, p.to-c.at)
		c.tile = slices.Grow(c.tile[:0], c.tiles*k)[:c.tiles*k]
		n := p.to - p.from
		for column := range k {
			values := p.data[column*n+c.at-p.from:][:c.tiles]
			for i, v := range values {
				c.tile[i*k+column] = v
			}
		}
	}
	from := (c.at - c.tiled) * k
	return p.layout, c.tile[from : from+k]
}
