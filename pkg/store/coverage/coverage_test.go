package coverage

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestIntervalsJoin(t *testing.T) {
	f := func(want []Interval, add ...Interval) {
		t.Helper()
		s, err := Of(add...)
		if err != nil {
			t.Errorf("%v: %v", add, err)
		}
		if diff := cmp.Diff(want, s.Intervals()); diff != "" {
			t.Errorf("%v (-want +got):\n%s", add, diff)
		}
	}
	const end = uint64(math.MaxUint64)
	f(nil)
	f([]Interval{{1, 1}}, Interval{1, 1})
	f([]Interval{{1, 3}}, Interval{1, 1}, Interval{2, 2}, Interval{3, 3})
	f([]Interval{{1, 3}}, Interval{3, 3}, Interval{1, 1}, Interval{2, 2})
	f([]Interval{{1, 3}}, Interval{1, 3}, Interval{2, 2}, Interval{1, 3})
	f([]Interval{{1, 2}, {4, 5}}, Interval{4, 5}, Interval{1, 2})
	f([]Interval{{1, 5}}, Interval{4, 5}, Interval{1, 2}, Interval{3, 3})
	f([]Interval{{2, 9}}, Interval{3, 3}, Interval{5, 5}, Interval{7, 8}, Interval{2, 9})
	f([]Interval{{1, 1}, {3, 8}, {10, 10}}, Interval{1, 1}, Interval{3, 3}, Interval{10, 10}, Interval{5, 5}, Interval{4, 8})
	f([]Interval{{1, 20}}, Interval{1, 1}, Interval{5, 6}, Interval{2, 20})
	f([]Interval{{3, 20}}, Interval{10, 12}, Interval{3, 20})
	f([]Interval{{7, end}}, Interval{end, end}, Interval{9, end - 1}, Interval{7, 8})
	f([]Interval{{1, end}}, Interval{5, 6}, Interval{1, end}, Interval{end, end})
	f([]Interval{{1, 1}, {end, end}}, Interval{end, end}, Interval{1, 1})
}

func TestWhatIsNoIntervalIsRefused(t *testing.T) {
	for _, i := range []Interval{{}, {0, 5}, {6, 5}} {
		var s Set
		if err := s.Add(i.From, i.To); !errors.Is(err, ErrRange) || s.Len() != 0 || s.Fits(i.From, i.To) {
			t.Errorf("%v: got %v and %d intervals", i, err, s.Len())
		}
	}
}

func TestASetIsBounded(t *testing.T) {
	var s Set
	for i := range uint64(MaxIntervals) {
		if err := s.Add(10*i+10, 10*i+12); err != nil {
			t.Fatal(err)
		}
	}
	f := func(from, to uint64, fits bool) {
		t.Helper()
		trial := Set{append([]Interval(nil), s.intervals...)}
		if got := trial.Fits(from, to); got != fits {
			t.Errorf("%d to %d: fits is %t", from, to, got)
		}
		if err := trial.Add(from, to); errors.Is(err, ErrFull) == fits {
			t.Errorf("%d to %d: got %v", from, to, err)
		}
		if !fits && !cmp.Equal(trial.intervals, s.intervals) {
			t.Errorf("%d to %d: refused, and changed", from, to)
		}
	}
	f(1, 8, false)
	f(14, 18, false)
	f(10*MaxIntervals+4, 10*MaxIntervals+4, false)
	f(10*MaxIntervals+3, 10*MaxIntervals+4, true)
	f(1, 9, true)
	f(13, 13, true)
	f(11, 12, true)
	f(14, 30, true)
}

// reference is a set of small numbers, as it is defined.
type reference [64]bool

func (r *reference) end(first uint64) uint64 {
	for first < 64 && r[first] {
		first++
	}
	return first - 1
}

func TestSetsAreWhatTheyShouldBe(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		var s Set
		var r reference
		for range 1 + random.IntN(25) {
			from := 1 + random.Uint64N(62)
			to := min(63, from+random.Uint64N(4))
			if err := s.Add(from, to); err != nil {
				t.Fatal(err)
			}
			for n := from; n <= to; n++ {
				r[n] = true
			}
			check(t, &s, &r)
		}
	}
}

func check(t *testing.T, s *Set, r *reference) {
	t.Helper()
	var want []Interval
	for n := uint64(1); n < 64; n++ {
		if s.Contains(n) != r[n] {
			t.Fatalf("%v: contains %d is %t", s.intervals, n, s.Contains(n))
		}
		if got := s.End(n); got != r.end(n) {
			t.Fatalf("%v: end of %d is %d, want %d", s.intervals, n, got, r.end(n))
		}
		if !r[n] {
			continue
		}
		if !r[n-1] {
			want = append(want, Interval{n, n})
		}
		want[len(want)-1].To = n
	}
	if !cmp.Equal(want, s.Intervals()) {
		t.Fatalf("got %v, want %v", s.Intervals(), want)
	}
	for from := uint64(1); from < 64; from += 7 {
		for to := from; to < 64; to += 5 {
			found := map[uint64]bool{}
			for _, i := range s.Missing(nil, from, to) {
				for n := i.From; n <= i.To; n++ {
					found[n] = true
				}
			}
			for n := uint64(1); n < 64; n++ {
				if found[n] != (!r[n] && from <= n && n <= to) {
					t.Fatalf("%v: missing from %d to %d: %d is %t", s.intervals, from, to, n, found[n])
				}
			}
		}
	}
}

func BenchmarkAddTheNext(b *testing.B) {
	var s Set
	b.ReportAllocs()
	for n := uint64(1); b.Loop(); n++ {
		if s.Contains(n) {
			b.Fatal(n)
		}
		if err := s.Add(n, n); err != nil {
			b.Fatal(err)
		}
	}
}
