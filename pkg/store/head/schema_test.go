package head

import (
	"math"
	"testing"
)

func TestValuesThatAreThereAreCounted(t *testing.T) {
	inf, nan := math.Inf(1), math.NaN()
	f := func(want int, values ...float64) {
		t.Helper()
		if got := present(values); got != want {
			t.Errorf("%v: got %d, want %d", values, got, want)
		}
	}
	f(0)
	f(1, 0)
	f(0, absent)
	f(5, 1, 2, 3, 4, 5)
	f(4, 1, 2, 3, 4, absent)
	f(4, absent, 2, 3, 4, 5)
	f(4, 1, 2, absent, 4, 5)
	f(5, 1, nan, inf, -inf, 5)
	f(6, inf, 0, 0, 0, -inf, 0)
	f(3, nan, absent, inf, -inf, absent)
	f(3, math.MaxFloat64, math.MaxFloat64, -math.MaxFloat64)
}
