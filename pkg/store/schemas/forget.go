package schemas

import (
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Forgotten says what Forget has forgotten.
type Forgotten struct{ Spans, Sources, Schemas, Parts int }

// Forget drops all spans that end before the time before, and what nothing needs any
// more: sources and schemas without spans, parts without schemas, and what only they
// had. Sources, schemas and parts that were never used yet are spared the
// first time. The log may keep their records until it is written
// anew from Snapshot; loaded again, they are dropped again.
func (d *Dictionary) Forget(before model.Millis) (f Forgotten) {
	d.writing.Lock()
	defer d.writing.Unlock()
	f.Spans = d.forgetSpans(int64(before))
	f.Sources = d.forgetSources()
	f.Schemas = d.forgetSchemas()
	f.Parts = d.forgetParts()
	return f
}

// forgetSpans is called with writing held, as are all below.
func (d *Dictionary) forgetSpans(before int64) (forgotten int) {
	schemas := map[*schema]struct{}{}
	for _, s := range d.sources {
		n := 0
		for _, span := range s.spans {
			if span.judge(before) {
				schemas[span.schema] = struct{}{}
				n++
			}
		}
		if n == 0 {
			continue
		}
		forgotten += n
		if s.latest != nil {
			for k, span := range s.latest {
				if span.gone.Load() {
					delete(s.latest, k)
				}
			}
		}
		filter(d, &s.spans, func(span *Span) bool { return !span.gone.Load() })
	}
	for sch := range schemas {
		filter(d, &sch.spans, func(span *Span) bool { return !span.gone.Load() })
	}
	d.spans -= forgotten
	d.bytes -= spanBytes * int64(forgotten)
	return forgotten
}

// judge decides whether a span is gone. Extend may be called at the same time:
// either it sees gone and asks for another span, or its time is seen here.
func (s *Span) judge(before int64) (gone bool) {
	if s.to.Load() >= before {
		return false
	}
	s.gone.Store(true)
	if s.to.Load() >= before {
		s.gone.Store(false)
		return false
	}
	return true
}

// filter replaces a list by one of what keep says; readers go on with the old.
func filter[T any](d *Dictionary, things *[]T, keep func(T) bool) {
	kept := 0
	for _, t := range *things {
		if keep(t) {
			kept++
		}
	}
	if kept == len(*things) {
		return
	}
	var left []T
	if kept > 0 {
		left = make([]T, 0, kept)
		for _, t := range *things {
			if keep(t) {
				left = append(left, t)
			}
		}
	}
	d.mu.Lock()
	*things = left
	d.mu.Unlock()
}

func (d *Dictionary) forgetSources() int {
	var gone []*Source
	hosts := map[*host]struct{}{}
	for _, s := range d.sources {
		if len(s.spans) > 0 {
			s.idle = false
			continue
		}
		if !s.idle {
			s.idle = true
			continue
		}
		s.gone = true
		d.bytes -= s.bytes
		gone = append(gone, s)
		hosts[s.host] = struct{}{}
	}
	d.changing(len(gone), func(i int) {
		delete(d.sources, sourceKey{gone[i].worker, gone[i].host})
		delete(d.numbers, gone[i].number)
		for _, number := range gone[i].former {
			delete(d.numbers, number)
		}
	})
	empty := map[*host]struct{}{}
	for h := range hosts {
		filter(d, &h.sources, func(s *Source) bool { return !s.gone })
		if len(h.sources) == 0 {
			empty[h] = struct{}{}
		}
	}
	d.forgetHosts(empty)
	return len(gone)
}

func (d *Dictionary) forgetHosts(gone map[*host]struct{}) {
	if len(gone) == 0 {
		return
	}
	stays := func(h *host) bool { _, gone := gone[h]; return !gone }
	values := map[*hostValue]struct{}{}
	shapes := map[*shape]struct{}{}
	all := make([]*host, 0, len(gone))
	for h := range gone {
		all = append(all, h)
		h.shape.free = append(h.shape.free, h.slot)
		shapes[h.shape] = struct{}{}
		for i := range h.labels {
			values[h.shape.values[i][h.value(i)]] = struct{}{}
		}
		d.mu.Lock()
		unchain(d.hosts, h.hash, h, func(h *host) **host { return &h.next })
		d.mu.Unlock()
	}
	for sh := range shapes {
		filter(d, &sh.hosts, stays)
	}
	for v := range values {
		filter(d, &v.hosts, stays)
	}
	d.changing(len(all), func(i int) {
		for k, byValue := range all[i].shape.values {
			if v := byValue[all[i].value(k)]; v != nil && len(v.hosts) == 0 {
				delete(byValue, v.value)
			}
		}
	})
	for sh := range shapes {
		if len(sh.hosts) == 0 {
			filter(d, &d.shapes, func(known *shape) bool { return known != sh })
		}
	}
}

func (d *Dictionary) forgetSchemas() int {
	var gone []*schema
	parts := map[*Part]struct{}{}
	for _, s := range d.schemas {
		if len(s.spans) > 0 {
			s.idle = false
			continue
		}
		if !s.idle {
			s.idle = true
			continue
		}
		s.gone = true
		gone = append(gone, s)
		d.bytes -= s.bytes()
		for _, p := range s.parts {
			parts[p] = struct{}{}
		}
	}
	d.changing(len(gone), func(i int) { delete(d.schemas, gone[i].id) })
	for p := range parts {
		filter(d, &p.schemas, func(s *schema) bool { return !s.gone })
	}
	return len(gone)
}

func (d *Dictionary) forgetParts() int {
	var gone []*Part
	for _, p := range d.parts {
		if len(p.schemas) > 0 {
			p.idle = false
			continue
		}
		if !p.idle {
			p.idle = true
			continue
		}
		gone = append(gone, p)
	}
	d.drop(gone...)
	return len(gone)
}

// drop takes parts out, and what only they had. They may be unpublished.
func (d *Dictionary) drop(gone ...*Part) {
	if len(gone) == 0 {
		return
	}
	dead := make(map[*Part]struct{}, len(gone))
	headings := map[*heading]struct{}{}
	lists := map[*list]struct{}{}
	for _, p := range gone {
		dead[p] = struct{}{}
		d.bytes -= p.bytes
		for _, f := range p.families {
			headings[f.heading] = struct{}{}
			lists[f.list] = struct{}{}
		}
	}
	stays := func(p *Part) bool { _, gone := dead[p]; return !gone }
	d.changing(len(gone), func(i int) { delete(d.parts, gone[i].id) })
	metrics := map[*metric]struct{}{}
	for h := range headings {
		filter(d, &h.parts, stays)
		if len(h.parts) == 0 {
			metrics[h.metric] = struct{}{}
			d.bytes -= headingBytes + int64(len(h.help))
		}
	}
	d.dropHeadings(metrics)
	var empty []*list
	for l := range lists {
		filter(d, &l.parts, stays)
		if len(l.parts) == 0 {
			l.gone = true
			empty = append(empty, l)
		}
	}
	d.dropLists(empty)
}

// dropHeadings takes headings without parts from metrics, and metrics without headings.
func (d *Dictionary) dropHeadings(metrics map[*metric]struct{}) {
	unnamed := false
	for m := range metrics {
		filter(d, &m.headings, func(h *heading) bool { return len(h.parts) > 0 })
		if len(m.headings) == 0 {
			unnamed = true
			d.bytes -= metricBytes + int64(len(m.name))
			d.mu.Lock()
			delete(d.metrics, m.name)
			d.mu.Unlock()
		}
	}
	if unnamed {
		filter(d, &d.allM, func(m *metric) bool { return len(m.headings) > 0 })
	}
}

// dropLists takes out lists that no part has.
func (d *Dictionary) dropLists(gone []*list) {
	pairs := map[*pair]struct{}{}
	sets := map[*set]struct{}{}
	for _, l := range gone {
		own := map[*pair]struct{}{}
		for _, s := range l.sets {
			s.refs--
			if s.refs == 0 {
				sets[s] = struct{}{}
			}
			for _, p := range s.pairs {
				own[p] = struct{}{}
				pairs[p] = struct{}{}
			}
		}
		d.bytes -= listBytes + pointerBytes*int64(len(l.sets)+len(own)+len(l.names))
		unchain(d.lists, l.hash, l, func(l *list) **list { return &l.next })
	}
	for s := range sets {
		d.bytes -= setBytes + pointerBytes*int64(len(s.pairs))
		unchain(d.sets, s.hash, s, func(s *set) **set { return &s.next })
	}
	names := map[*labelName]struct{}{}
	for p := range pairs {
		filter(d, &p.lists, func(l *list) bool { return !l.gone })
		if len(p.lists) == 0 {
			names[p.name] = struct{}{}
			d.bytes -= pairBytes + int64(len(p.value))
			d.mu.Lock()
			delete(p.name.values, p.value)
			d.mu.Unlock()
		}
	}
	for n := range names {
		filter(d, &n.all, func(p *pair) bool { return len(p.lists) > 0 })
		if len(n.values) == 0 {
			d.bytes -= nameBytes + int64(len(n.name))
			d.mu.Lock()
			delete(d.names, n.name)
			d.mu.Unlock()
		}
	}
}

// unchain takes a thing out of a map of chains.
func unchain[T any](m map[uint64]*T, hash uint64, gone *T, next func(*T) **T) {
	first := m[hash]
	for at := &first; *at != nil; at = next(*at) {
		if *at == gone {
			*at = *next(gone)
			break
		}
	}
	if first == nil {
		delete(m, hash)
	} else {
		m[hash] = first
	}
}
