package sampler

import (
	"errors"
	"fmt"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// outcome is how a collector fared in a round.
type outcome uint8

const (
	delivered outcome = iota + 1
	missing           // the host does not have it
	failed            // it could not be read, in whole or in part
	refused           // its series break a rule or are too many
)

// slot is a collector at its place in the row.
type slot struct {
	name      string
	collector collector
	sheet     sheet

	outcome outcome
	err     error   // of failed and refused
	told    outcome // the last one that was logged
	took    time.Duration
	counts  CollectorStats

	// What was decided about the newest description.
	version uint64
	part    model.Part
	id      frame.PartID
	invalid error // why it cannot be a part
	there   bool  // it had columns in the last round
	refusal error // why it is left out
}

// run asks the collector and times it. It is the one place where that is done.
func (s *slot) run(r *round, now func() time.Time) {
	began, bytes := now(), r.bytes
	err := s.collector.update(r, &s.sheet)
	s.took = now().Sub(began)
	s.counts.Rounds++
	s.counts.Took += s.took
	s.counts.Bytes += r.bytes - bytes
	s.err = nil
	switch {
	case err == nil:
		s.outcome = delivered
	case notThere(err):
		s.outcome = missing
	default:
		s.outcome, s.err = failed, err
		s.counts.Errors++
		if !errors.As(err, new(partial)) {
			s.sheet.absent()
		}
	}
}

// present says that the collector has columns in this round: also when it
// failed, as long as it has ever described any.
func (s *slot) present() bool { return s.outcome != missing && len(s.sheet.values) > 0 }

// granted says that its columns are in the schema.
func (s *slot) granted() bool { return s.there && s.refusal == nil }

// changed says that the decisions are out of date.
func (s *slot) changed() bool { return s.version != s.sheet.version || s.there != s.present() }

// settle lets a refusal of this or an earlier round be this round's outcome.
func (s *slot) settle() {
	if s.there && s.refusal != nil {
		s.outcome, s.err = refused, s.refusal
		s.counts.Refused++
	}
}

// decide takes over what the slots describe now. In order, a slot is left out
// when its description breaks a rule, or has more columns than are left. The
// last ones are asked first: they are few, and tell how the others fared.
func decide(slots []*slot, first, most int) {
	var scratch []byte
	left := most
	for i := range slots {
		s := slots[(i+len(slots)-first)%len(slots)]
		s.refusal = nil
		if s.there = s.present(); !s.there {
			continue
		}
		if s.version != s.sheet.version {
			s.version = s.sheet.version
			s.part = model.Part{Collector: s.name, Families: s.sheet.families}
			if scratch, s.invalid = frame.AppendPart(scratch[:0], s.part); s.invalid == nil {
				s.id = frame.PartIDOf(scratch)
			}
		}
		series := len(s.sheet.values)
		switch {
		case s.invalid != nil:
			s.refusal = s.invalid
		case series > left:
			s.refusal = fmt.Errorf("collector %q: %d series, but only %d of max_series = %d are left", s.name, series, left, most)
		default:
			left -= series
		}
	}
}
