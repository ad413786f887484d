package schemas

import (
	"context"
	"encoding/binary"

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

	// chosen has, by slot, the hosts that can be selected; nil if all of the shape can.
	// index has, by slot, which of picks a host is, from 1; 0 is none yet. Hosts that
	// are added meanwhile are left out.
	chosen []*host
	index  []int32
	picks  []pick
	steps  int
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
		plans: map[string]*plan{}, bySet: map[*schema]*plan{}}
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
// hosts that do.
func (r *run) walk() error {
	hosts, anyHost, err := r.hosts()
	if err != nil || len(hosts) == 0 {
		return err
	}
	parts, anyPart, err := r.candidates()
	if err != nil {
		return err
	}
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
	order, evals := r.schemasOf(matching)
	spans := capture(r.d, order, func(s *schema) []*Span { return s.spans })
	total := 0
	for _, ss := range spans {
		total += len(ss)
	}
	if !anyHost {
		if len(hosts)*hostCost < total {
			return r.walkHosts(hosts, evals)
		}
		r.chosen = make([]*host, len(r.index))
		for _, h := range hosts {
			r.chosen[h.slot] = h
		}
	}
	r.picks = make([]pick, 0, min(total, len(hosts)))
	for i, s := range order {
		var p *plan
		for _, span := range spans[i] {
			if span.host.shape != r.shape || !r.during(span) {
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

// schemasOf are the schemas that name the parts, with the evaluations of them.
func (r *run) schemasOf(parts []*Part) (order []*schema, evals map[*schema][]*eval) {
	schemas := capture(r.d, parts, func(p *Part) []*schema { return p.schemas })
	most := 0 // a schema that names many of the parts is the usual case
	for _, ss := range schemas {
		most = max(most, len(ss))
	}
	order, evals = make([]*schema, 0, most), make(map[*schema][]*eval, most)
	for i, ss := range schemas {
		alone := []*eval{r.evals[parts[i]]}
		for _, s := range ss {
			if known := evals[s]; known == nil {
				order = append(order, s)
				evals[s] = alone
			} else {
				evals[s] = append(known[:len(known):len(known)], alone...)
			}
		}
	}
	return order, evals
}

// hostCost is how many spans of a schema can be looked at in the time that the spans of one
// host take.
const hostCost = 8

// walkHosts goes through the spans of hosts that are selected. evals are those of the schemas that can
// match, nil if any can.
func (r *run) walkHosts(hosts []*host, evals map[*schema][]*eval) error {
	for _, spans := range capture(r.d, hosts, (*host).spans) {
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
	h := s.host
	if h.slot >= len(r.index) || (r.chosen != nil && r.chosen[h.slot] != h) {
		return r.step()
	}
	at := r.index[h.slot]
	if at == 0 {
		r.picks = append(r.picks, pick{host: h, span: s, plan: p})
		r.index[h.slot] = int32(len(r.picks))
		return r.step()
	}
	was := &r.picks[at-1]
	if was.host != h {
		return r.step() // one of them is forgotten
	}
	if was.more == nil {
		was.more = []found{{was.span, was.plan}}
	}
	was.more = append(was.more, found{s, p})
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

// hosts returns the hosts that are selected; any is true if these are all of the shape.
func (r *run) hosts() (hosts []*host, any bool, err error) {
	hosts, any = r.likely()
	if len(r.about) == 0 {
		return hosts, any, nil
	}
	var selected []*host
	for _, h := range hosts {
		if r.hostMatches(h) {
			selected = append(selected, h)
		}
		if err := r.step(); err != nil {
			return nil, false, err
		}
	}
	return selected, any && len(selected) == len(hosts), nil
}

// likely returns the hosts that can match by the best of the matchers that name
// values; any is true if there is no such matcher, and the hosts are all of the shape.
func (r *run) likely() (hosts []*host, any bool) {
	r.d.mu.RLock()
	defer r.d.mu.RUnlock()
	r.index = make([]int32, r.shape.slots)
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
