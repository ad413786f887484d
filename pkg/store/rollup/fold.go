package rollup

import (
	"math"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Fold appends the buckets of raw samples of one series, whose times rise strictly. Markers
// (model.Absent) are taken as what they say. It serves for times that no block of a tier
// has yet, so that all of a series is emitted in one way.
//
// A series knows its own samples only: From and To are those of its first and last sample
// or marker.
func Fold(dst []Bucket, tier Tier, t []int64, v []float64) []Bucket {
	start := len(dst)
	for i, x := range v {
		at := model.Millis(t[i])
		b := Bucket{At: tier.End(at), From: at, To: at}
		if !model.IsAbsent(x) {
			b.Count, b.FirstAt, b.LastAt = 1, at, at
			b.First, b.Last, b.Min, b.Max, b.Sum = x, x, x, x, x
			b.Whole = x == math.Trunc(x) && math.Abs(x) <= maxExact
		}
		if n := len(dst); n > start && dst[n-1].At == b.At {
			dst[n-1].Add(b)
		} else {
			dst = append(dst, b)
		}
	}
	return dst
}
