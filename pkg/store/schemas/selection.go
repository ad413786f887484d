package schemas

import (
	"context"
	"fmt"
	"iter"
	"math"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Selection is which series matchers select, and where their samples are. It is for one
// goroutine. It stays what it is when the dictionary changes.
type Selection struct {
	picks  []pick
	groups int
	series int // -1: not counted yet
	// mixed says that hosts with different label names may have the same series: what is
	// a label of the host here can be one of a part there.
	mixed bool
}

// Group is columns of one part in one stream of one source: what a reader decodes
// at once.
type Group struct {
	Source *Source
	Stream model.StreamID
	Part   *Part
	// Columns of the part that are selected, in order. They are shared by many groups
	// and must not be changed.
	Columns []uint16
	// From and To are the first and the last time, inclusive, that the stream had
	// the part, within the spans that the selection touches.
	From, To model.Millis
}

// Place is where a series is: Group numbers the groups of the selection, Index is into
// the group's Columns.
type Place struct{ Group, Index int }

// Series is a selected series.
type Series struct {
	Labels labels.Labels
	// Places are one or more: a series may be in several streams, in several
	// versions of a part, and of several workers with equal labels. Valid until
	// the next series.
	Places []Place
}

// Select selects the series that satisfy all matchers, by the rules of Prometheus, and
// may have samples from mint to maxt, inclusive. No matchers select everything. It
// fails only with ctx.
func (d *Dictionary) Select(ctx context.Context, mint, maxt model.Millis, matchers ...*labels.Matcher) (*Selection, error) {
	sel := &Selection{series: -1}
	var mixed mixture
	err := d.eachRun(ctx, mint, maxt, matchers, func(r *run) error {
		if err := r.walk(); err != nil || len(r.picks) == 0 {
			return err
		}
		for i := range r.picks {
			p := &r.picks[i]
			r.join(p)
			p.first = sel.groups
			sel.groups += len(p.plan.evals)
		}
		mixed.add(r)
		if sel.picks == nil {
			sel.picks = r.picks
		} else {
			sel.picks = append(sel.picks, r.picks...)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("schemas: select: %w", err)
	}
	sel.mixed = mixed.any()
	return sel, nil
}

// eachRun prepares a selection among the hosts of each shape.
func (d *Dictionary) eachRun(ctx context.Context, mint, maxt model.Millis, matchers []*labels.Matcher, do func(*run) error) error {
	d.mu.RLock()
	shapes := d.shapes
	d.mu.RUnlock()
	ms := make([]*matcher, len(matchers))
	for i, m := range matchers {
		ms[i] = newMatcher(m)
	}
	for _, sh := range shapes {
		if err := do(d.newRun(ctx, sh, ms, int64(mint), int64(maxt))); err != nil {
			return err
		}
	}
	return nil
}

// mixture finds out whether two shapes may have an equal series. It takes a part's label that
// has the name of the other shape's, or gets it by being renamed.
type mixture struct{ runs []*run }

func (m *mixture) add(r *run) { m.runs = append(m.runs, r) }

func (m *mixture) any() (mixed bool) {
	if len(m.runs) < 2 {
		return false
	}
	foreign := texts{}
	for _, r := range m.runs {
		for _, name := range r.shape.names {
			foreign.add(name)
		}
	}
	for _, r := range m.runs {
		r.eachMatch(func(f *familyMatch) {
			for _, n := range f.match.list.names {
				_, has := foreign[n.name]
				mixed = mixed || has
			}
			mixed = mixed || f.own != nil
		})
	}
	return mixed
}

// All times.
const (
	MinTime = model.Millis(math.MinInt64)
	MaxTime = model.Millis(math.MaxInt64)
)

// Groups is the number of groups.
func (s *Selection) Groups() int { return s.groups }

// AllGroups gives all groups, numbered from 0. Groups of one host follow each other.
func (s *Selection) AllGroups() iter.Seq2[int, Group] {
	return func(yield func(int, Group) bool) {
		for i := range s.picks {
			p := &s.picks[i]
			for k := range p.plan.evals {
				if !yield(p.first+k, p.group(k)) {
					return
				}
			}
		}
	}
}

// group returns the k-th group of a host.
func (p *pick) group(k int) Group {
	e := p.plan.evals[k]
	if p.all != nil {
		g := p.all[k]
		g.Columns = e.columnList()
		return g
	}
	from, to := p.span.Bounds()
	return Group{p.span.source, p.span.stream, e.part, e.columnList(), from, to}
}

// join makes one plan of several spans of a host. Streams have the same part again and
// again when others of their parts change: that is one group.
func (r *run) join(p *pick) {
	if p.more == nil {
		return
	}
	type key struct {
		source *Source
		stream model.StreamID
		part   *Part
	}
	var numbers map[key]int
	var evals []*eval
	find := func(k key) int {
		if numbers != nil {
			if i, known := numbers[k]; known {
				return i
			}
			return -1
		}
		for i := range p.all {
			if g := &p.all[i]; g.Part == k.part && g.Stream == k.stream && g.Source == k.source {
				return i
			}
		}
		return -1
	}
	const few = 32
	for _, f := range p.more {
		from, to := f.span.Bounds()
		for _, e := range f.plan.evals {
			k := key{f.span.source, f.span.stream, e.part}
			if i := find(k); i >= 0 {
				g := &p.all[i]
				g.From, g.To = min(g.From, from), max(g.To, to)
				continue
			}
			if numbers != nil {
				numbers[k] = len(p.all)
			}
			p.all = append(p.all, Group{Source: k.source, Stream: k.stream, Part: k.part, From: from, To: to})
			evals = append(evals, e)
			if len(p.all) == few && numbers == nil {
				numbers = make(map[key]int, 2*few)
				for i := range p.all {
					g := &p.all[i]
					numbers[key{g.Source, g.Stream, g.Part}] = i
				}
			}
		}
	}
	p.plan, p.more = r.joint(evals), nil
}
