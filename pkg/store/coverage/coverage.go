package coverage

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sort"
)

// MaxIntervals is how many intervals a set has at most.
const MaxIntervals = 4096

var (
	// ErrFull says that a number would begin another interval, and there are MaxIntervals.
	ErrFull = errors.New("too many separate stretches of records")
	// ErrRange says that an interval is none: it begins at 0, or behind its end.
	ErrRange = errors.New("no interval of sequence numbers")
)

// Interval is the numbers From to To, both included.
type Interval struct{ From, To uint64 }

// Set is a set of numbers. The zero value is empty, and ready.
type Set struct {
	// intervals rise, and there is room between one and the next.
	intervals []Interval
}

// Of is the set of all numbers of the intervals, which may come in any order and overlap.
// It fails as Add does, with what was added before.
func Of(intervals ...Interval) (Set, error) {
	var s Set
	for _, i := range intervals {
		if err := s.Add(i.From, i.To); err != nil {
			return s, err
		}
	}
	return s, nil
}

// Add adds the numbers from to to, both included. It fails with ErrRange and with ErrFull;
// the set is then as it was.
func (s *Set) Add(from, to uint64) error {
	if from == 0 || to < from {
		return fmt.Errorf("%d to %d: %w", from, to, ErrRange)
	}
	if n := len(s.intervals); n > 0 { // what nearly all records do
		if last := &s.intervals[n-1]; from > last.From && from-1 <= last.To {
			last.To = max(last.To, to)
			return nil
		}
	}
	// Those from first up to and without behind touch the new one.
	first := s.search(from - 1)
	behind := first
	for behind < len(s.intervals) && (to == math.MaxUint64 || s.intervals[behind].From <= to+1) {
		behind++
	}
	if behind == first {
		if len(s.intervals) >= MaxIntervals {
			return fmt.Errorf("%d to %d behind %d intervals: %w", from, to, len(s.intervals), ErrFull)
		}
		s.intervals = slices.Insert(s.intervals, first, Interval{from, to})
		return nil
	}
	s.intervals[first].From = min(s.intervals[first].From, from)
	s.intervals[first].To = max(s.intervals[behind-1].To, to)
	s.intervals = slices.Delete(s.intervals, first+1, behind)
	return nil
}

// Fits says whether Add would take the numbers from to to.
func (s *Set) Fits(from, to uint64) bool {
	switch {
	case from == 0 || to < from:
		return false
	case len(s.intervals) < MaxIntervals:
		return true
	}
	i := s.search(from - 1)
	return i < len(s.intervals) && (to == math.MaxUint64 || s.intervals[i].From <= to+1)
}

// search returns the first interval that ends at or behind number.
func (s *Set) search(number uint64) int {
	n := len(s.intervals)
	if n == 0 || s.intervals[n-1].To < number {
		return n
	}
	return sort.Search(n, func(i int) bool { return s.intervals[i].To >= number })
}

// Contains says whether the number is in the set.
func (s *Set) Contains(number uint64) bool {
	n := len(s.intervals)
	if n == 0 || number > s.intervals[n-1].To {
		return false // what is asked of nearly all records
	}
	i := s.search(number)
	return s.intervals[i].From <= number
}

// End is the number up to which all are there from first on, or first-1 if first is
// not. first is 1 at least.
func (s *Set) End(first uint64) uint64 {
	if i := s.search(first); i < len(s.intervals) && s.intervals[i].From <= first {
		return s.intervals[i].To
	}
	return first - 1
}

// Missing appends the intervals from from to to that are not in the set.
func (s *Set) Missing(dst []Interval, from, to uint64) []Interval {
	for i := s.search(from); from <= to; i++ {
		if i >= len(s.intervals) || s.intervals[i].From > to {
			return append(dst, Interval{from, to})
		}
		if s.intervals[i].From > from {
			dst = append(dst, Interval{from, s.intervals[i].From - 1})
		}
		if s.intervals[i].To == math.MaxUint64 {
			break
		}
		from = s.intervals[i].To + 1
	}
	return dst
}

// Intervals are those of the set, rising, with room between them. They are the set's:
// valid until the next Add, and not to be changed.
func (s *Set) Intervals() []Interval { return s.intervals }

// Len is the number of intervals.
func (s *Set) Len() int { return len(s.intervals) }
