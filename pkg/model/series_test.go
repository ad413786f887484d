package model

import (
	"math"
	"testing"
)

func TestAbsentAndEndedAreNoNumbers(t *testing.T) {
	if v := Absent(); v == v || !IsAbsent(v) || IsEnded(v) {
		t.Errorf("absent is %x", math.Float64bits(v))
	}
	if v := Ended(); v == v || !IsEnded(v) || IsAbsent(v) {
		t.Errorf("ended is %x", math.Float64bits(v))
	}
	for _, v := range []float64{0, 1, math.NaN(), math.Inf(1)} {
		if IsAbsent(v) || IsEnded(v) {
			t.Errorf("%v is absent or ended", v)
		}
	}
}
