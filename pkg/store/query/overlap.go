package query

import (
	"cmp"
	"math"
	"slices"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// overlap makes one timeline of pieces whose times overlap.
type overlap struct {
	pieces []overlapping
	rows   []row
	groups []presence
	// lost are rows of the timeline whose values could not be read, by group and column.
	lost map[lostKey][]int32
}

// overlapping is a piece, as far as it is in the window.
type overlapping struct {
	piece Piece
	first int     // row of the window
	at    []int32 // of its rows: the row of the timeline, -1 when another's counts
}

type row struct {
	t     int64
	piece int32
	row   int32
}

// presence is when a group came up.
type presence struct{ first, last int64 }

type lostKey struct{ group, column int }

// several reads pieces that overlap. Each is opened at least twice, so that only one is open at
// a time: there may be hundreds, when a day was delivered late.
func (l *loader) several(n *lane, pieces []Piece) error {
	o := &l.overlap
	o.reset(len(n.groups), pieces)
	defer clear(o.pieces)
	for i := range o.pieces {
		err := l.guarded(o.pieces[i].piece, func(r PieceReader) error { return l.survey(n, i, r) })
		if err := l.passOver(n, err); err != nil {
			return err
		}
	}
	since := l.memory.mark()
	t := o.timeline(&l.memory.times)
	if len(t) == 0 {
		return nil
	}
	l.hold(int64(len(t)))
	values := l.memory.mark()
	for from := 0; from < len(n.groups); {
		to, err := l.batch(n.groups, from, t)
		if err == nil {
			err = l.values(n, from, to)
		}
		if err == nil {
			err = l.account(n, n.groups[from:to], values)
		}
		if err != nil {
			return err
		}
		from = to
	}
	if n.lazy {
		l.forget(nil, since)
	}
	return nil
}

// batchValues is about how many values are read of pieces that overlap at once: when there are
// more, the pieces are opened once more.
const batchValues = 1 << 21

// batch makes chunks for groups, without values yet, until there are enough of them.
func (l *loader) batch(groups []*group, from int, t []int64) (to int, err error) {
	values := 0
	for to = from; to < len(groups) && (to == from || values < l.most); to++ {
		g := groups[to]
		low, high := l.overlap.place(to, t)
		values += (high - low) * len(g.columns)
		if err := l.allow(int64(values)); err != nil {
			return to, err
		}
		l.prepare(g, low, high, t)
	}
	return to, nil
}

// values reads the values of groups from up to and without to.
func (l *loader) values(n *lane, from, to int) error {
	o := &l.overlap
	o.lost = nil
	for i := range o.pieces {
		p := &o.pieces[i]
		if len(p.at) == 0 {
			continue
		}
		err := l.guarded(p.piece, func(r PieceReader) error { return l.fill(n, from, to, p, r) })
		if err != nil {
			// Which of its rows had a part is not known.
			for k := from; k < to; k++ {
				o.lose(k, len(n.groups[k].columns), p.at)
			}
		}
		if err := l.passOver(n, err); err != nil {
			return err
		}
	}
	for k := from; k < to; k++ {
		g := n.groups[k]
		o.finish(k, g)
		if g.part.IsSparse() && o.groups[k].first >= 0 {
			l.thin(g, &g.chunks[len(g.chunks)-1])
		}
	}
	return nil
}

func (o *overlap) reset(groups int, pieces []Piece) {
	o.pieces, o.rows, o.lost = o.pieces[:0], o.rows[:0], nil
	for _, p := range pieces {
		o.pieces = append(o.pieces, overlapping{piece: p})
	}
	// The first that is met counts.
	slices.SortStableFunc(o.pieces, func(a, b overlapping) int { return cmp.Compare(a.piece.Rank(), b.piece.Rank()) })
	o.groups = slices.Grow(o.groups[:0], groups)[:groups]
	for i := range o.groups {
		o.groups[i] = presence{math.MaxInt64, math.MinInt64}
	}
}

// survey notes the times of a piece, and from when to when it has the groups.
func (l *loader) survey(n *lane, i int, r PieceReader) error {
	o := &l.overlap
	times, err := r.Times()
	if err != nil {
		return err
	}
	from, to := l.rows(times)
	p := &o.pieces[i]
	p.first, p.at = from, make([]int32, to-from)
	for k := from; k < to; k++ {
		o.rows = append(o.rows, row{times[k], int32(i), int32(k - from)})
	}
	if from == to {
		return nil
	}
	for k, g := range n.groups {
		runs, err := r.Select(g.part.ID())
		if err != nil {
			continue // it is said when the values are read
		}
		if low, high, _ := l.cutsOf(runs, from, to-from); len(l.cuts) > 0 {
			s := &o.groups[k]
			s.first, s.last = min(s.first, times[from+low]), max(s.last, times[from+high-1])
		}
	}
	return nil
}

// timeline sorts the rows, and drops those whose time another one has that counts.
func (o *overlap) timeline(memory *slabs[int64]) []int64 {
	slices.SortFunc(o.rows, func(a, b row) int {
		if c := cmp.Compare(a.t, b.t); c != 0 {
			return c
		}
		return cmp.Compare(a.piece, b.piece)
	})
	t := memory.take(len(o.rows))[:0]
	for _, r := range o.rows {
		at := int32(-1)
		if len(t) == 0 || t[len(t)-1] != r.t {
			at = int32(len(t))
			t = append(t, r.t)
		}
		o.pieces[r.piece].at[r.row] = at
	}
	return t
}

// place finds the rows of a group: from low on, up to and without high, where it may be
// in each; none when low is negative, as is then its first row.
func (o *overlap) place(k int, t []int64) (low, high int) {
	s := &o.groups[k]
	if s.first > s.last {
		*s = presence{-1, -1}
		return -1, -1
	}
	low, _ = slices.BinarySearch(t, s.first)
	high, found := slices.BinarySearch(t, s.last)
	if found {
		high++
	}
	*s = presence{int64(low), int64(high)}
	return low, high
}

// prepare makes the chunk of a group, without values yet.
func (l *loader) prepare(g *group, low, high int, t []int64) {
	if g.live && low != 0 {
		l.end(g, t[:1])
	}
	if low < 0 {
		return
	}
	sparse := g.part.IsSparse()
	g.live = high == len(t) && !sparse
	if !g.live && !sparse {
		high++
	}
	v := l.memory.values.take((high - low) * len(g.columns))
	for i := range v {
		v[i] = model.Absent()
	}
	g.chunks = append(g.chunks, chunk{t: t[low:high], v: v})
}

// fill reads the values that groups have in a piece.
func (l *loader) fill(n *lane, from, to int, p *overlapping, r PieceReader) error {
	o := &l.overlap
	for k := from; k < to; k++ {
		g := n.groups[k]
		low := int(o.groups[k].first)
		runs, err := r.Select(g.part.ID())
		if err != nil {
			o.lose(k, len(g.columns), p.at)
			if err := l.passOver(n, err); err != nil {
				return err
			}
			continue
		}
		first, _, all := l.cutsOf(runs, p.first, len(p.at))
		if len(l.cuts) == 0 || low < 0 {
			continue
		}
		c := &g.chunks[len(g.chunks)-1]
		for i, column := range g.columns {
			values, err := l.whole(r, int(column), all)
			dst := c.v[i*len(c.t):][:len(c.t)]
			for _, u := range l.cuts {
				at := p.at[first+u.row:][:u.to-u.from]
				if err != nil {
					o.loseColumn(k, i, at)
					continue
				}
				for j, v := range values[u.from:u.to] {
					if at[j] >= 0 {
						dst[int(at[j])-low] = v
					}
				}
			}
			if err := l.passOver(n, err); err != nil {
				return err
			}
		}
	}
	return nil
}

// lose notes that nothing is known of a group in some rows.
func (o *overlap) lose(group, columns int, at []int32) {
	for i := range columns {
		o.loseColumn(group, i, at)
	}
}

func (o *overlap) loseColumn(group, column int, at []int32) {
	if o.lost == nil {
		o.lost = map[lostKey][]int32{}
	}
	key := lostKey{group, column}
	o.lost[key] = append(o.lost[key], at...)
}

// finish takes the rows that were lost out of the chunk of a group: nothing is known of them,
// and a row without a value would end the series.
func (o *overlap) finish(k int, g *group) {
	s := o.groups[k]
	if o.lost == nil || s.first < 0 {
		return
	}
	c := &g.chunks[len(g.chunks)-1]
	for i := range g.columns {
		lost, some := o.lost[lostKey{k, i}]
		if !some {
			continue
		}
		gone := make([]bool, len(c.t))
		for _, at := range lost {
			if j := int64(at) - s.first; at >= 0 && j >= 0 && j < int64(len(gone)) {
				gone[j] = true
			}
		}
		var rest samples
		for j, v := range c.column(i).v {
			if !gone[j] {
				rest.t, rest.v = append(rest.t, c.t[j]), append(rest.v, v)
			}
		}
		c.spoil(i, rest)
	}
}
