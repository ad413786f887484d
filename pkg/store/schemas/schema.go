package schemas

import (
	"fmt"
	"sync"
	"weak"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// schema is a list of parts, kept once for all streams that have it.
type schema struct {
	id    frame.SchemaID
	parts []*Part
	spans []*Span // of streams that have or had it; guarded by mu, grows at its end, or is replaced
	idle  bool    // had no span when it was last looked at; guarded by writing
	gone  bool    // being forgotten; guarded by writing

	making sync.Mutex // guards layout
	layout weak.Pointer[frame.Layout]
}

func (s *schema) bytes() int64 { return schemaBytes + 2*pointerBytes*int64(len(s.parts)) }

// AddSchema adds an encoded schema whose parts are all there, and appends the
// record of it to record. A schema that is there already changes nothing. It fails with
// what frame.ParseSchema says, with ErrUnknownPart, ErrShared and a LimitError. A
// schema without a span is forgotten at the second call of Forget.
func (d *Dictionary) AddSchema(record, encoded []byte) ([]byte, frame.SchemaID, error) {
	named, err := frame.ParseSchema(encoded)
	if err != nil {
		return record, frame.SchemaID{}, fmt.Errorf("schemas: add schema: %w", err)
	}
	id := named.ID()
	d.writing.Lock()
	defer d.writing.Unlock()
	if s := d.schemas[id]; s != nil {
		s.idle = false
		return record, id, nil
	}
	s := &schema{id: id, parts: make([]*Part, len(named.Parts))}
	columns := 0
	for i, partID := range named.Parts {
		p := d.parts[partID]
		if p == nil {
			return record, id, fmt.Errorf("schemas: add schema %v: part %v: %w", id, partID, ErrUnknownPart)
		}
		s.parts[i] = p
		columns += p.columns
	}
	if columns > frame.MaxColumns {
		return record, id, fmt.Errorf("schemas: add schema %v: %d columns: %w", id, columns, frame.ErrLimit)
	}
	if name := s.shared(); name != "" {
		return record, id, fmt.Errorf("schemas: add schema %v: metric %q: %w", id, name, ErrShared)
	}
	if d.bytes+s.bytes() > int64(d.config.Bytes) {
		return record, id, &LimitError{"bytes", int64(d.config.Bytes)}
	}
	d.bytes += s.bytes()
	d.changing(len(s.parts), func(i int) { s.parts[i].schemas = append(s.parts[i].schemas, s) })
	d.mu.Lock()
	d.schemas[id] = s
	d.mu.Unlock()
	return appendSchema(record, encoded), id, nil
}

// shared names a metric of which two parts have the same series; "" if there is none.
func (s *schema) shared() string {
	owner := make(map[*metric]int, 16*len(s.parts)) // part, or -1 for several
	var common []*metric
	for i, p := range s.parts {
		for k := range p.families {
			m := p.families[k].heading.metric
			if first, known := owner[m]; !known {
				owner[m] = i
			} else if first >= 0 && first != i {
				owner[m] = -1
				common = append(common, m)
			}
		}
	}
	for _, m := range common {
		seen := map[string]struct{}{}
		for _, p := range s.parts {
			for _, f := range p.families {
				if f.heading.metric != m {
					continue
				}
				for _, own := range f.list.sets {
					key := string(appendOwn(nil, own.labels()))
					if _, twice := seen[key]; twice {
						return m.name
					}
					seen[key] = struct{}{}
				}
			}
		}
	}
	return ""
}

// appendOwn appends what tells label sets apart; a label without a value does not.
func appendOwn(key []byte, own model.Labels) []byte {
	for _, l := range own {
		if l.Value != "" {
			key = append(append(append(append(key, l.Name...), 0xfe), l.Value...), 0xff)
		}
	}
	return key
}

// Schema returns the parts of a schema, in order; nil when it is not there.
func (d *Dictionary) Schema(id frame.SchemaID) []*Part {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if s := d.schemas[id]; s != nil {
		return s.parts
	}
	return nil
}

// Layout returns the layout of a schema. It is one for all callers as long as
// one of them holds it; making it takes some 100 us.
func (d *Dictionary) Layout(id frame.SchemaID) (*frame.Layout, error) {
	d.mu.RLock()
	s := d.schemas[id]
	d.mu.RUnlock()
	if s == nil {
		return nil, fmt.Errorf("schemas: lay out %v: %w", id, ErrUnknownSchema)
	}
	s.making.Lock()
	defer s.making.Unlock()
	if l := s.layout.Value(); l != nil {
		return l, nil
	}
	parts := make([]model.Part, len(s.parts))
	for i, p := range s.parts {
		parts[i] = p.Model()
	}
	l, err := frame.NewLayout(parts)
	if err != nil {
		return nil, fmt.Errorf("schemas: lay out %v: %w", id, err)
	}
	s.layout = weak.Make(l)
	return l, nil
}
