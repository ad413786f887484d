package schemas

import (
	"hash/maphash"
	"slices"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// metric is a metric name with everything that is called so.
type metric struct {
	name     string
	headings []*heading // grows at its end, or is replaced
}

// heading is a family without its series.
type heading struct {
	metric *metric
	help   string
	kind   model.MetricType
	scale  uint8
	parts  []*Part // that have such a family; grows at its end, or is replaced
}

// labelName is a label name of parts, with all of its values.
type labelName struct {
	name   string
	values map[string]*pair
	all    []*pair // grows at its end, or is replaced
}

// pair is a label.
type pair struct {
	name  *labelName
	value string
	lists []*list // that have it; grows at its end, or is replaced
}

// set is a label set: what a column is called besides its metric's name. Immutable
// but for refs and next.
type set struct {
	next  *set
	hash  uint64
	pairs []*pair // sorted by name
	refs  uint32  // columns of lists that are it
}

// list is the label sets of a family, one after the other. Immutable but for
// parts and next.
type list struct {
	next  *list
	hash  uint64
	sets  []*set
	names []*labelName // that occur in its sets
	blank bool         // a set has a label without a value
	gone  bool         // being forgotten; guarded by Dictionary.writing
	parts []*Part      // grows at its end, or is replaced
}

// About how many bytes things take, with their share of maps.
const (
	metricBytes  = 120
	headingBytes = 88
	nameBytes    = 200
	pairBytes    = 150
	setBytes     = 110
	listBytes    = 190
	partBytes    = 170
	familyBytes  = 32
	schemaBytes  = 150
	spanBytes    = 112
	sourceBytes  = 320
	labelBytes   = 130 // of a host
	pointerBytes = 8
)

// internName finds or makes a label name. Called with writing held.
func (d *Dictionary) internName(name string) *labelName {
	n := d.names[name]
	if n == nil {
		n = &labelName{name: name, values: map[string]*pair{}}
		d.mu.Lock()
		d.names[name] = n
		d.mu.Unlock()
		d.bytes += nameBytes + int64(len(name))
	}
	return n
}

// internPair finds or makes a label. It is not found by readers until
// something has it: see publish. Called with writing held.
func (d *Dictionary) internPair(l model.Label, fresh *[]*pair) *pair {
	n := d.internName(l.Name)
	p := n.values[l.Value]
	if p == nil {
		p = &pair{name: n, value: l.Value}
		d.mu.Lock()
		n.values[l.Value] = p
		d.mu.Unlock()
		*fresh = append(*fresh, p)
		d.bytes += pairBytes + int64(len(l.Value))
	}
	return p
}

// internSet finds or makes a label set. Called with writing held.
func (d *Dictionary) internSet(ls model.Labels, fresh *[]*pair) *set {
	var h maphash.Hash
	h.SetSeed(d.seed)
	for _, l := range ls {
		h.WriteString(l.Name)
		h.WriteByte(0xfe)
		h.WriteString(l.Value)
		h.WriteByte(0xff)
	}
	hash := h.Sum64()
	for s := d.sets[hash]; s != nil; s = s.next {
		if s.is(ls) {
			return s
		}
	}
	s := &set{next: d.sets[hash], hash: hash}
	if len(ls) > 0 {
		s.pairs = make([]*pair, len(ls))
		for i, l := range ls {
			s.pairs[i] = d.internPair(l, fresh)
		}
	}
	d.sets[hash] = s
	d.bytes += setBytes + pointerBytes*int64(len(ls))
	return s
}

func (s *set) is(ls model.Labels) bool {
	if len(s.pairs) != len(ls) {
		return false
	}
	for i, p := range s.pairs {
		if p.value != ls[i].Value || p.name.name != ls[i].Name {
			return false
		}
	}
	return true
}

// internList finds or makes the list of a family's series. Called with writing held.
func (d *Dictionary) internList(series []model.Labels) *list {
	var fresh []*pair
	sets := make([]*set, len(series))
	var hash uint64
	for i, ls := range series {
		sets[i] = d.internSet(ls, &fresh)
		hash = (hash ^ sets[i].hash) * 0x9e3779b97f4a7c15
		hash ^= hash >> 29
	}
	for l := d.lists[hash]; l != nil; l = l.next {
		if slices.Equal(l.sets, sets) {
			return l // so all of its sets and pairs were there
		}
	}
	l := &list{next: d.lists[hash], hash: hash, sets: sets}
	d.lists[hash] = l
	pairs := l.describe()
	d.bytes += listBytes + pointerBytes*int64(len(sets)+len(pairs)+len(l.names))
	d.changing(len(fresh), func(i int) { fresh[i].name.all = append(fresh[i].name.all, fresh[i]) })
	d.changing(len(pairs), func(i int) { pairs[i].lists = append(pairs[i].lists, l) })
	return l
}

// describe counts the sets of a new list, and returns its distinct labels.
func (l *list) describe() (pairs []*pair) {
	seen := make(map[*pair]struct{}, len(l.sets))
	for _, s := range l.sets {
		s.refs++
		for _, p := range s.pairs {
			if _, twice := seen[p]; twice {
				continue
			}
			seen[p] = struct{}{}
			pairs = append(pairs, p)
			l.blank = l.blank || p.value == ""
			if !slices.Contains(l.names, p.name) {
				l.names = append(l.names, p.name)
			}
		}
	}
	l.names = slices.Clip(l.names)
	return pairs
}

// internHeading finds or makes a heading. Called with writing held.
func (d *Dictionary) internHeading(f *model.Family) *heading {
	m := d.metrics[f.Name]
	if m == nil {
		m = &metric{name: f.Name}
		d.mu.Lock()
		d.metrics[f.Name] = m
		d.allM = append(d.allM, m)
		d.mu.Unlock()
		d.bytes += metricBytes + int64(len(f.Name))
	}
	for _, h := range m.headings {
		if h.help == f.Help && h.kind == f.Type && h.scale == f.Scale {
			return h
		}
	}
	h := &heading{metric: m, help: f.Help, kind: f.Type, scale: f.Scale}
	d.mu.Lock()
	m.headings = append(m.headings, h)
	d.mu.Unlock()
	d.bytes += headingBytes + int64(len(f.Help))
	return h
}
