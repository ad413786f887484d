package schemas

import (
	"fmt"
	"sort"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Part is a part of the dictionary. What its methods return does not change.
type Part struct {
	id        frame.PartID
	collector string
	families  []family
	columns   int
	bytes     int64     // what its families and itself cost; its lists are apart
	schemas   []*schema // that name it; guarded by mu, grows at its end, or is replaced
	idle      bool      // was in no schema when it was last looked at; guarded by writing
}

// family is one family of a part.
type family struct {
	heading *heading
	list    *list
	first   int // its first column
}

// ID is the part's id.
func (p *Part) ID() frame.PartID { return p.id }

// Columns is the number of its columns.
func (p *Part) Columns() int { return p.columns }

// IsSparse reports whether the series of the part come one by one (model.SparseCollector).
func (p *Part) IsSparse() bool { return p.collector == model.SparseCollector }

// Column names the series of column i, which is below Columns: its metric and
// its labels as the worker gave them.
func (p *Part) Column(i int) (name string, own model.Labels) {
	f := &p.families[sort.Search(len(p.families), func(k int) bool { return p.families[k].first > i })-1]
	return f.heading.metric.name, f.list.sets[i-f.first].labels()
}

// Model is the part as it was added.
func (p *Part) Model() model.Part {
	m := model.Part{Collector: p.collector, Families: make([]model.Family, len(p.families))}
	spelled := make(map[*list][]model.Labels, len(p.families))
	for i, f := range p.families {
		series, known := spelled[f.list]
		if !known {
			series = make([]model.Labels, len(f.list.sets))
			for k, s := range f.list.sets {
				series[k] = s.labels()
			}
			spelled[f.list] = series
		}
		h := f.heading
		m.Families[i] = model.Family{Name: h.metric.name, Help: h.help, Type: h.kind, Scale: h.scale, Series: series}
	}
	return m
}

func (s *set) labels() model.Labels {
	if len(s.pairs) == 0 {
		return nil
	}
	ls := make(model.Labels, len(s.pairs))
	for i, p := range s.pairs {
		ls[i] = model.Label{Name: p.name.name, Value: p.value}
	}
	return ls
}

// Part returns a part of the dictionary, or nil.
func (d *Dictionary) Part(id frame.PartID) *Part {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.parts[id]
}

// AddPart adds an encoded part, and appends the record of it to record. A part
// that is there already changes nothing. It fails with what frame.ParsePart says
// and with a LimitError. A part that no schema names is forgotten
// at the second call of Forget.
func (d *Dictionary) AddPart(record, encoded []byte) ([]byte, *Part, error) {
	id := frame.PartIDOf(encoded)
	if p := d.freshPart(id); p != nil {
		return record, p, nil
	}
	parsed, err := frame.ParsePart(encoded)
	if err != nil {
		return record, nil, fmt.Errorf("schemas: add part %v: %w", id, err)
	}
	d.writing.Lock()
	defer d.writing.Unlock()
	if p := d.parts[id]; p != nil {
		return record, p, nil
	}
	p := d.build(id, &parsed)
	if d.bytes > int64(d.config.Bytes) {
		d.drop(p)
		return record, nil, &LimitError{"bytes", int64(d.config.Bytes)}
	}
	d.publish(p)
	return appendPart(record, encoded), p, nil
}

// freshPart returns a part that somebody has just sent, or nil.
func (d *Dictionary) freshPart(id frame.PartID) *Part {
	d.writing.Lock()
	defer d.writing.Unlock()
	p := d.parts[id]
	if p != nil {
		p.idle = false
	}
	return p
}

// build makes a part that nobody sees yet. Called with writing held.
func (d *Dictionary) build(id frame.PartID, m *model.Part) *Part {
	p := &Part{id: id, collector: m.Collector, families: make([]family, len(m.Families))}
	var before *model.Family
	for i := range m.Families {
		f := &m.Families[i]
		own := family{heading: d.internHeading(f), first: p.columns}
		if before != nil && sameSeries(before.Series, f.Series) {
			own.list = p.families[i-1].list
		} else {
			own.list = d.internList(f.Series)
		}
		p.families[i] = own
		p.columns += len(f.Series)
		before = f
	}
	// Each family is in the postings of its heading, and often of its list.
	p.bytes = partBytes + (familyBytes+2*pointerBytes)*int64(len(p.families))
	d.bytes += p.bytes
	return p
}

// sameSeries compares quickly what families of a collector often have in common.
func sameSeries(a, b []model.Labels) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if len(a[i]) != len(b[i]) {
			return false
		}
		for k := range a[i] {
			if a[i][k] != b[i][k] {
				return false
			}
		}
	}
	return true
}

// publish shows a part to readers. Called with writing held.
func (d *Dictionary) publish(p *Part) {
	d.changing(len(p.families), func(i int) {
		f := p.families[i]
		f.heading.parts = append(f.heading.parts, p)
		if n := len(f.list.parts); n == 0 || f.list.parts[n-1] != p {
			f.list.parts = append(f.list.parts, p)
		}
	})
	d.mu.Lock()
	defer d.mu.Unlock()
	d.parts[p.id] = p
}

// Metadata describes metrics by what retained parts say: type and help of the
// named one, or of all when name is empty, sorted by name. A name has several entries
// when parts disagree. Series are nil.
func (d *Dictionary) Metadata(name string) []model.Family {
	d.mu.RLock()
	all := d.allM
	if name != "" {
		all = nil
		if m := d.metrics[name]; m != nil {
			all = []*metric{m}
		}
	}
	d.mu.RUnlock()
	var families []model.Family
	for i, headings := range capture(d, all, func(m *metric) []*heading { return m.headings }) {
		from := len(families)
		for _, h := range headings {
			f := model.Family{Name: all[i].name, Help: h.help, Type: h.kind}
			if !describes(families[from:], f) {
				families = append(families, f)
			}
		}
	}
	sort.SliceStable(families, func(i, k int) bool { return families[i].Name < families[k].Name })
	return families
}

func describes(known []model.Family, f model.Family) bool {
	for i := range known {
		if known[i].Type == f.Type && known[i].Help == f.Help {
			return true
		}
	}
	return false
}
