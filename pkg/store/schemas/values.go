package schemas

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// texts is a set of names or values.
type texts map[string]struct{}

func (t texts) add(text string) { t[text] = struct{}{} }

func (t texts) sorted() []string { return slices.Sorted(maps.Keys(t)) }

// LabelNames are the names of all labels of the series that Select selects, sorted. It
// fails only with ctx.
func (d *Dictionary) LabelNames(ctx context.Context, mint, maxt model.Millis, matchers ...*labels.Matcher) ([]string, error) {
	names := texts{}
	err := d.eachRun(ctx, mint, maxt, matchers, func(r *run) error {
		if lists, found, err := r.wholeLists(); err != nil || found {
			for l := range lists {
				names.addNames(l, r.shape)
			}
			return err
		}
		if err := r.walk(); err != nil {
			return err
		}
		if len(r.picks) == 0 {
			return nil
		}
		names.add(labels.MetricName)
		for _, name := range r.shape.names {
			names.add(name)
		}
		r.eachMatch(func(f *familyMatch) {
			for _, own := range f.own {
				for _, l := range own {
					names.add(l.Name)
				}
			}
			f.eachPair(func(p *pair) { names.add(p.name.name) })
		})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("schemas: label names: %w", err)
	}
	return names.sorted(), nil
}

// LabelValues are the values of a label of the series that Select selects, sorted. It
// fails only with ctx.
func (d *Dictionary) LabelValues(ctx context.Context, mint, maxt model.Millis, name string, matchers ...*labels.Matcher) ([]string, error) {
	values := texts{}
	var ofHosts []string // one for each host, often in order already
	err := d.eachRun(ctx, mint, maxt, matchers, func(r *run) error {
		k := r.shape.find(name)
		if k >= 0 && len(r.own)+len(r.names) == 0 {
			return r.eachHost(func(h *host, _ []*Span) { ofHosts = append(ofHosts, h.value(k)) })
		}
		if name == labels.MetricName && len(r.own)+len(r.names) == 0 {
			return r.wholeMetrics(func(m *metric) { values.add(m.name) })
		}
		if lists, found, err := r.wholeLists(); err != nil || found {
			for l := range lists {
				values.addValues(l, name)
			}
			return err
		}
		if err := r.walk(); err != nil {
			return err
		}
		switch {
		case k >= 0:
			for i := range r.picks {
				ofHosts = append(ofHosts, r.picks[i].host.value(k))
			}
		case name == labels.MetricName:
			for e := range r.used() {
				for _, f := range e.families {
					values.add(f.heading.metric.name)
				}
			}
		default:
			r.eachMatch(func(f *familyMatch) { f.eachValue(name, values.add) })
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("schemas: values of label %q: %w", name, err)
	}
	all := slices.AppendSeq(ofHosts, maps.Keys(values))
	slices.Sort(all)
	return slices.Compact(all), nil
}

// eachHost visits the hosts that are selected and have spans in the time.
func (r *run) eachHost(visit func(*host, []*Span)) error {
	hosts, _, err := r.hosts()
	if err != nil {
		return err
	}
	for i, spans := range capture(r.d, hosts, (*host).spans) {
		if slices.ContainsFunc(spans, r.during) {
			visit(hosts[i], spans)
		}
		if err := r.step(); err != nil {
			return err
		}
	}
	return nil
}

// spans are those of all sources. Called with mu held.
func (h *host) spans() []*Span {
	if len(h.sources) == 1 {
		return h.sources[0].spans
	}
	var all []*Span
	for _, s := range h.sources {
		all = append(all, s.spans...)
	}
	return all
}

// wholeParts visits the parts of hosts that are selected as a whole: that takes no
// evaluation.
func (r *run) wholeParts(visit func(*Part)) error {
	schemas, parts := map[*schema]struct{}{}, map[*Part]struct{}{}
	return r.eachHost(func(_ *host, spans []*Span) {
		for _, span := range spans {
			if _, seen := schemas[span.schema]; seen || !r.during(span) {
				continue
			}
			schemas[span.schema] = struct{}{}
			for _, p := range span.schema.parts {
				if _, seen := parts[p]; !seen {
					parts[p] = struct{}{}
					visit(p)
				}
			}
		}
	})
}

// wholeMetrics visits the metrics of hosts that are selected as a whole.
func (r *run) wholeMetrics(visit func(*metric)) error {
	headings := map[*heading]struct{}{}
	return r.wholeParts(func(p *Part) {
		for i := range p.families {
			h := p.families[i].heading
			if _, seen := headings[h]; !seen {
				headings[h] = struct{}{}
				visit(h.metric)
			}
		}
	})
}

// wholeLists returns the lists of hosts that are selected as a whole. found is false
// when matchers tell series of a host apart, or labels would have to be renamed.
func (r *run) wholeLists() (lists map[*list]struct{}, found bool, err error) {
	if len(r.own)+len(r.names) > 0 {
		return nil, false, nil
	}
	lists, found = map[*list]struct{}{}, true
	err = r.wholeParts(func(p *Part) {
		var before *list
		for i := range p.families {
			l := p.families[i].list
			if l == before {
				continue
			}
			before = l
			if _, seen := lists[l]; !seen {
				lists[l] = struct{}{}
				found = found && !slices.ContainsFunc(l.names, func(n *labelName) bool { return r.shape.find(n.name) >= 0 })
			}
		}
	})
	return lists, found, err
}

// addNames adds the names of all labels that the series of a list have.
func (t texts) addNames(l *list, sh *shape) {
	t.add(labels.MetricName)
	for _, name := range sh.names {
		t.add(name)
	}
	for _, n := range l.names {
		if !l.blank || slices.ContainsFunc(l.sets, func(s *set) bool { return s.has(n.name) }) {
			t.add(n.name)
		}
	}
}

// addValues adds the values of a label that the series of a list have.
func (t texts) addValues(l *list, name string) {
	if !slices.ContainsFunc(l.names, func(n *labelName) bool { return n.name == name }) {
		return
	}
	for _, s := range l.sets {
		for _, p := range s.pairs {
			if p.name.name == name && p.value != "" {
				t.add(p.value)
			}
		}
	}
}

func (s *set) has(name string) bool {
	return slices.ContainsFunc(s.pairs, func(p *pair) bool { return p.name.name == name && p.value != "" })
}

// used are the evaluations that hosts have: of a part that was evaluated all
// hosts may be out of the selection.
func (r *run) used() map[*eval]struct{} {
	plans := map[*plan]struct{}{}
	evals := map[*eval]struct{}{}
	note := func(p *plan) {
		if _, seen := plans[p]; seen {
			return
		}
		plans[p] = struct{}{}
		for _, e := range p.evals {
			evals[e] = struct{}{}
		}
	}
	for i := range r.picks {
		p := &r.picks[i]
		note(p.plan)
		for _, f := range p.more {
			note(f.plan)
		}
	}
	return evals
}

// eachMatch visits what is selected of every list once.
func (r *run) eachMatch(visit func(f *familyMatch)) {
	seen := map[*match]struct{}{}
	for e := range r.used() {
		for i := range e.families {
			f := &e.families[i]
			if _, twice := seen[f.match]; !twice {
				seen[f.match] = struct{}{}
				visit(f)
			}
		}
	}
}

// eachValue visits the values of a label of what is selected.
func (f *familyMatch) eachValue(name string, visit func(string)) {
	for _, own := range f.own {
		for _, l := range own {
			if l.Name == name {
				visit(l.Value)
			}
		}
	}
	if f.own != nil || !slices.ContainsFunc(f.match.list.names, func(n *labelName) bool { return n.name == name }) {
		return
	}
	f.eachPair(func(p *pair) {
		if p.name.name == name {
			visit(p.value)
		}
	})
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
