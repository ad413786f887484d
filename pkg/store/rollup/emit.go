package rollup

import (
	"math"
	"slices"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Emitter makes samples of buckets. It keeps its memory from series to series. Not safe for
// concurrent use.
type Emitter struct {
	live []int // buckets with samples
	sums []int // how many samples they have, those before included
	pads []bool
}

// Emit appends samples for the buckets of one series, which rise by their ends, so that
// the function of the plan gives in each window of the plan what it would give with the
// series' raw samples. Markers are model.Absent.
//
// exact is false when that cannot be had for this series: then raw samples are to be taken
// while there are any. What was appended is close to it.
func (e *Emitter) Emit(t []int64, v []float64, p *Plan, buckets []Bucket) (times []int64, values []float64, exact bool) {
	t, v = slices.Grow(t, len(buckets)), slices.Grow(v, len(buckets))
	o := out{t, v}
	exact = true
	switch p.Use {
	case UseRate, UseEnds:
		exact = e.changes(&o, p, buckets)
	case UseResets:
		for i := range buckets {
			exact = o.resets(&buckets[i]) && exact
		}
	case UseFill:
		for i := range buckets {
			o.fill(&buckets[i])
		}
		exact = false
	case UseSum:
		exact = summable(p, buckets)
		for i := range buckets {
			o.one(&buckets[i], buckets[i].Sum)
		}
	case UseMin:
		for i := range buckets {
			o.one(&buckets[i], buckets[i].Min)
		}
	case UseMax:
		for i := range buckets {
			o.one(&buckets[i], buckets[i].Max)
		}
	default:
		o.lasts(buckets)
	}
	return o.t, o.v, exact
}

// out is where samples go.
type out struct {
	t []int64
	v []float64
}

func (o *out) add(at model.Millis, v float64) {
	o.t, o.v = append(o.t, int64(at)), append(o.v, v)
}

func (o *out) one(b *Bucket, v float64) {
	if b.Count > 0 {
		o.add(b.LastAt, v)
	}
}

// ends emits the first and the last sample.
func (o *out) ends(b *Bucket) {
	o.add(b.FirstAt, b.First)
	if b.Count > 1 {
		o.add(b.LastAt, b.Last)
	}
}

func (o *out) lasts(buckets []Bucket) {
	live := false
	for i := range buckets {
		b := &buckets[i]
		switch {
		case b.Count > 0:
			o.add(b.LastAt, b.Last)
			if live = !b.Stale; b.Stale {
				o.add(b.StaleAt, model.Absent())
			}
		case live && !b.Silent:
			o.add(b.From, model.Absent())
			live = false
		}
	}
}

// resets emits as many falls as the bucket has.
func (o *out) resets(b *Bucket) (exact bool) {
	if b.Count == 0 {
		return true
	}
	if b.Gauge && b.Count > 1 {
		o.ends(b)
		return false
	}
	between := 2 * b.Resets
	if b.Resets == 0 && b.Last < b.First {
		between = 1
	}
	if model.Millis(between) >= b.LastAt-b.FirstAt {
		between = 0
		exact = b.Count == 1 || b.Count == 2
	} else {
		exact = true
	}
	o.add(b.FirstAt, b.First)
	for i := range between {
		at := b.FirstAt + model.Millis(i) + 1
		switch {
		case b.Resets == 0:
			o.add(at, math.NaN())
		case i%2 == 0:
			o.add(at, math.Inf(1))
		default:
			o.add(at, math.Inf(-1))
		}
	}
	if b.Count > 1 {
		o.add(b.LastAt, b.Last)
	}
	return exact
}

// fill emits as many samples as there were, evenly spread.
func (o *out) fill(b *Bucket) {
	if b.Count == 0 {
		return
	}
	middle := [2]float64{}
	extremes := middle[:0]
	sum := b.Sum - b.First - b.Last
	for _, v := range [...]float64{b.Min, b.Max} {
		if v != b.First && v != b.Last && len(extremes) < b.Count-2 {
			extremes = append(extremes, v)
			sum -= v
		}
	}
	rest := b.Count - 2 - len(extremes)
	mean := min(max(sum/float64(max(rest, 1)), b.Min), b.Max)
	if math.IsNaN(mean) {
		mean = b.Last
	}
	last := b.Count - 1
	for i := range b.Count {
		at := b.FirstAt
		if last > 0 {
			at += (b.LastAt - b.FirstAt) * model.Millis(i) / model.Millis(last)
		}
		switch {
		case i == 0:
			o.add(at, b.First)
		case i == last:
			o.add(at, b.Last)
		case i <= len(extremes):
			o.add(at, extremes[i-1])
		default:
			o.add(at, mean)
		}
	}
}

// summable reports whether sums of sums are exact in all windows.
func summable(p *Plan, buckets []Bucket) bool {
	total := 0.0
	start := 0
	for i := range buckets {
		b := &buckets[i]
		if b.Count == 0 {
			continue
		}
		if !b.Whole {
			return false
		}
		for total += b.weight(); buckets[start].At <= b.At-p.Range; start++ {
			if buckets[start].Count > 0 {
				total -= buckets[start].weight()
			}
		}
		if total > maxExact {
			return false
		}
	}
	return true
}
