package rollup

import (
	"math"

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

// state is what is known of a loud column in the open bucket.
type state struct {
	Bucket
	rest  float64 // of the sum: what rounding took
	since int     // row of the bucket from which on it has its newest value
}

// entry is a loud column of a closed bucket.
type entry struct {
	row    int32 // of the table
	column int32
	Bucket
}

var absent = math.Float64bits(model.Absent())

// begin starts a bucket that the part is in.
func (t *table) begin() {
	t.open = true
	clear(t.number)
	t.loud, t.states = t.loud[:0], t.states[:0]
	for i := range t.bits {
		t.bits[i] = absent
	}
}

// first takes the part's values in the first row of a bucket.
func (t *table) first(row []float64, at model.Millis) {
	t.open = true
	clear(t.number)
	t.loud, t.states = t.loud[:0], t.states[:0]
	bits := t.bits[:len(row)]
	for i, v := range row {
		now := math.Float64bits(v)
		if bits[i] = now; now == absent {
			t.listen(i, at)
		}
	}
}

// next takes the part's values in a later row: the number of rows before it in the bucket,
// and the time of the one before.
func (t *table) next(row []float64, at, before model.Millis, from model.Millis, rows int) {
	bits := t.bits[:len(row)]
	for i, v := range row {
		if now := math.Float64bits(v); now != bits[i] {
			t.change(i, now, at, before, from, rows)
		}
	}
}

// leave takes in that the part is no longer there.
func (t *table) leave(at, before, from model.Millis, rows int) {
	for i, now := range t.bits {
		if now != absent {
			t.change(i, absent, at, before, from, rows)
		}
	}
}

// listen makes a column loud that has had no sample yet.
func (t *table) listen(column int, from model.Millis) *state {
	t.loud = append(t.loud, int32(column))
	t.number[column] = int32(len(t.loud))
	t.states = append(t.states, state{Bucket: Bucket{From: from}})
	return &t.states[len(t.states)-1]
}

// change takes in a value that differs from the one before.
func (t *table) change(column int, now uint64, at, before, from model.Millis, rows int) {
	var s *state
	if n := t.number[column]; n > 0 {
		s = &t.states[n-1]
	} else {
		s = t.listen(column, from)
		if t.bits[column] != absent {
			s.sample(math.Float64frombits(t.bits[column]), from, 0)
		}
	}
	if t.bits[column] != absent {
		s.settle(math.Float64frombits(t.bits[column]), before, rows)
	}
	if now == absent {
		if s.Count > 0 {
			s.Stale, s.StaleAt = true, at
		}
	} else {
		s.sample(math.Float64frombits(now), at, rows)
	}
	t.bits[column] = now
}

// sample takes in the first of samples that are alike; it is counted by settle.
func (s *state) sample(v float64, at model.Millis, row int) {
	s.since, s.Stale = row, false
	if s.Count == 0 {
		s.First, s.FirstAt, s.Min, s.Max = v, at, v, v
		s.Whole = true
	} else {
		if v < s.Last {
			s.reset(s.Last)
		}
		s.Min, s.Max = lower(v, s.Min), higher(v, s.Max)
	}
	s.Whole = s.Whole && v == math.Trunc(v)
	s.Last = v
}

// settle counts the samples that are alike: up to the row before the given one, which
// was at a time.
func (s *state) settle(v float64, at model.Millis, row int) {
	n := row - s.since
	s.Count += n
	s.LastAt = at
	x := v * float64(n)
	next := s.Sum + x
	switch {
	case math.IsInf(next, 0):
		s.rest = 0
	case math.Abs(s.Sum) >= math.Abs(x):
		s.rest += (s.Sum - next) + x
	default:
		s.rest += (x - next) + s.Sum
	}
	s.Sum = next
}

// close ends the bucket: the lane's rows in it, and its number in the block.
func (t *table) close(of Bucket, rows, number int) {
	t.open = false
	row := int32(len(t.rows))
	t.rows = append(t.rows, number)
	for _, now := range t.bits {
		t.firsts = append(t.firsts, math.Float64frombits(now))
	}
	firsts := t.firsts[len(t.firsts)-len(t.bits):]
	for k, column := range t.loud {
		s := &t.states[k]
		if now := t.bits[column]; now != absent {
			s.settle(math.Float64frombits(now), of.To, rows)
		}
		s.At, s.From, s.To = of.At, of.From, of.To
		s.finish(t.scales[column])
		if firsts[column] = s.First; s.Count == 0 {
			firsts[column] = t.former(row, column)
		}
		t.entries = append(t.entries, entry{row, column, s.Bucket})
	}
}

// former is what a column without samples keeps as its first, because it costs least: that
// of the bucket before.
func (t *table) former(row, column int32) float64 {
	if row == 0 {
		return 0
	}
	return t.firsts[int(row-1)*len(t.scales)+int(column)]
}

// finish rounds the sums, and says whether they are exact.
func (s *state) finish(scale uint8) {
	if s.Count == 0 {
		return
	}
	if !math.IsInf(s.Sum, 0) {
		s.Sum += s.rest
	}
	s.Whole = s.Whole && s.weight() <= maxExact
	if !s.Whole && !same(s.Min, s.Max) {
		s.Sum = decimal(s.Sum, scale)
		if s.Resets > 1 {
			s.Before = decimal(s.Before, scale)
		}
	}
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
