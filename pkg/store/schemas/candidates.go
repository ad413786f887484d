package schemas

import (
	"math"

	"github.com/prometheus/prometheus/model/labels"
)

// postings is where a matcher leads: to headings, or to labels.
type postings struct {
	parts [][]*Part // of headings
	lists [][]*list // of labels
	size  int
}

// candidates returns parts that can match, and with them all that do, by the
// most selective matcher; any is true if there is no telling.
func (r *run) candidates() (parts []*Part, any bool, err error) {
	best, err := r.byName()
	if err != nil {
		return nil, false, err
	}
	for _, m := range r.own {
		if m.set != nil {
			if p := r.byValues(m); best == nil || p.size < best.size {
				best = p
			}
		}
	}
	for _, m := range r.own {
		if m.set != nil || m.empty {
			continue
		}
		// To evaluate an expression on all values pays only if these are fewer
		// than what else is to be looked at.
		most := math.MaxInt
		if best != nil {
			most = best.size
		}
		p, err := r.byExpression(m, most)
		if err != nil {
			return nil, false, err
		}
		if p != nil && p.size < most {
			best = p
		}
	}
	if best == nil {
		return nil, true, nil
	}
	seen := map[*Part]struct{}{}
	take := func(ps []*Part) {
		for _, p := range ps {
			if _, twice := seen[p]; !twice {
				seen[p] = struct{}{}
				parts = append(parts, p)
			}
		}
	}
	for _, ps := range best.parts {
		take(ps)
	}
	if best.parts == nil {
		// Labels that are renamed cannot be found by their new names.
		best.lists = append(best.lists, r.renamed()...)
	}
	for _, ls := range best.lists {
		for _, ps := range capture(r.d, ls, func(l *list) []*Part { return l.parts }) {
			take(ps)
		}
		if err := r.step(); err != nil {
			return nil, false, err
		}
	}
	return parts, false, nil
}

// byName follows the matchers of the metric's name; nil if they tell nothing.
func (r *run) byName() (*postings, error) {
	var set []string
	tells := false
	for _, m := range r.names {
		tells = tells || !m.empty
		if m.set != nil && (set == nil || len(m.set) < len(set)) {
			set = m.set
		}
	}
	if !tells {
		return nil, nil
	}
	var metrics []*metric
	r.d.mu.RLock()
	if set == nil {
		metrics = r.d.allM
	}
	for _, name := range set {
		if m := r.d.metrics[name]; m != nil {
			metrics = append(metrics, m)
		}
	}
	r.d.mu.RUnlock()
	var matching []*metric
	for _, m := range metrics {
		if r.nameMatches(m) {
			matching = append(matching, m)
		}
		if err := r.step(); err != nil {
			return nil, err
		}
	}
	p := &postings{parts: [][]*Part{}}
	for _, headings := range capture(r.d, matching, func(m *metric) []*heading { return m.headings }) {
		for _, parts := range capture(r.d, headings, func(h *heading) []*Part { return h.parts }) {
			p.parts = append(p.parts, parts)
			p.size += len(parts)
		}
	}
	return p, nil
}

// byValues follows a matcher that names values.
func (r *run) byValues(m *matcher) *postings {
	p := &postings{}
	r.d.mu.RLock()
	defer r.d.mu.RUnlock()
	n := r.d.names[m.Name]
	if n == nil {
		return p
	}
	for _, value := range m.set {
		if label := n.values[value]; label != nil {
			p.lists = append(p.lists, label.lists)
			p.size += len(label.lists)
		}
	}
	return p
}

// byExpression evaluates a matcher on all values of its label; nil if there are more
// than most.
func (r *run) byExpression(m *matcher, most int) (*postings, error) {
	all := r.labelsOf(m.Name)
	if len(all) > most {
		return nil, nil
	}
	var matching []*pair
	any := m.Type == labels.MatchRegexp && m.Value == ".+" || m.Type == labels.MatchNotEqual
	for _, label := range all {
		if label.value != "" && (any || m.label(label)) {
			matching = append(matching, label)
		}
		if err := r.step(); err != nil {
			return nil, err
		}
	}
	p := &postings{lists: capture(r.d, matching, func(l *pair) []*list { return l.lists })}
	for _, lists := range p.lists {
		p.size += len(lists)
	}
	return p, nil
}

// renamed are the lists that have a label which a host of the shape has.
func (r *run) renamed() (lists [][]*list) {
	for _, name := range r.shape.names {
		lists = append(lists, capture(r.d, r.labelsOf(name), func(l *pair) []*list { return l.lists })...)
	}
	return lists
}

// labelsOf are all labels of a name.
func (r *run) labelsOf(name string) []*pair {
	r.d.mu.RLock()
	defer r.d.mu.RUnlock()
	if n := r.d.names[name]; n != nil {
		return n.all
	}
	return nil
}
