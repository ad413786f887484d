package schemas

import (
	"encoding/binary"

	"github.com/prometheus/prometheus/model/labels"
)

// plan is what is selected of a host, without the host: hosts of one kind share it.
type plan struct {
	evals []*eval // one for each group
	// joint says that a series may be in several columns: they are of several schemas, or
	// labels are renamed.
	joint bool
	made  []entry
}

// entry is a series of a plan.
type entry struct {
	own    []labels.Label // with the metric's name, sorted
	places []Place        // groups are numbered within the plan
}

// joint is plan for evaluations of several schemas.
func (r *run) joint(evals []*eval) *plan {
	r.key = append(r.key[:0], 'j')
	for _, e := range evals {
		r.key = binary.LittleEndian.AppendUint32(r.key, e.number)
	}
	p := r.plans[string(r.key)]
	if p == nil {
		p = &plan{evals: evals, joint: true}
		r.plans[string(r.key)] = p
	}
	return p
}

// entries lists the series of the plan, once.
func (p *plan) entries() []entry {
	if p.made != nil {
		return p.made
	}
	n := 0
	for _, e := range p.evals {
		n += e.n
	}
	p.made = make([]entry, 0, n)
	places := make([]Place, 0, n)
	add := func(own func() []labels.Label, at Place) {
		places = append(places, at)
		k := len(places)
		p.made = append(p.made, entry{own(), places[k-1 : k : k]})
	}
	if !p.joint {
		p.each(func(f *familyMatch, i int, at Place) {
			add(func() []labels.Label { return f.labelsAt(i) }, at)
		})
		return p.made
	}
	known := make(map[identity]int, n)
	odd := p.odd()
	p.each(func(f *familyMatch, i int, at Place) {
		id := f.identity(i, odd)
		if k, twice := known[id]; twice {
			p.made[k].places = append(p.made[k].places, at)
			return
		}
		known[id] = len(p.made)
		add(func() []labels.Label { return f.labelsAt(i) }, at)
	})
	return p.made
}

// size is the number of series.
func (p *plan) size() int {
	if p.joint {
		return len(p.entries())
	}
	n := 0
	for _, e := range p.evals {
		n += e.n
	}
	return n
}

func (p *plan) each(visit func(f *familyMatch, i int, at Place)) {
	for g, e := range p.evals {
		index := 0
		for k := range e.families {
			f := &e.families[k]
			for i := range f.at {
				visit(f, i, Place{g, index})
				index++
			}
		}
	}
}

func (p *plan) renames() bool {
	for _, e := range p.evals {
		for k := range e.families {
			if e.families[k].own != nil {
				return true
			}
		}
	}
	return false
}

// odd says that sets do not tell series apart, their labels must.
func (p *plan) odd() bool {
	for _, e := range p.evals {
		for k := range e.families {
			if e.families[k].odd() {
				return true
			}
		}
	}
	return false
}

// identity tells the series of one host apart.
type identity struct {
	metric *metric
	set    *set
	labels string
}

func (f *familyMatch) identity(i int, odd bool) identity {
	if !odd {
		return identity{f.heading.metric, f.match.list.sets[f.at[i]], ""}
	}
	var key []byte
	for _, l := range f.labelsAt(i) {
		key = append(append(append(append(key, l.Name...), 0xfe), l.Value...), 0xff)
	}
	return identity{labels: string(key)}
}
