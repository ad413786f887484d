package rollup

import (
	"math"
	"slices"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// table is a part of the block that is being built.
type table struct {
	id     frame.PartID
	scales []uint8

	// The open bucket. A column is quiet as long as it has had the same value in each of the
	// lane's rows: two thirds of all columns always are. Nothing is done for it then.
	open   bool
	inside bool     // the schema has the part
	bits   []uint64 // of each column in the newest row, absent when there is none
	loud   []int32  // columns that are not quiet
	states []state  // of these, in the same order
	number []int32  // of a column: 1 + where it is in loud, 0 for a quiet one

	// The closed buckets.
	rows    []int     // which of the lane's buckets they are
	firsts  []float64 // of all columns of each
	entries []entry   // of the loud ones, in the order of rows
}

// state is what is known of a loud column in a bucket. It is small, because there are many.
// Times are milliseconds from the lane's first row in the bucket.
type state struct {
	sum, rest float64 // rest is what rounding took from the sum
	min, max  float64
	last      float64 // newest sample, counted or not
	since     int32   // row of the bucket from which on it has been that
	count     int32   // of the samples before since
	whole     bool    // all samples are whole numbers
	stale     bool
	gauge     bool // falls are not kept
	resets    int32
	first     float64
	before    float64
	firstAt   int32
	lastAt    int32
	staleAt   int32
}

// entry is a loud column of a closed bucket.
type entry struct {
	row    int32 // of the table
	column int32
	state
}

var absent = math.Float64bits(model.Absent())

// enter begins a bucket in which the part was not in the first row.
func (t *table) enter() {
	t.reopen()
	for i := range t.bits {
		t.bits[i] = absent
		t.listen(i)
	}
}

// start takes the part's values in the first row of a bucket.
func (t *table) start(row []float64) {
	t.reopen()
	bits := t.bits[:len(row)]
	for i, v := range row {
		now := math.Float64bits(v)
		if bits[i] = now; now == absent {
			t.listen(i)
		}
	}
}

func (t *table) reopen() {
	t.open = true
	clear(t.number)
	t.loud, t.states = t.loud[:0], t.states[:0]
}

// moment is when a row is: how many rows of the bucket are before it, and its time and that of
// the one before, from the first one.
type moment struct{ rows, at, before int32 }

// next takes the part's values in a later row.
func (t *table) next(row []float64, m moment) {
	bits := t.bits[:len(row)]
	for i, v := range row {
		now := math.Float64bits(v)
		if now == bits[i] {
			continue
		}
		if n := t.number[i]; n > 0 && now != absent && bits[i] != absent {
			s := &t.states[n-1]
			s.settle(m.rows)
			s.sample(v, m.rows)
			bits[i] = now
			continue
		}
		t.change(i, now, m)
	}
}

// leave takes in that the part is no longer there.
func (t *table) leave(m moment) {
	for i, now := range t.bits {
		if now != absent {
			t.change(i, absent, m)
		}
	}
}

// listen makes a column loud that has had no sample yet.
func (t *table) listen(column int) *state {
	t.loud = append(t.loud, int32(column))
	t.number[column] = int32(len(t.loud))
	t.states = append(t.states, state{})
	return &t.states[len(t.states)-1]
}

// change takes in a value that differs from the one before.
func (t *table) change(column int, now uint64, m moment) {
	var s *state
	was := t.bits[column]
	if n := t.number[column]; n > 0 {
		s = &t.states[n-1]
	} else {
		s = t.listen(column)
		s.begin(math.Float64frombits(was), 0, 0)
	}
	t.bits[column] = now
	if was != absent {
		s.settle(m.rows)
		s.lastAt = m.before
	}
	switch v := math.Float64frombits(now); {
	case now == absent:
		s.stale, s.staleAt = true, m.at
	case s.count == 0:
		s.begin(v, m.rows, m.at)
	default:
		s.sample(v, m.rows)
		s.stale = false
	}
}

// begin takes in the first sample.
func (s *state) begin(v float64, row, at int32) {
	*s = state{min: v, max: v, last: v, first: v, since: row, firstAt: at, whole: v == math.Trunc(v)}
}

// sample takes in a sample that differs from the one before. Those that are alike are counted
// by settle.
func (s *state) sample(v float64, row int32) {
	if v > s.last { // no reset, and not the lowest; last is a number, so min and max are
		if v > s.max {
			s.max = v
		}
	} else {
		if v < s.last {
			s.reset(s.last)
		}
		s.min, s.max = lower(v, s.min), higher(v, s.max)
	}
	if s.whole {
		s.whole = v == math.Trunc(v)
	}
	s.last, s.since = v, row
}

func (s *state) reset(v float64) {
	if s.resets++; s.resets == 1 {
		s.before = v // bit by bit
	} else {
		s.before += v
	}
}

// settle counts the samples that are alike: up to the row before the given one.
func (s *state) settle(row int32) {
	n := row - s.since
	s.count += n
	x := s.last
	if n > 1 {
		x *= float64(n)
	}
	if s.whole {
		s.sum += x // exact, or else the bucket is not
		return
	}
	next := s.sum + x
	switch {
	case math.IsInf(next, 0):
		s.rest = 0
	case math.Abs(s.sum) >= math.Abs(x):
		s.rest += (s.sum - next) + x
	default:
		s.rest += (x - next) + s.sum
	}
	s.sum = next
}

// close ends the bucket: how long it is and how many rows the lane has in it, and its number in
// the block.
func (t *table) close(span, rows int32, number int) {
	t.open = false
	row := len(t.rows)
	t.rows = append(t.rows, number)
	k := len(t.bits)
	t.firsts = slices.Grow(t.firsts, k)[:(row+1)*k]
	firsts := t.firsts[row*k:]
	for i, now := range t.bits {
		firsts[i] = math.Float64frombits(now)
	}
	for j, column := range t.loud {
		s := &t.states[j]
		if t.bits[column] != absent {
			s.settle(rows)
			s.lastAt = span
		}
		s.finish(t.scales[column])
		firsts[column] = s.first
		if s.count == 0 {
			// It means nothing, and what was there before costs least.
			if firsts[column] = 0; row > 0 {
				firsts[column] = t.firsts[(row-1)*k+int(column)]
			}
		}
		t.entries = append(t.entries, entry{int32(row), column, *s})
	}
}

// finish rounds the sums, and says whether they are exact.
func (s *state) finish(scale uint8) {
	if s.count == 0 {
		return
	}
	if !math.IsInf(s.sum, 0) {
		s.sum += s.rest
	}
	s.rest = 0
	s.whole = s.whole && float64(s.count)*max(math.Abs(s.min), math.Abs(s.max)) <= maxExact
	if !s.whole && !same(s.min, s.max) {
		s.sum = decimal(s.sum, scale)
		if s.resets > 1 {
			s.before = decimal(s.before, scale)
		}
	}
}

// stateOf is what a bucket says of a column.
func stateOf(b *Bucket) state {
	s := state{sum: b.Sum, min: b.Min, max: b.Max, last: b.Last, count: int32(b.Count), whole: b.Whole, stale: b.Stale, gauge: b.Gauge,
		resets: int32(b.Resets), first: b.First, before: b.Before, firstAt: int32(b.FirstAt - b.From), lastAt: int32(b.LastAt - b.From)}
	if b.Stale {
		s.staleAt = int32(b.StaleAt - b.From)
	}
	return s
}

// decimal gives a sum of decimal numbers the digits that it has: adding left others in the
// last place.
func decimal(v float64, scale uint8) float64 {
	ones := 1.0
	for range scale {
		ones *= 10
	}
	if near := math.RoundToEven(v*ones) / ones; math.Abs(near-v) <= math.Abs(v)*1e-15 {
		return near
	}
	return v
}
