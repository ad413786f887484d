package rollup

import (
	"math"
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// rateOf is promql.extrapolatedRate for the samples of one window, as far as it looks at them.
func rateOf(start, end model.Millis, t []int64, v []float64, counter bool) (float64, bool) {
	var times []int64
	var values []float64
	for i, at := range t {
		if at > int64(start) && at <= int64(end) && !model.IsAbsent(v[i]) {
			times, values = append(times, at), append(values, v[i])
		}
	}
	n := len(values)
	if n < 2 {
		return 0, false
	}
	result := values[n-1] - values[0]
	for i := 1; counter && i < n; i++ {
		if values[i] < values[i-1] {
			result += values[i-1]
		}
	}
	toStart, toEnd := float64(times[0]-int64(start))/1000, float64(int64(end)-times[n-1])/1000
	interval := float64(times[n-1]-times[0]) / 1000
	average := interval / float64(n-1)
	threshold := average * 1.1
	if toStart >= threshold {
		toStart = average / 2
	}
	if zero := interval * (values[0] / result); counter && result > 0 && values[0] >= 0 && zero < toStart {
		toStart = zero
	}
	if toEnd >= threshold {
		toEnd = average / 2
	}
	return result * ((interval + toStart + toEnd) / interval), true
}

// each calls visit with all sequences of so many of the values.
func each(values []float64, length int, visit func([]float64)) {
	sequence := make([]float64, length)
	index := make([]int, length)
	for {
		for i, j := range index {
			sequence[i] = values[j]
		}
		visit(sequence)
		i := 0
		for ; i < length; i++ {
			if index[i]++; index[i] < len(values) {
				break
			}
			index[i] = 0
		}
		if i == length {
			return
		}
	}
}

func TestRatesOfAllShortSequences(t *testing.T) {
	const start = 1_700_000_040_000 // a multiple of a minute
	var e Emitter
	raw, total := 0, 0
	for length := 1; length <= 6; length++ {
		each([]float64{0, 1, 3.5, -2, math.NaN()}, length, func(v []float64) {
			// In the second of two buckets; the first sample may be in the first one.
			for _, before := range []int{0, 1} {
				var times []int64
				for i := range v {
					times = append(times, start+60_000+int64(i+1)*9000)
				}
				if before == 1 {
					times[0] = start + 57_000
				}
				for _, use := range []Use{UseRate, UseEnds, UseResets} {
					p := Plan{Tier: Minute, Use: use, Range: 120_000, First: start + 120_000, Last: start + 120_000}
					list := Fold(nil, Minute, times, v)
					et, ev, exact := e.Emit(nil, nil, &p, list)
					if total++; !exact {
						raw++
						continue
					}
					if use == UseResets {
						if got, want := fallsOf(ev), fallsOf(v); got != want {
							t.Fatalf("%v: %v: got %d resets, want %d", v, ev, got, want)
						}
						continue
					}
					got, gotOK := rateOf(start, start+120_000, et, ev, use == UseRate)
					want, wantOK := rateOf(start, start+120_000, times, v, use == UseRate)
					if !alikeNaN(got, want) || gotOK != wantOK {
						t.Fatalf("use %v of %v at %v: %v at %v: got %v, want %v", use, v, times, ev, et, got, want)
					}
				}
			}
		})
	}
	t.Logf("%d of %d to be taken raw", raw, total)
	if raw*3 > total {
		t.Errorf("%d of %d to be taken raw", raw, total)
	}
}

func fallsOf(v []float64) (n int) {
	for i := 1; i < len(v); i++ {
		if v[i] < v[i-1] {
			n++
		}
	}
	return n
}

func TestResetsOfWholeNumbersAreExactHoweverManyThereAre(t *testing.T) {
	const start = 1_700_000_040_000
	var e Emitter
	p := Plan{Tier: Minute, Use: UseRate, Range: 60_000, First: start + 60_000, Last: start + 60_000}
	for length := 2; length <= 7; length++ {
		each([]float64{0, 5, 9, 100}, length, func(v []float64) {
			var times []int64
			for i := range v {
				times = append(times, start+int64(i+1)*8000)
			}
			et, ev, exact := e.Emit(nil, nil, &p, Fold(nil, Minute, times, v))
			got, _ := rateOf(start, start+60_000, et, ev, true)
			want, _ := rateOf(start, start+60_000, times, v, true)
			if !exact || !same(got, want) || len(ev) > len(v) {
				t.Fatalf("%v: %v: got %v (%v), want %v", v, ev, got, exact, want)
			}
		})
	}
}

func TestManyResetsBelowZeroAreExactOrLeftToRawSamples(t *testing.T) {
	const start = 1_700_000_040_000
	var e Emitter
	p := Plan{Tier: Minute, Use: UseRate, Range: 120_000, First: start + 120_000, Last: start + 120_000}
	exacts := 0
	for length := 2; length <= 7; length++ {
		each([]float64{0, -1, -2}, length, func(v []float64) {
			var times []int64
			for i := range v {
				times = append(times, start+int64(i+1)*8000)
			}
			et, ev, exact := e.Emit(nil, nil, &p, Fold(nil, Minute, times, v))
			got, _ := rateOf(start, start+120_000, et, ev, true)
			want, _ := rateOf(start, start+120_000, times, v, true)
			if exact && !same(got, want) {
				t.Fatalf("%v: %v: got %v, want %v", v, ev, got, want)
			}
			if exact {
				exacts++
			}
		})
	}
	if exacts < 1000 {
		t.Errorf("%d exact", exacts)
	}
}

func TestSumsBeyondWhatIsExactAreLeftToRawSamples(t *testing.T) {
	const start, big = 1_700_000_040_000, 1 << 52
	list := Fold(nil, Minute, []int64{start + 1, start + 2}, []float64{big, big - 1})
	if !list[0].Whole {
		t.Errorf("got %+v, want whole", list[0])
	}
	list[0].Add(Fold(nil, Minute, []int64{start + 3}, []float64{big})[0])
	if list[0].Whole {
		t.Errorf("got %+v, want not whole", list[0])
	}
	// Each bucket's sums are exact, but not what the engine adds up of them.
	var times []int64
	var values []float64
	for i := range 5 {
		for j, v := range []float64{big / 4, 5, big / 4, 5} {
			times, values = append(times, start+int64(i)*60_000+int64(j+1)*10_000), append(values, v+float64(i))
		}
	}
	var e Emitter
	p := Plan{Tier: Minute, Use: UseRate, Range: 300_000, First: start + 300_000, Last: start + 300_000}
	if _, _, exact := e.Emit(nil, nil, &p, Fold(nil, Minute, times, values)); exact {
		t.Error("ten eighths of what can be exact are exact")
	}
}

func TestFilledBucketsHaveTheSameCountSumAndExtremes(t *testing.T) {
	const start = 1_700_000_040_000
	var e Emitter
	for length := 1; length <= 7; length++ {
		each([]float64{2, -1, 7, 30}, length, func(v []float64) {
			var times []int64
			for i := range v {
				times = append(times, start+int64(i+1)*8000)
			}
			_, got, _ := e.Emit(nil, nil, &Plan{Tier: Minute, Use: UseFill}, Fold(nil, Minute, times, v))
			want := Fold(nil, Minute, times, v)[0]
			sum, least, most := 0.0, math.NaN(), math.NaN()
			for _, x := range got {
				sum, least, most = sum+x, lower(x, least), higher(x, most)
			}
			if len(got) != len(v) || least != want.Min || most != want.Max || math.Abs(sum-want.Sum) > 1e-9 || got[0] != v[0] || got[len(got)-1] != v[len(v)-1] {
				t.Fatalf("%v: got %v", v, got)
			}
		})
	}
}

func TestEmit(t *testing.T) {
	nan := math.NaN()
	const at = 1_700_000_040_000
	two := []Bucket{
		{At: at + 60_000, From: at + 1000, To: at + 60_000, Count: 60, FirstAt: at + 1000, LastAt: at + 60_000, First: 5, Last: 9, Min: 1, Max: 11, Sum: 420, Resets: 1, Before: 11, Whole: true},
		{At: at + 120_000, From: at + 61_000, To: at + 120_000, Count: 20, FirstAt: at + 61_000, LastAt: at + 80_000, First: 9, Last: 30, Min: 9, Max: 30, Sum: 300, Whole: true, Stale: true, StaleAt: at + 81_000},
		{At: at + 180_000, From: at + 121_000, To: at + 180_000},
	}
	fraction := []Bucket{{At: at + 60_000, Count: 3, FirstAt: at + 1, LastAt: at + 3, First: 0.5, Last: 0.5, Min: 0.5, Max: 0.5, Sum: 1.5}}
	huge := []Bucket{{At: at + 60_000, Count: 2, FirstAt: at + 1, LastAt: at + 3, First: 1 << 51, Last: 1 << 51, Min: 1 << 51, Max: 1 << 51, Sum: 1 << 52, Whole: true},
		{At: at + 120_000, Count: 3, FirstAt: at + 60_001, LastAt: at + 60_003, First: 1 << 51, Last: 1 << 51, Min: 1 << 51, Max: 1 << 51, Sum: 3 << 51, Whole: true}}
	type samples []float64 // seconds from at, value, ...
	for _, test := range []struct {
		name    string
		use     Use
		buckets []Bucket
		want    samples
		exact   bool
	}{
		{"last, and one marker", UseLast, two, samples{60, 9, 80, 30, 81, nan}, true},
		{"marker where the next bucket begins", UseLast, append(two[:1:1], two[2]), samples{60, 9, 121, nan}, true},
		{"no marker of the lane while another has the series", UseLast, append(two[:1:1], Bucket{At: at + 180_000, Silent: true}), samples{60, 9}, true},
		{"min", UseMin, two, samples{60, 1, 80, 9}, true},
		{"max", UseMax, two, samples{60, 11, 80, 30}, true},
		{"sum", UseSum, two, samples{60, 420, 80, 300}, true},
		{"sum of fractions", UseSum, fraction, samples{0.003, 1.5}, false},
		{"sum beyond what is exact", UseSum, huge, samples{0.003, 1 << 52, 60.003, 3 << 51}, false},
		{"rate: 11 before the reset", UseRate, two, samples{1, 5, 1.001, 11, 60, 9, 61, 9, 80, 30}, true},
		{"delta", UseEnds, two, samples{1, 5, 60, 9, 61, 9, 80, 30}, true},
		{"nothing", UseRate, nil, nil, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			var e Emitter
			p := Plan{Tier: Minute, Use: test.use, Range: 180_000, First: at + 60_000, Last: at, Step: 60_000}
			times, values, exact := e.Emit(nil, nil, &p, test.buckets)
			var got samples
			for i, when := range times {
				got = append(got, float64(when-at)/1000, values[i])
			}
			if len(got) != len(test.want) || exact != test.exact {
				t.Fatalf("got %v, exact %v, want %v", got, exact, test.want)
			}
			for i := range got {
				if !(got[i] == test.want[i] || math.IsNaN(got[i]) && math.IsNaN(test.want[i])) {
					t.Fatalf("got %v, want %v", got, test.want)
				}
			}
		})
	}
}
