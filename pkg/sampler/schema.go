package sampler

import (
	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// schema is the columns of a row. It is immutable: what it was made from is
// never changed, only replaced.
type schema struct {
	id     frame.SchemaID
	parts  []model.Part
	ids    []frame.PartID
	layout *frame.Layout
}

// newSchema joins the parts of the slots that are granted.
func newSchema(slots []*slot) (*schema, error) {
	s := &schema{}
	for _, slot := range slots {
		if slot.granted() {
			s.parts = append(s.parts, slot.part)
			s.ids = append(s.ids, slot.id)
		}
	}
	layout, err := frame.NewLayout(s.parts)
	if err != nil {
		return nil, err
	}
	s.layout = layout
	s.id = frame.Schema{Parts: s.ids}.ID()
	return s, nil
}

// fits reports whether s has the columns of the granted slots.
func (s *schema) fits(slots []*slot) bool {
	if s == nil {
		return false
	}
	n := 0
	for _, slot := range slots {
		if slot.granted() {
			if n == len(s.ids) || s.ids[n] != slot.id {
				return false
			}
			n++
		}
	}
	return n == len(s.ids)
}
