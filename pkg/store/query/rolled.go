package query

import (
	"errors"
	"fmt"
	"slices"

	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/block"
	"github.com/cloudless-fleet/cloudless/pkg/store/rollup"
	"github.com/cloudless-fleet/cloudless/pkg/store/volume"
)

// tiering is what a selection needs to be answered from rollups.
type tiering struct {
	rollups Rollups
	plan    *rollup.Plan // nil: it is answered from rows
	gone    model.Millis // rows are gone up to this time
	// filling is how rollups stand in for rows that are gone; nil: none are.
	filling *filling
}

// rolledGroup is what a group has from rollups.
type rolledGroup struct {
	joined []bool         // columns whose series are in several places: see joinSeries
	got    []rolledColumn // of all columns; nil while nothing was read
	rest   *group         // columns that must be read as rows
	restAt []int32        // of a column: its place in rest
}

type rolledColumn struct {
	samples
	exact bool
}

// rolling is what a loader keeps to read rollups.
type rolling struct {
	reader  *rollup.Reader
	block   *block.Block
	emitter rollup.Emitter
	buckets [][]rollup.Bucket // of some columns
	out     samples
	aside   *memory // of rows that are folded
	before  []int64 // times of the last series: most have the same
}

// bucketsAtOnce is how many buckets are kept until they have become samples: some 20 MiB.
const bucketsAtOnce = 1 << 17

// errUnrolled says that rollups of a lane cannot be read, and its rows are to be.
var errUnrolled = errors.New("rollups cannot be read")

// tieredLane reads a lane by the plan, or else its rows.
func (l *loader) tieredLane(n *lane) error {
	l.rolling.before, n.rolled = nil, nil // what was given up may be used by others
	if l.plan != nil {
		if done, err := l.rolledLane(n); done || err != nil {
			return err
		}
	}
	return l.rowsOf(n)
}

// rolledLane reads a lane by the plan; done is false when rows are to be read instead.
func (l *loader) rolledLane(n *lane) (done bool, err error) {
	if slices.ContainsFunc(n.groups, func(g *group) bool { return g.part.IsSparse() }) {
		return false, nil
	}
	all, rolled, err := l.stretches(n, l.plan)
	if err != nil || !rolled {
		return false, err
	}
	if l.filling != nil && l.plan.Tier != rollup.Hour {
		gone, err := l.goneOf(n)
		if err != nil || slices.ContainsFunc(gone, func(s stretch) bool { return s.tier > l.plan.Tier }) {
			return false, l.passOver(n, err) // wider ones stand in for rows that finer ones lack, too
		}
	}
	err = l.rolledGroups(n, all)
	if errors.Is(err, errUnrolled) {
		l.unroll(n)
		return false, nil
	}
	if err != nil {
		return false, err
	}
	n.rolled = all
	l.sayLost(all)
	return true, l.rest(n)
}

// unroll forgets what was read of a lane's rollups.
func (l *loader) unroll(n *lane) {
	n.rolled, l.rolling.before = nil, nil
	for _, g := range n.groups {
		if g.rolled != nil {
			*g.rolled = rolledGroup{joined: g.rolled.joined}
		}
	}
	l.memory.back(l.before)
	l.usage.kept.Add(-l.kept)
	l.kept = 0
}

func (l *loader) sayLost(all []stretch) {
	for _, s := range all {
		l.lost = l.lost || slices.ContainsFunc(s.blocks, func(r Rollup) bool { return r.Lost })
	}
}

// rolledGroups reads the columns of all groups whose series are in one place.
func (l *loader) rolledGroups(n *lane, all []stretch) error {
	var want []*group
	for _, g := range n.groups {
		if g.rolled == nil {
			g.rolled = new(rolledGroup)
		}
		r := g.rolled
		*r = rolledGroup{joined: r.joined, got: make([]rolledColumn, len(g.columns))}
		if r.joined == nil || slices.Contains(r.joined, false) {
			want = append(want, g)
		}
	}
	rows, err := l.fold(n, want, all)
	defer l.asideDone()
	if err != nil {
		return err
	}
	for i, g := range want {
		err := l.eachColumn(n, &rows[i], all, l.plan.Tier, func(column int, buckets []rollup.Bucket, apart bool) error {
			if g.rolled.joined != nil && g.rolled.joined[column] {
				return nil
			}
			got, exact := l.emit(l.plan, buckets)
			if exact && apart {
				g.rolled.got[column] = rolledColumn{got, true}
				return nil
			}
			g.rolled.leave(g, column)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// leave leaves a column to be read as rows.
func (r *rolledGroup) leave(g *group, column int) {
	if r.rest == nil {
		r.rest, r.restAt = &group{part: g.part, lane: g.lane}, make([]int32, len(g.columns))
		r.rest.chunks = r.rest.first[:0]
	}
	r.restAt[column] = int32(len(r.rest.columns))
	r.rest.columns = append(r.rest.columns, g.columns[column])
}

// rest reads the columns of a lane that must be read as rows.
func (l *loader) rest(n *lane) error {
	again := lane{source: n.source, stream: n.stream, shared: n.shared, damaged: n.damaged}
	for _, g := range n.groups {
		if g.rolled.rest != nil {
			again.groups = append(again.groups, g.rolled.rest)
		}
	}
	if len(again.groups) == 0 {
		return nil
	}
	err := l.rowsOf(&again)
	n.lazy, n.damaged = again.lazy, again.damaged
	return err
}

// emit makes samples of the buckets of a series, in the loader's memory.
func (l *loader) emit(p *rollup.Plan, buckets []rollup.Bucket) (got samples, exact bool) {
	o := &l.rolling.out
	o.t, o.v, exact = l.rolling.emitter.Emit(o.t[:0], o.v[:0], p, buckets)
	got.v = l.memory.values.copy(o.v)
	l.hold(int64(len(o.v)))
	if got.t = l.rolling.before; !slices.Equal(got.t, o.t) {
		got.t = l.memory.times.copy(o.t)
		l.hold(int64(len(o.t)))
		l.rolling.before = got.t
	}
	return got, exact
}

// fold reads the rows of a lane that no rollup has, into groups of their own, which are valid
// until asideDone.
func (l *loader) fold(n *lane, want []*group, all []stretch) (rows []group, err error) {
	rows = make([]group, len(want))
	aside := lane{source: n.source, stream: n.stream, damaged: n.damaged}
	for i, g := range want {
		rows[i] = group{part: g.part, columns: g.columns, lane: g.lane}
		rows[i].chunks = rows[i].first[:0]
		aside.groups = append(aside.groups, &rows[i])
	}
	if l.rolling.aside == nil {
		l.rolling.aside = newMemory(l.pools)
	}
	memory, window, mint, kept := l.memory, l.window, l.mint, l.kept
	l.memory, l.rolling.before = l.rolling.aside, nil
	defer func() {
		l.usage.kept.Add(kept - l.kept) // they go when they are folded
		l.memory, l.window, l.mint, l.kept = memory, window, mint, kept
	}()
	for _, s := range all {
		if s.blocks != nil {
			continue
		}
		for i := range rows {
			rows[i].live = true // so that a first row without it is there
		}
		l.mint, l.window.maxt = s.after+1, s.until
		if err := l.read(&aside); err != nil {
			return nil, err
		}
		if aside.lazy {
			return nil, errUnrolled // too many
		}
	}
	n.damaged = aside.damaged
	return rows, nil
}

func (l *loader) asideDone() {
	if l.rolling.aside != nil {
		l.rolling.aside.release()
	}
}

// eachColumn visits the buckets of all columns of a group, of the given tier, which are valid
// during the call. apart is false when only rows can tell.
func (l *loader) eachColumn(n *lane, g *group, all []stretch, tier rollup.Tier, visit func(column int, buckets []rollup.Bucket, apart bool) error) error {
	expected := 1
	for _, s := range all {
		if s.blocks != nil {
			expected += int((s.until - s.after) / model.Millis(s.tier))
		} else {
			expected += int((s.until-s.after)/model.Millis(tier)) + 2
		}
	}
	step := max(1, bucketsAtOnce/expected)
	for from := 0; from < len(g.columns); from += step {
		to := min(from+step, len(g.columns))
		if err := l.bucketsOf(n, g, all, tier, from, to); err != nil {
			return err
		}
		for i, pieces := range l.rolling.buckets[:to-from] {
			buckets, apart := rollup.Compact(tier, pieces)
			if err := visit(from+i, buckets, apart); err != nil {
				return err
			}
		}
		if err := l.ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

// bucketsOf reads the buckets of some columns: of blocks, and of the rows in g.
func (l *loader) bucketsOf(n *lane, g *group, all []stretch, tier rollup.Tier, from, to int) error {
	r := &l.rolling
	for len(r.buckets) < to-from {
		r.buckets = append(r.buckets, nil)
	}
	for i := range to - from {
		r.buckets[i] = r.buckets[i][:0]
	}
	for _, s := range all {
		for _, b := range s.blocks {
			if !(interval{b.First - model.Millis(s.tier), b.Last}).overlaps(s.interval) {
				continue
			}
			err := volume.Guard(func() error { return l.blockBuckets(g, s, b, from, to) })
			if err != nil {
				if err = l.passOver(n, b.Locate(err)); err == nil {
					err = errUnrolled
				}
				return err
			}
		}
	}
	read := 0
	for i := range to - from {
		for k := range g.chunks {
			c := g.chunks[k].column(from + i)
			r.buckets[i] = rollup.Fold(r.buckets[i], tier, c.t, c.v)
		}
		read += len(r.buckets[i])
	}
	if err := l.allow(int64(read)); err != nil {
		return err
	}
	l.usage.samples.Add(int64(read))
	return nil
}

// blockBuckets reads the buckets of some columns out of a block.
func (l *loader) blockBuckets(g *group, s stretch, b Rollup, from, to int) (err error) {
	r := &l.rolling
	if r.reader == nil {
		r.reader = rollup.NewReader()
	}
	if r.block, err = b.Block(r.block); err != nil {
		return err
	}
	if err := r.reader.Reset(r.block); err != nil {
		return err
	}
	columns, err := r.reader.Select(g.part.ID())
	if err != nil {
		return err
	}
	if columns > 0 && columns != g.part.Columns() {
		return fmt.Errorf("rollup of a part of %d columns has %d", g.part.Columns(), columns)
	}
	for i := range to - from {
		r.buckets[i], err = r.reader.Buckets(r.buckets[i], int(g.columns[from+i]), s.after+1, s.until)
		if err != nil {
			return err
		}
	}
	return nil
}

// chooseTier decides whether a selection is answered from rollups, and returns the series that
// are in several places if it is.
func (s *seriesSet) chooseTier(view View) (joined []*series) {
	rollups, has := view.(Rollups)
	if !has || s.hints == nil {
		return nil
	}
	s.tiers.rollups = rollups
	asked, known := rollup.AskedIn(s.ctx)
	if known {
		if plan, ok := rollup.Choose(s.hints, asked); ok {
			s.tiers.plan = &plan
			joined = s.markJoined()
		}
	}
	if s.tiers.gone = rollups.Gone(); s.tiers.gone >= earlier(s.window.mint, s.window.lookback) {
		lookback := s.window.lookback
		if known {
			lookback = asked.Lookback
		}
		s.tiers.filling = fillingOf(s.hints, s.tiers.plan, lookback)
	}
	return joined
}

// ofGroup begins with a series of a lane that was read from rollups.
func (it *iterator) ofGroup(s *series, g *group, n *lane) {
	if got := &g.rolled.got[s.place.index]; got.exact {
		it.now = got.samples
		return
	}
	if n.lazy {
		alone := [1]group{g.one(s.place.index)}
		if it.err = s.set.reload(n, alone[:]); it.err == nil {
			it.begin(alone[0].chunks, 0)
		}
	} else {
		it.begin(g.rolled.rest.chunks, int(g.rolled.restAt[s.place.index]))
	}
	if n.shared && it.err == nil {
		it.skip(int64(s.set.window.mint))
	}
}
