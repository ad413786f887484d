package rollup

import (
	"math"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// changes emits first and last samples. rate, increase and delta look at three
// things besides: what resets took away; the times of the first and the last sample of
// a window; and, to judge whether these are near enough to its ends, how many samples
// there are. Fewer samples make everything near. So where raw samples would not be near,
// a bucket gets as many samples as it had.
func (e *Emitter) changes(o *out, p *Plan, buckets []Bucket) (exact bool) {
	e.judge(p, buckets)
	exact = true
	many, most := 0.0, 0.0
	for k, i := range e.live {
		b := &buckets[i]
		samples := 1
		if e.pads[k] {
			samples = b.Count
		}
		if p.Use == UseEnds {
			o.put(b, samples, nil)
			continue
		}
		if b.Gauge && b.Count > 1 {
			exact = false
		}
		var room [4]float64
		between := b.between(room[:0])
		if b.Resets > 1 {
			// The engine adds value by value what is one number here.
			exact = exact && b.Whole
			many += math.Abs(b.Before)
		}
		most = max(most, math.Abs(b.Min), math.Abs(b.Max))
		if len(between)+2 > b.Count && b.Count > 2 {
			exact = false
		}
		o.put(b, samples, between)
	}
	if many > 0 && many+2*most > maxExact {
		exact = false
	}
	return exact
}

// between are the values that must stand between the first and the last sample so that resets
// are found, and add Before. Of one reset, or when values are not negative, there
// are not more than the bucket had samples between them.
func (b *Bucket) between(dst []float64) []float64 {
	switch {
	case b.Count < 2:
		return dst
	case b.Resets == 0:
		if b.Last < b.First {
			dst = append(dst, math.NaN()) // which there was: nothing else hides a fall
		}
		return dst
	}
	if !same(b.Before, b.First) {
		if b.Before < b.First {
			dst = append(dst, math.NaN())
		}
		dst = append(dst, b.Before)
	}
	if !(b.Last < b.Before) {
		low := b.Min // which is at or below the value after the reset
		if !(low < b.Before) {
			low = math.Inf(-1)
		}
		dst = append(dst, low)
	}
	return dst
}

// put emits the first sample as often as it takes to have so many samples, then what is
// between, then the last one.
func (o *out) put(b *Bucket, samples int, between []float64) {
	o.add(b.FirstAt, b.First)
	if b.Count == 1 {
		return
	}
	if model.Millis(len(between)) >= b.LastAt-b.FirstAt {
		between = nil // a bucket that no builder has made
	}
	at := b.FirstAt + 1
	for range min(int64(samples-2-len(between)), int64(b.LastAt-b.FirstAt)-int64(len(between))-1) {
		o.add(at, b.First)
		at++
	}
	for _, v := range between {
		o.add(at, v)
		at++
	}
	o.add(b.LastAt, b.Last)
}

// judge fills e.live with the buckets that have samples, and e.pads with those that stand in
// a window whose first or last sample is not near its end. It calculates
// as the engine does, in the same order.
func (e *Emitter) judge(p *Plan, buckets []Bucket) {
	e.live, e.sums, e.pads = e.live[:0], append(e.sums[:0], 0), e.pads[:0]
	total := 0
	for i := range buckets {
		if n := buckets[i].Count; n > 0 {
			total += n
			e.live, e.sums, e.pads = append(e.live, i), append(e.sums, total), append(e.pads, false)
		}
	}
	low, high, marked := 0, 0, 0
	for end := p.First; end <= p.Last; end += p.Step {
		start := end - p.Range
		for low < len(e.live) && buckets[e.live[low]].At <= start {
			low++
		}
		for high < len(e.live) && buckets[e.live[high]].At <= end {
			high++
		}
		if low == len(e.live) {
			return
		}
		if low < high {
			first, last := &buckets[e.live[low]], &buckets[e.live[high-1]]
			if !near(e.sums[high]-e.sums[low], start, end, first.FirstAt, last.LastAt) {
				for marked = max(marked, low); marked < high; marked++ {
					e.pads[marked] = true
				}
			}
		}
		if p.Step <= 0 {
			return
		}
	}
}

// near reports whether promql.extrapolatedRate goes all the way to both ends of a window.
func near(samples int, start, end, first, last model.Millis) bool {
	if samples < 2 {
		return true
	}
	threshold := float64(last-first) / 1000 / float64(samples-1) * 1.1
	return float64(first-start)/1000 < threshold && float64(end-last)/1000 < threshold
}
