package schemas

import (
	"iter"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
)

// Len is the number of series.
func (s *Selection) Len() int {
	if s.series < 0 {
		s.series = 0
		if s.mixed {
			for range s.sorted() {
				s.series++
			}
			return s.series
		}
		for i := range s.picks {
			s.series += s.picks[i].plan.size()
		}
	}
	return s.series
}

// Series gives every series once: sorted by labels as Prometheus sorts, or as
// they come, which is cheaper.
func (s *Selection) Series(sorted bool) iter.Seq[Series] {
	if sorted || s.mixed {
		return s.sorted()
	}
	return func(yield func(Series) bool) {
		w := newWriter()
		for i := range s.picks {
			p := &s.picks[i]
			entries := p.plan.entries()
			for k := range entries {
				if !yield(w.series(p, &entries[k])) {
					return
				}
			}
		}
	}
}

// writer makes series.
type writer struct {
	builder labels.ScratchBuilder
	places  []Place
}

func newWriter() *writer { return &writer{builder: labels.NewScratchBuilder(16)} }

func (w *writer) series(p *pick, e *entry) Series {
	w.builder.Reset()
	for c := (cursor{e.own, p.host.labels}); ; {
		l, ok := c.next()
		if !ok {
			break
		}
		w.builder.Add(l.Name, l.Value)
	}
	w.places = w.places[:0]
	return Series{w.builder.Labels(), w.place(p, e)}
}

// place adds the places of a series.
func (w *writer) place(p *pick, e *entry) []Place {
	for _, at := range e.places {
		w.places = append(w.places, Place{p.first + at.Group, at.Index})
	}
	return w.places
}

// cursor goes through the labels of a series and its host in order.
type cursor struct{ own, host []labels.Label }

func (c *cursor) next() (*labels.Label, bool) {
	if len(c.own) > 0 && (len(c.host) == 0 || c.own[0].Name < c.host[0].Name) {
		l := &c.own[0]
		c.own = c.own[1:]
		return l, true
	}
	if len(c.host) > 0 {
		l := &c.host[0]
		c.host = c.host[1:]
		return l, true
	}
	return nil, false
}

// item is a series to be sorted.
type item struct {
	pick  *pick
	entry *entry
}

// compare orders as labels.Compare does.
func (a item) compare(b item) int {
	x, y := cursor{a.entry.own, a.pick.host.labels}, cursor{b.entry.own, b.pick.host.labels}
	for {
		l, more := x.next()
		m, also := y.next()
		switch {
		case !more && !also:
			return 0
		case !more:
			return -1
		case !also:
			return 1
		}
		if l == m {
			continue
		}
		if c := strings.Compare(l.Name, m.Name); c != 0 {
			return c
		}
		if c := strings.Compare(l.Value, m.Value); c != 0 {
			return c
		}
	}
}

// sorted sorts. Hosts of one plan are sorted once for all of its series: each series
// is then a run that is in order, and the runs are merged.
func (s *Selection) sorted() iter.Seq[Series] {
	return func(yield func(Series) bool) {
		w := newWriter()
		all := merged(s.runs())
		for i := 0; i < len(all); {
			one := w.series(all[i].pick, all[i].entry)
			for first := all[i]; ; {
				if i++; !s.mixed || i == len(all) || first.compare(all[i]) != 0 {
					break
				}
				one.Places = w.place(all[i].pick, all[i].entry)
			}
			if !yield(one) {
				return
			}
		}
	}
}

func (s *Selection) runs() (runs [][]item) {
	type kind struct {
		plan  *plan
		shape *shape
	}
	var order []kind
	kinds := map[kind][]*pick{}
	for i := range s.picks {
		p := &s.picks[i]
		k := kind{p.plan, p.host.shape}
		if kinds[k] == nil {
			order = append(order, k)
		}
		kinds[k] = append(kinds[k], p)
	}
	n := 0
	for i := range s.picks {
		n += s.picks[i].plan.size()
	}
	items := make([]item, 0, n)
	for _, k := range order {
		picks := kinds[k]
		slices.SortFunc(picks, func(a, b *pick) int { return compareHosts(a.host, b.host) })
		entries := k.plan.entries()
		for i := range entries {
			from := len(items)
			for _, p := range picks {
				items = append(items, item{p, &entries[i]})
			}
			runs = append(runs, items[from:len(items):len(items)])
		}
	}
	slices.SortFunc(runs, func(a, b []item) int { return a[0].compare(b[0]) })
	return runs
}

// compareHosts orders hosts of one shape.
func compareHosts(a, b *host) int {
	for i := range a.labels {
		if c := strings.Compare(a.labels[i].Value, b.labels[i].Value); c != 0 {
			return c
		}
	}
	return 0
}

// merged merges runs, which are sorted by their first items.
func merged(runs [][]item) []item {
	for len(runs) > 1 {
		half := make([][]item, 0, (len(runs)+1)/2)
		for i := 0; i+1 < len(runs); i += 2 {
			half = append(half, merge(runs[i], runs[i+1]))
		}
		if len(runs)%2 == 1 {
			half = append(half, runs[len(runs)-1])
		}
		runs = half
	}
	if len(runs) == 0 {
		return nil
	}
	return runs[0]
}

func merge(a, b []item) []item {
	all := make([]item, 0, len(a)+len(b))
	if a[len(a)-1].compare(b[0]) <= 0 {
		return append(append(all, a...), b...)
	}
	for len(a) > 0 && len(b) > 0 {
		if a[0].compare(b[0]) <= 0 {
			all, a = append(all, a[0]), a[1:]
		} else {
			all, b = append(all, b[0]), b[1:]
		}
	}
	return append(append(all, a...), b...)
}
