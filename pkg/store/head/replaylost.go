package head

import (
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/store/coverage"
	"github.com/cloudless-fleet/cloudless/pkg/store/journal"
	"github.com/cloudless-fleet/cloudless/pkg/store/schemas"
)

// source returns the source of a record, nil when it is not known: its own record was lost. Its
// number is not used for another one then, which would inherit what the journal says.
func (r *replay) source(h *Head, e journal.Entry) *schemas.Source {
	source := h.deps.Dictionary.Source(e.Source)
	if source == nil {
		h.deps.Dictionary.Reserve(e.Source)
	}
	return source
}

// coverage takes what was known when the record was written in place of what the records
// before it make. Those that nobody could place then, for want of names that came later, did
// not count as received, and are in no volume. Those that cannot be placed now do not
// count either: the names were not on disk yet when the record came there.
func (r *replay) coverage(h *Head, e journal.Entry) {
	b := r.workerOf(h, e.Worker).bootOf(e.Boot)
	if heard := time.UnixMilli(int64(e.Heard)); heard.After(b.heard) || b.coverage.Len() == 0 {
		b.heard = heard
	}
	b.coverage = coverage.Set{}
	for _, i := range e.Intervals {
		if lost := r.lost[b]; lost != nil {
			for _, part := range lost.Missing(nil, i.From, i.To) {
				_ = b.coverage.Add(part.From, part.To)
			}
			continue
		}
		_ = b.coverage.Add(i.From, i.To)
	}
}

// lose notes a frame that cannot be placed.
func (r *replay) lose(b *boot, seq uint64) {
	if r.lost[b] == nil {
		r.lost[b] = &coverage.Set{}
	}
	_ = r.lost[b].Add(seq, seq) // of too many stretches the rest is given up
}

// regain notes that a frame came again, and could be placed.
func (r *replay) regain(b *boot, seq uint64) {
	lost := r.lost[b]
	if lost == nil || !lost.Contains(seq) {
		return
	}
	var rest coverage.Set
	for _, i := range lost.Intervals() {
		if i.From < seq {
			_ = rest.Add(i.From, min(i.To, seq-1))
		}
		if i.To > seq {
			_ = rest.Add(max(i.From, seq+1), i.To)
		}
	}
	r.lost[b] = &rest
}
