package schemas

import (
	"context"
	"maps"
	"slices"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// LabelNames are the names of all labels of the series that Select selects, sorted.
func (d *Dictionary) LabelNames(ctx context.Context, mint, maxt model.Millis, matchers ...*labels.Matcher) ([]string, error) {
	sel, err := d.Select(ctx, mint, maxt, matchers...)
	if err != nil {
		return nil, err
	}
	names := map[string]struct{}{}
	for i := range sel.picks {
		for _, l := range sel.picks[i].host.labels {
			names[l.Name] = struct{}{}
		}
	}
	sel.eachMatch(func(f *familyMatch) {
		names[labels.MetricName] = struct{}{}
		for _, own := range f.own {
			for _, l := range own {
				names[l.Name] = struct{}{}
			}
		}
		f.eachPair(func(p *pair) { names[p.name.name] = struct{}{} })
	})
	return slices.Sorted(maps.Keys(names)), nil
}

// LabelValues are the values of a label of the series that Select selects, sorted.
func (d *Dictionary) LabelValues(ctx context.Context, mint, maxt model.Millis, name string, matchers ...*labels.Matcher) ([]string, error) {
	sel, err := d.Select(ctx, mint, maxt, matchers...)
	if err != nil {
		return nil, err
	}
	values := map[string]struct{}{}
	for i := range sel.picks {
		h := sel.picks[i].host
		if k := h.shape.find(name); k >= 0 {
			values[h.value(k)] = struct{}{}
		}
	}
	if name == labels.MetricName {
		for e := range sel.evals() {
			for _, f := range e.families {
				values[f.heading.metric.name] = struct{}{}
			}
		}
		return slices.Sorted(maps.Keys(values)), nil
	}
	sel.eachMatch(func(f *familyMatch) {
		for _, own := range f.own {
			for _, l := range own {
				if l.Name == name {
					values[l.Value] = struct{}{}
				}
			}
		}
		f.eachPair(func(p *pair) {
			if p.name.name == name {
				values[p.value] = struct{}{}
			}
		})
	})
	return slices.Sorted(maps.Keys(values)), nil
}

// evals are the distinct evaluations of a selection.
func (s *Selection) evals() map[*eval]struct{} {
	plans := map[*plan]struct{}{}
	evals := map[*eval]struct{}{}
	for i := range s.picks {
		p := s.picks[i].plan
		if _, seen := plans[p]; seen {
			continue
		}
		plans[p] = struct{}{}
		for _, e := range p.evals {
			evals[e] = struct{}{}
		}
	}
	return evals
}

// eachMatch visits what is selected of every list once.
func (s *Selection) eachMatch(visit func(f *familyMatch)) {
	seen := map[*match]struct{}{}
	for e := range s.evals() {
		for i := range e.families {
			f := &e.families[i]
			if _, twice := seen[f.match]; !twice {
				seen[f.match] = struct{}{}
				visit(f)
			}
		}
	}
}

// eachPair visits the labels with values of what is selected, unless they are renamed.
func (f *familyMatch) eachPair(visit func(p *pair)) {
	if f.own != nil {
		return
	}
	for _, at := range f.at {
		for _, p := range f.match.list.sets[at].pairs {
			if p.value != "" {
				visit(p)
			}
		}
	}
}
