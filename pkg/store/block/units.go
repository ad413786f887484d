package block

import "math"

// way says how whole units of a scale become the float64 that was measured.
// Sources compute the same decimal number in different ways, and their results
// differ in the last bit.
type way uint8

const (
	divided  way = iota // units / 10^scale
	times               // units * (1 / 10^scale)
	divided2            // units / 1000 / (10^scale / 1000): microseconds, by way of milliseconds
	ways
)

// ratio is a scale and the way to it.
type ratio struct {
	way  way
	ones float64 // 10^scale
}

func ratioOf(w way, scale uint8) ratio {
	r := ratio{way: w, ones: 1}
	for range scale {
		r.ones *= 10
	}
	return r
}

// value is the float64 of n units.
func (r ratio) value(n int64) float64 {
	switch r.way {
	case times:
		return float64(n) * (1 / r.ones)
	case divided2:
		return float64(n) / 1000 / (r.ones / 1000)
	}
	return float64(n) / r.ones
}

// values turns units into values. dst is at least as long as units.
func (r ratio) values(dst []float64, units []int64) {
	dst = dst[:len(units)]
	switch {
	case r.way == divided && r.ones == 1:
		for i, n := range units {
			dst[i] = float64(n)
		}
	case r.way == divided:
		ones := r.ones
		for i, n := range units {
			dst[i] = float64(n) / ones
		}
	case r.way == times:
		part := 1 / r.ones
		for i, n := range units {
			dst[i] = float64(n) * part
		}
	default:
		for i, n := range units {
			dst[i] = r.value(n)
		}
	}
}

// Added to a number of magnitude below 2^51, aligner makes the last bit of its
// mantissa worth one: the sum is rounded to a whole number, ties to even.
const (
	aligner     = 3 << 51
	alignerBits = 0x433<<52 | 1<<51
	maxAligned  = 1 << 51
	maxUnits    = 1 << 62
)

// units counts v in units of its scale, to the nearest. The caller checks that
// the way back gives v.
func (r ratio) units(v float64) int64 {
	scaled := v * r.ones
	switch size := math.Abs(scaled); {
	case size < maxAligned:
		return int64(math.Float64bits(scaled+aligner) - alignerBits)
	case size < maxUnits:
		return int64(math.RoundToEven(scaled))
	}
	return 0
}
