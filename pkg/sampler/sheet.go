package sampler

import (
	"strings"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// sheet is what a collector fills: the description of its series and the
// values of this round. The collector writes values by column number; series
// are columns in the order in which they were described.
//
// To describe, a collector calls begin, then family and series for each of its
// metrics, then end. That allocates, so it does it only when something changed.
type sheet struct {
	values   []float64
	families []model.Family
	version  uint64 // grows with every description

	draft   []model.Family
	columns int
}

// begin starts a description.
func (s *sheet) begin() { s.draft, s.columns = nil, 0 }

// family starts a metric. One that gets no series is left out.
func (s *sheet) family(name, help string, kind model.MetricType, scale uint8) {
	s.draft = append(s.draft, model.Family{Name: name, Help: help, Type: kind, Scale: scale})
}

// series adds a column to the metric begun last and returns its number. The
// pairs are label names and values in any order.
func (s *sheet) series(pairs ...string) (column int) {
	for i, text := range pairs {
		pairs[i] = labelValue(text)
	}
	return s.add(model.LabelsOf(pairs...))
}

// labelValue is what series makes of a text: different bytes that are not UTF-8
// become the same.
func labelValue(text string) string { return clip(strings.ToValidUTF8(text, "�")) }

// clip shortens what the frame format would refuse, and the collector with it.
func clip(text string) string {
	if len(text) <= frame.MaxValue {
		return text
	}
	return strings.ToValidUTF8(text[:frame.MaxValue], "")
}

// add is series for labels that exist already.
func (s *sheet) add(labels model.Labels) (column int) {
	last := &s.draft[len(s.draft)-1]
	last.Series = append(last.Series, labels)
	s.columns++
	return s.columns - 1
}

// end puts the description in force. All values are absent.
func (s *sheet) end() {
	families := make([]model.Family, 0, len(s.draft))
	for _, family := range s.draft {
		if len(family.Series) > 0 {
			families = append(families, family)
		}
	}
	s.families, s.draft = families, nil
	s.values = make([]float64, s.columns)
	s.version++
	s.absent()
}

// absent marks every value as not read in this round.
func (s *sheet) absent() {
	for i := range s.values {
		s.values[i] = model.Absent()
	}
}

// described tells whether there has been a description at all.
func (s *sheet) described() bool { return s.version > 0 }
