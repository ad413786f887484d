package rollup

import (
	"cmp"
	"math"
	"slices"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Bucket is what a tier knows of one series in the rows of one lane with
// At - tier < time <= At. Where a series has no bucket the lane had no row.
//
// Count 0 says that the lane had rows, and the series was in none of them: if it was live
// before, it ended at From, unless it is Silent.
type Bucket struct {
	At       model.Millis // end of the bucket
	From, To model.Millis // times of the lane's first and last row in it

	Count           int          // samples, NaN included. 0: nothing below means anything
	FirstAt, LastAt model.Millis // times of the first and the last sample
	First, Last     float64
	Min, Max        float64 // as min_over_time and max_over_time have them
	Sum             float64 // rounded; in its last digit it may differ from that of an addition one by one
	Resets          int     // how many samples are less than the one before in the bucket
	Before          float64 // sum of the samples before resets; of one reset bit by bit
	Whole           bool    // all samples are whole numbers, and whatever is summed up of them is exact
	Stale           bool    // after its last sample the series ended
	StaleAt         model.Millis

	// Gauge says that the series falls so often that Resets and Before are not kept.
	Gauge bool
	// Silent says of a bucket without samples that the series goes on in another lane: see Join.
	Silent bool
}

// maxExact is up to where a float64 counts all whole numbers.
const maxExact = 1 << 53

// weight bounds the size of every sum of samples of the bucket.
func (b *Bucket) weight() float64 {
	return float64(b.Count) * max(math.Abs(b.Min), math.Abs(b.Max))
}

// steady reports whether the bucket says nothing but First: a sample of one value in each of
// the lane's rows.
func (b *Bucket) steady(rows int) bool {
	return b.Count == rows && same(b.First, b.Last) && same(b.First, b.Min) && same(b.First, b.Max) &&
		same(b.Sum, b.First*float64(b.Count)) && b.Resets == 0 && !b.Gauge && !b.Stale && b.FirstAt == b.From && b.LastAt == b.To
}

// isWhole tells what Whole is of a bucket whose samples are all v.
func isWhole(v float64, count int) bool {
	return v == math.Trunc(v) && float64(count)*math.Abs(v) <= maxExact
}

// same compares bit by bit.
func same(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) }

// lower is the one step of min_over_time.
func lower(v, least float64) float64 {
	if v < least || math.IsNaN(least) {
		return v
	}
	return least
}

// higher is the one step of max_over_time.
func higher(v, most float64) float64 {
	if v > most || math.IsNaN(most) {
		return v
	}
	return most
}

// reset takes in that the sample v stood before a reset.
func (b *Bucket) reset(v float64) {
	if b.Resets++; b.Resets == 1 {
		b.Before = v // bit by bit
	} else {
		b.Before += v
	}
}

// Add takes in what the same lane has later in the same bucket, or in a later part of a
// wider one. At is left as it is.
func (b *Bucket) Add(next Bucket) {
	switch {
	case next.Count == 0:
		if b.Count > 0 && !b.Stale && !next.Silent {
			b.Stale, b.StaleAt = true, next.From
		}
		b.To = next.To
		return
	case b.Count == 0:
		next.At, next.From = b.At, b.From
		*b = next
		return
	}
	if next.First < b.Last {
		b.reset(b.Last)
	}
	if b.Resets == 0 {
		b.Before = next.Before
	} else if next.Resets > 0 {
		b.Before += next.Before
	}
	b.Resets += next.Resets
	if b.Gauge = b.Gauge || next.Gauge; b.Gauge {
		b.Resets, b.Before = 0, 0
	}
	b.Min, b.Max = lower(next.Min, b.Min), higher(next.Max, b.Max)
	b.Sum += next.Sum
	b.Count += next.Count
	b.Whole = b.Whole && next.Whole && b.weight() <= maxExact
	b.To, b.LastAt, b.Last = next.To, next.LastAt, next.Last
	b.Stale, b.StaleAt = next.Stale, next.StaleAt
}

// Compact makes of the pieces of one series in one lane one bucket for each end: pieces come
// from several blocks, or of a finer tier, whose buckets become those of tier. It
// works in place.
//
// apart is false when the rows of two pieces lie between each other, as after late data.
// What pieces say of first, last and resets cannot be put together then; raw rows can.
func Compact(tier Tier, pieces []Bucket) (buckets []Bucket, apart bool) {
	for i := range pieces {
		pieces[i].At = tier.End(pieces[i].At)
	}
	slices.SortStableFunc(pieces, func(a, b Bucket) int {
		return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To))
	})
	buckets, apart = pieces[:0], true
	for _, p := range pieces {
		n := len(buckets) - 1
		switch {
		case n < 0 || buckets[n].At != p.At:
			buckets = append(buckets, p)
		case twins(&buckets[n], &p): // a block that was written twice
		case buckets[n].To >= p.From:
			apart = false
			buckets[n].overlap(p)
		default:
			buckets[n].Add(p)
		}
	}
	return buckets, apart
}

// overlap takes in a piece whose rows may be the same or lie between those of b. Nothing
// better is left when raw rows are gone.
func (b *Bucket) overlap(p Bucket) {
	to := max(b.To, p.To)
	switch {
	case p.Count == 0 || b.Count > 0 && p.LastAt <= b.LastAt:
	case b.Count == 0:
		from := b.From
		at := b.At
		*b = p
		b.At, b.From = at, min(from, p.From)
	case p.FirstAt > b.LastAt:
		b.Add(p)
	default:
		// The later one tells how it ended, and which values there were.
		b.Min, b.Max = lower(p.Min, b.Min), higher(p.Max, b.Max)
		b.LastAt, b.Last, b.Stale, b.StaleAt = p.LastAt, p.Last, p.Stale, p.StaleAt
		b.Whole = false
	}
	b.To = to
}

// twins reports whether two pieces say the same.
func twins(a, b *Bucket) bool {
	return a.From == b.From && a.To == b.To && a.Count == b.Count && a.FirstAt == b.FirstAt && a.LastAt == b.LastAt &&
		same(a.First, b.First) && same(a.Last, b.Last) && same(a.Min, b.Min) && same(a.Max, b.Max) && same(a.Sum, b.Sum) &&
		a.Resets == b.Resets && same(a.Before, b.Before) && a.Gauge == b.Gauge && a.Stale == b.Stale && a.StaleAt == b.StaleAt
}
