package spool

import (
	"slices"
	"sort"
)

// interval is the numbers from to to, both included.
type interval struct{ from, to uint64 }

// intervals is a set of numbers above 0: intervals that rise and do not touch.
type intervals []interval

// search returns the first interval that ends at or behind n.
func (s intervals) search(n uint64) int {
	if len(s) == 0 || s[len(s)-1].to < n { // what is asked mostly
		return len(s)
	}
	return sort.Search(len(s), func(i int) bool { return s[i].to >= n })
}

// add adds the numbers from to to.
func (s *intervals) add(from, to uint64) {
	if from == 0 || to < from {
		return
	}
	first := s.search(from - 1)
	behind := first
	for behind < len(*s) && (*s)[behind].from <= to+1 {
		behind++
	}
	if first == behind {
		*s = slices.Insert(*s, first, interval{from, to})
		return
	}
	(*s)[first] = interval{min((*s)[first].from, from), max((*s)[behind-1].to, to)}
	*s = slices.Delete(*s, first+1, behind)
}

func (s intervals) has(n uint64) bool {
	i := s.search(n)
	return i < len(s) && s[i].from <= n
}

// past returns the first number from n on that is not in the set.
func (s intervals) past(n uint64) uint64 {
	if i := s.search(n); i < len(s) && s[i].from <= n {
		return s[i].to + 1
	}
	return n
}

// before returns the last number of the set below n, 0 if there is none.
func (s intervals) before(n uint64) uint64 {
	i := s.search(n)
	switch {
	case i < len(s) && s[i].from < n:
		return n - 1
	case i > 0:
		return s[i-1].to
	}
	return 0
}

// next returns the first number of the set from n on, or most if there is none
// below it.
func (s intervals) next(n, most uint64) uint64 {
	if i := s.search(n); i < len(s) {
		return min(max(s[i].from, n), most)
	}
	return most
}

// count is how many numbers of the set are from first to last.
func (s intervals) count(first, last uint64) (n uint64) {
	for i := s.search(first); i < len(s) && s[i].from <= last; i++ {
		n += min(s[i].to, last) - max(s[i].from, first) + 1
	}
	return n
}

// gaps calls visit with what is missing from first to last, lowest first, until
// it returns false.
func (s intervals) gaps(first, last uint64, visit func(from, to uint64) bool) {
	for i := s.search(first); first <= last; i++ {
		if i >= len(s) || s[i].from > last {
			visit(first, last)
			return
		}
		if s[i].from > first && !visit(first, s[i].from-1) {
			return
		}
		first = s[i].to + 1
	}
}
