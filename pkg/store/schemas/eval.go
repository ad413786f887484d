package schemas

import (
	"slices"
	"sort"

	"github.com/prometheus/prometheus/model/labels"
)

// match is what of a list satisfies a selection, the metric's name apart.
type match struct {
	list *list
	at   []uint16 // which of its sets, in order
	// own are their labels by name, when a label of a host had their name: then
	// the part's label is renamed. Otherwise nil.
	own [][]labels.Label
}

// odd says that two of its sets, or one of it and one of another match, may be one
// series although they are different sets.
func (m *match) odd() bool { return m.own != nil || m.list.blank }

// eval is what of a part satisfies a selection, for all hosts of one shape.
type eval struct {
	number   uint32 // tells the evaluations of a run apart
	part     *Part
	families []familyMatch
	n        int
	columns  []uint16 // made when asked for
}

type familyMatch struct {
	*family
	*match
}

// Columns are the columns of the part, in order.
func (e *eval) columnList() []uint16 {
	if e.columns == nil {
		e.columns = make([]uint16, 0, e.n)
		for _, f := range e.families {
			for _, at := range f.at {
				e.columns = append(e.columns, uint16(f.first+int(at)))
			}
		}
	}
	return e.columns
}

// eval evaluates a part, once. It returns nil when nothing of it satisfies the
// selection.
func (r *run) eval(p *Part) *eval {
	if e, known := r.evals[p]; known {
		return e
	}
	var e *eval
	for i := range p.families {
		f := &p.families[i]
		if !r.nameMatches(f.heading.metric) {
			continue
		}
		m := r.match(f.list)
		if len(m.at) == 0 {
			continue
		}
		if e == nil {
			e = &eval{number: uint32(len(r.evals)), part: p}
		}
		e.families = append(e.families, familyMatch{f, m})
		e.n += len(m.at)
	}
	r.evals[p] = e
	return e
}

func (r *run) nameMatches(m *metric) bool {
	if len(r.names) == 0 {
		return true
	}
	ok, known := r.metrics[m]
	if !known {
		ok = true
		for _, name := range r.names {
			ok = ok && name.Matches(m.name)
		}
		r.metrics[m] = ok
	}
	return ok
}

// match evaluates a list, once.
func (r *run) match(l *list) *match {
	if m, known := r.matches[l]; known {
		return m
	}
	m := &match{list: l}
	switch {
	case slices.ContainsFunc(l.names, func(n *labelName) bool { return r.shape.find(n.name) >= 0 }):
		m.own = [][]labels.Label{}
		for i, s := range l.sets {
			if own := rename(s, r.shape); matchOwn(r.own, own) {
				m.at, m.own = append(m.at, uint16(i)), append(m.own, own)
			}
		}
	case len(r.own) == 0:
		m.at = first(len(l.sets))
	default:
		for i, s := range l.sets {
			if matchSet(r.own, s) {
				m.at = append(m.at, uint16(i))
			}
		}
	}
	r.matches[l] = m
	return m
}

// first is 0, 1, 2, ..., n-1.
func first(n int) []uint16 {
	all := make([]uint16, n)
	for i := range all {
		all[i] = uint16(i)
	}
	return all
}

// exported is put before a part's own label that the host has too: the host's word
// counts, as with scraped targets.
const exported = "exported_"

// rename gives the labels that a series has next to the labels of its host, sorted.
// A name that the host has gets the prefix, and again until nobody has it.
func rename(s *set, sh *shape) []labels.Label {
	own := make([]labels.Label, 0, len(s.pairs))
	taken := func(name string) bool {
		return sh.find(name) >= 0 ||
			slices.ContainsFunc(s.pairs, func(p *pair) bool { return p.name.name == name && p.value != "" }) ||
			slices.ContainsFunc(own, func(l labels.Label) bool { return l.Name == name })
	}
	for _, p := range s.pairs {
		if p.value == "" {
			continue
		}
		name := p.name.name
		if sh.find(name) >= 0 {
			for name = exported + name; taken(name); {
				name = exported + name
			}
		}
		own = append(own, labels.Label{Name: name, Value: p.value})
	}
	sort.Slice(own, func(i, k int) bool { return own[i].Name < own[k].Name })
	return own
}

// labelsAt are the labels of the i-th match, with the metric's name, sorted.
func (f *familyMatch) labelsAt(i int) []labels.Label {
	name := labels.Label{Name: labels.MetricName, Value: f.heading.metric.name}
	var all []labels.Label
	if f.own != nil {
		all = append(make([]labels.Label, 0, len(f.own[i])+1), f.own[i]...)
	} else {
		s := f.match.list.sets[f.at[i]]
		all = make([]labels.Label, 0, len(s.pairs)+1)
		for _, p := range s.pairs {
			if p.value != "" {
				all = append(all, labels.Label{Name: p.name.name, Value: p.value})
			}
		}
	}
	at := sort.Search(len(all), func(k int) bool { return all[k].Name > name.Name })
	return slices.Insert(all, at, name)
}
