package block

import (
	"math"
	"math/bits"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Summary is what is known of a column without decoding it. Values that are
// model.Absent are no samples.
type Summary struct {
	// Count is the number of samples. The rest means nothing when it is 0.
	Count int
	// FirstRow and LastRow are the rows of the part in which the first and the
	// last sample are: Reader.TimeOf says when.
	FirstRow, LastRow int
	// First, Last, Min and Max are samples, bit by bit (of NaN some NaN). Min and Max
	// ignore NaN unless there is nothing else.
	First, Last, Min, Max float64
	// Sum of the samples is rounded once, from a sum of whole units, where the
	// column has them, else by compensated addition. It may differ in its last
	// bits from that of an addition one by one.
	Sum float64
	// Rising says that no sample is lower than the one before: a counter that
	// was not reset, whose increase is Last - First.
	Rising bool
	// Constant says that all rows have the same bits.
	Constant bool
}

// summary is that of the column in a part of so many rows.
func (c *column) summary(rows int) Summary {
	s := Summary{Count: rows, LastRow: rows - 1, Rising: c.rising}
	switch {
	case c.kind.constant():
		v := 0.0
		switch c.kind {
		case constUnits:
			v = c.ratio().value(c.first)
		case constBits:
			v = math.Float64frombits(uint64(c.first))
		}
		if model.IsAbsent(v) {
			return Summary{Constant: true}
		}
		s.First, s.Last, s.Min, s.Max, s.Sum = v, v, v, v, v*float64(rows)
		s.Rising, s.Constant = true, true
	case !c.implied():
		e := &c.explicit
		s.Count, s.FirstRow, s.LastRow = e.count, e.firstRow, e.lastRow
		s.First, s.Last, s.Min, s.Max, s.Sum = e.first, e.last, e.low, e.high, e.sum
	default:
		r := c.ratio()
		of := func(grains int64) float64 { return r.value(c.first + grains*c.grain) }
		s.First, s.Last, s.Min, s.Max = of(0), of(c.last), of(c.low), of(c.high)
		s.Sum = r.total(c.first, int64(rows), c.sum, c.grain)
	}
	return s
}

// total is (first*rows + sum*grain) / ones, rounded to 64 bits and then to a
// float64.
func (r ratio) total(first, rows, sum, grain int64) float64 {
	hi, lo := product(first, rows)
	hi2, lo2 := product(sum, grain)
	lo, carry := bits.Add64(lo, lo2, 0)
	hi, _ = bits.Add64(hi, hi2, carry)
	negative := int64(hi) < 0
	if negative {
		lo, carry = bits.Sub64(0, lo, 0)
		hi, _ = bits.Sub64(0, hi, carry)
	}
	v := (float64(hi)*(1<<64) + float64(lo)) / r.ones
	if negative {
		return -v
	}
	return v
}

// product is a*b in two's complement of 128 bits.
func product(a, b int64) (hi, lo uint64) {
	hi, lo = bits.Mul64(uint64(a), uint64(b))
	hi -= uint64(a>>63)&uint64(b) + uint64(b>>63)&uint64(a)
	return hi, lo
}

// sumUp is the summary of values one by one.
func sumUp(v []float64) (s explicit, rising bool) {
	nan := math.NaN()
	s = explicit{first: nan, last: nan, low: nan, high: nan, sum: nan}
	rising = true
	sum, rest := 0.0, 0.0
	for i, x := range v {
		if model.IsAbsent(x) {
			continue
		}
		if s.count == 0 {
			s.first, s.firstRow, s.low, s.high = x, i, x, x
		}
		rising = rising && !(x < s.last)
		s.count++
		s.last, s.lastRow = x, i
		if x < s.low || math.IsNaN(s.low) {
			s.low = x
		}
		if x > s.high || math.IsNaN(s.high) {
			s.high = x
		}
		sum, rest = neumaier(sum, rest, x)
	}
	if s.count > 0 {
		s.sum = sum
		if !math.IsInf(sum, 0) {
			s.sum += rest
		}
	}
	return s, rising
}

// neumaier adds x to sum and keeps in rest what rounding took.
func neumaier(sum, rest, x float64) (float64, float64) {
	next := sum + x
	switch {
	case math.IsInf(next, 0):
		rest = 0
	case math.Abs(sum) >= math.Abs(x):
		rest += (sum - next) + x
	default:
		rest += (x - next) + sum
	}
	return next, rest
}
