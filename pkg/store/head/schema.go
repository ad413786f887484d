package head

import (
	"slices"
	"sync"
	"sync/atomic"
	"weak"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/schemas"
)

// schema is what the head needs of a schema, shared by all lanes that have it. It goes
// on when the dictionary has forgotten it.
type schema struct {
	id      frame.SchemaID
	parts   []*schemas.Part
	starts  []int // first column of each part, then the number of columns
	columns int
	sparse  bool // all parts are

	made atomic.Pointer[frame.Layout]
}

// layout makes the layout at the first call: a replay can do without. It fails while the
// dictionary has forgotten the schema.
func (s *schema) layout(d *schemas.Dictionary) (*frame.Layout, error) {
	if made := s.made.Load(); made != nil {
		return made, nil
	}
	made, err := d.Layout(s.id)
	if err != nil {
		return nil, err
	}
	s.made.Store(made)
	return made, nil
}

// find returns which of the schema's parts has the id, -1 for none.
func (s *schema) find(id frame.PartID) int {
	for i, p := range s.parts {
		if p.ID() == id {
			return i
		}
	}
	return -1
}

// schemaTable has all schemas in use once. Safe for concurrent use.
type schemaTable struct {
	dictionary *schemas.Dictionary
	mu         sync.Mutex
	known      map[frame.SchemaID]weak.Pointer[schema]
}

// get returns a schema of the dictionary; nil if it is not there.
func (t *schemaTable) get(id frame.SchemaID) *schema {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.known[id].Value(); s != nil {
		return s
	}
	parts := t.dictionary.Schema(id)
	if parts == nil {
		return nil
	}
	s := &schema{id: id, parts: parts, starts: make([]int, 0, len(parts)+1), sparse: true}
	for _, p := range parts {
		s.sparse = s.sparse && p.IsSparse()
		s.starts = append(s.starts, s.columns)
		s.columns += p.Columns()
	}
	s.starts = append(s.starts, s.columns)
	t.known[id] = weak.Make(s)
	return s
}

// tidy forgets schemas that nobody has any more.
func (t *schemaTable) tidy() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, s := range t.known {
		if s.Value() == nil {
			delete(t.known, id)
		}
	}
}

// fresh is how many series of the parts next are not in the parts old.
func fresh(old, next []*schemas.Part) (n int) {
	has := func(parts []*schemas.Part, p *schemas.Part) bool {
		return slices.ContainsFunc(parts, func(q *schemas.Part) bool { return q == p || q.ID() == p.ID() })
	}
	var known map[string]struct{}
	var key []byte
	for _, p := range next {
		if has(old, p) {
			continue
		}
		if len(old) == 0 {
			n += p.Columns()
			continue
		}
		if known == nil {
			known = map[string]struct{}{}
			for _, q := range old {
				if has(next, q) {
					continue
				}
				for i := range q.Columns() {
					key = appendSeries(key[:0], q, i)
					known[string(key)] = struct{}{}
				}
			}
		}
		for i := range p.Columns() {
			key = appendSeries(key[:0], p, i)
			if _, both := known[string(key)]; !both {
				n++
			}
		}
	}
	return n
}

// appendSeries appends what tells series apart: no valid text contains the separators.
func appendSeries(key []byte, p *schemas.Part, column int) []byte {
	name, own := p.Column(column)
	key = append(key, name...)
	for _, l := range own {
		key = append(append(append(append(key, 0xfe), l.Name...), 0xff), l.Value...)
	}
	return key
}

// present is how many of the values are there. It is on the path of every frame: the sum of
// numbers is a number, and takes an instruction for each.
func present(values []float64) int {
	var s0, s1, s2, s3 float64
	rest := values
	for len(rest) >= 4 {
		s0 += rest[0]
		s1 += rest[1]
		s2 += rest[2]
		s3 += rest[3]
		rest = rest[4:]
	}
	for _, v := range rest {
		s0 += v
	}
	if sum := s0 + s1 + s2 + s3; sum == sum {
		return len(values)
	}
	n := len(values) // there is a NaN, or two infinities
	for _, v := range values {
		if model.IsAbsent(v) {
			n--
		}
	}
	return n
}
