package schemas

import (
	"context"
	"encoding/binary"
	"math"

	"github.com/prometheus/prometheus/model/labels"
)

// run is a selection among the hosts of one shape: for them it is clear which matchers
// are about the host, and what the labels of parts are called.
type run struct {
	ctx   context.Context
	d     *Dictionary
	shape *shape
	names []*matcher // of the metric's name
	own   []*matcher // of labels of parts
	about []*matcher // of labels of the host
	where []int      // which label of the shape each of about is for
	mint  int64
	maxt  int64

	metrics map[*metric]bool
	matches map[*list]*match
	evals   map[*Part]*eval
	plans   map[string]*plan
	bySet   map[*schema]*plan
	key     []byte // scratch

	index map[*host]int32 // into picks; -1: not selected
	picks []pick
	steps int
}

// pick is a host that is selected, with where its series are.
type pick struct {
	host  *host
	span  *Span // the only one, if more is nil
	plan  *plan
	first int // number of its first group in the selection
	more  []found
	all   []Group
}

// found is a span of a host.
type found struct {
	span *Span
	plan *plan
}

func (d *Dictionary) newRun(ctx context.Context, sh *shape, ms []*matcher, mint, maxt int64) *run {
	r := &run{ctx: ctx, d: d, shape: sh, mint: mint, maxt: maxt,
		metrics: map[*metric]bool{}, matches: map[*list]*match{}, evals: map[*Part]*eval{},
		plans: map[string]*plan{}, bySet: map[*schema]*plan{}, index: map[*host]int32{}}
	for _, m := range ms {
		if m.Name == labels.MetricName {
			r.names = append(r.names, m)
		} else if i := sh.find(m.Name); i >= 0 {
			r.about, r.where = append(r.about, m), append(r.where, i)
		} else {
			r.own = append(r.own, m)
		}
	}
	return r
}

// walk selects. It starts from whatever is fewest: the parts that can match, or the
// hosts that can.
func (r *run) walk() error {
	parts, anyPart, err := r.candidates()
	if err != nil {
		return err
	}
	hosts, anyHost := r.hosts()
	if anyPart {
		return r.walkHosts(hosts, nil)
	}
	matching := parts[:0]
	for _, p := range parts {
		if r.eval(p) != nil {
			matching = append(matching, p)
		}
		if err := r.step(); err != nil {
			return err
		}
	}
	schemas := capture(r.d, matching, func(p *Part) []*schema { return p.schemas })
	named := 0
	for _, ss := range schemas {
		named += len(ss)
	}
	var order []*schema
	evals := make(map[*schema][]*eval, named)
	for i, ss := range schemas {
		for _, s := range ss {
			if evals[s] == nil {
				order = append(order, s)
			}
			evals[s] = append(evals[s], r.evals[matching[i]])
		}
	}
	spans := capture(r.d, order, func(s *schema) []*Span { return s.spans })
	if !anyHost {
		total := 0
		for _, ss := range spans {
			total += len(ss)
		}
		// The spans of a host cost more: all parts of their schemas are looked at.
		if len(hosts)*hostCost < total {
			return r.walkHosts(hosts, evals)
		}
	}
	for i, s := range order {
		var p *plan
		for _, span := range spans[i] {
			if span.source.host.shape != r.shape || !r.during(span) {
				continue
			}
			if p == nil {
				p = r.plan(evals[s])
			}
			if err := r.take(span, p); err != nil {
				return err
			}
		}
	}
	return nil
}

// hostCost is how many spans of a schema can be looked at in the time that the spans of one
// host take.
const hostCost = 8

// walkHosts goes through the spans of hosts. evals are those of the schemas that can
// match, nil if any can.
func (r *run) walkHosts(hosts []*host, evals map[*schema][]*eval) error {
	for i, sources := range capture(r.d, hosts, func(h *host) []*Source { return h.sources }) {
		if err := r.step(); err != nil {
			return err
		}
		if !r.hostMatches(hosts[i]) {
			continue
		}
		for _, spans := range capture(r.d, sources, func(s *Source) []*Span { return s.spans }) {
			for _, span := range spans {
				if !r.during(span) {
					continue
				}
				if p := r.planOf(span.schema, evals); p != nil {
					if err := r.take(span, p); err != nil {
						return err
					}
				}
			}
		}
	}
	return nil
}

// planOf is the plan of a schema; nil if nothing of it matches.
func (r *run) planOf(s *schema, evals map[*schema][]*eval) *plan {
	p, known := r.bySet[s]
	if known {
		return p
	}
	var matching []*eval
	if evals != nil {
		matching = evals[s]
	} else {
		for _, part := range s.parts {
			if e := r.eval(part); e != nil {
				matching = append(matching, e)
			}
		}
	}
	if len(matching) > 0 {
		p = r.plan(matching)
	}
	r.bySet[s] = p
	return p
}

// plan returns the plan of groups of these evaluations, one for all hosts.
func (r *run) plan(evals []*eval) *plan {
	r.key = r.key[:0]
	for _, e := range evals {
		r.key = binary.LittleEndian.AppendUint32(r.key, e.number)
	}
	p := r.plans[string(r.key)]
	if p == nil {
		p = &plan{evals: evals}
		p.joint = p.renames()
		r.plans[string(r.key)] = p
	}
	return p
}

func (r *run) during(s *Span) bool { return s.from.Load() <= r.maxt && s.to.Load() >= r.mint }

// take notes a span that overlaps the time, if its host is selected.
func (r *run) take(s *Span, p *plan) error {
	h := s.source.host
	at, known := r.index[h]
	switch {
	case !known && !r.hostMatches(h):
		r.index[h] = -1
	case !known:
		r.index[h] = int32(len(r.picks))
		r.picks = append(r.picks, pick{host: h, span: s, plan: p})
	case at >= 0:
		was := &r.picks[at]
		if was.more == nil {
			was.more = []found{{was.span, was.plan}}
		}
		was.more = append(was.more, found{s, p})
	}
	return r.step()
}

func (r *run) hostMatches(h *host) bool {
	for i, m := range r.about {
		if !m.text(h.value(r.where[i])) {
			return false
		}
	}
	return true
}

// step looks now and then whether anybody still waits for the result.
func (r *run) step() error {
	if r.steps++; r.steps&0x3ff == 0 {
		return r.ctx.Err()
	}
	return nil
}

// hosts returns the hosts that can match by the best of the matchers that name
// values; any is true if there is no such matcher, and the hosts are all of the shape.
func (r *run) hosts() (hosts []*host, any bool) {
	r.d.mu.RLock()
	defer r.d.mu.RUnlock()
	hosts, any = r.shape.hosts, true
	for i, m := range r.about {
		if m.set == nil {
			continue
		}
		var those []*host
		for _, value := range m.set {
			if v := r.shape.values[r.where[i]][value]; v != nil {
				if len(m.set) == 1 {
					those = v.hosts
				} else {
					those = append(those, v.hosts...)
				}
			}
		}
		if any || len(those) < len(hosts) {
			hosts, any = those, false
		}
	}
	return hosts, any
}

const unlimited = math.MaxInt
