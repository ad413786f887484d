package head

import (
	"fmt"

	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/schemas"
)

// MarkStale ends all series of a worker that is gone: a query at any time after `at` no
// longer sees them. They end not before their newest row: when the worker's clock was
// ahead, just after it. A worker that comes back simply goes on. Of a worker that is not
// in memory, or whose streams have ended, nothing needs to be done. It is durable
// when the journal was synced.
func (h *Head) MarkStale(id model.WorkerID, at model.Millis) error {
	w := h.peek(id)
	if w == nil {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	done := map[*schemas.Source]bool{}
	for _, l := range w.sortedLanes() {
		if done[l.source] {
			continue
		}
		done[l.source] = true
		if refusal := w.endSource(l.source, at); refusal != nil {
			return fmt.Errorf("mark worker %s stale: %w", id, refusal)
		}
	}
	return nil
}

// endOthers ends the live lanes of all sources but one: those of the source before
// need not be the only ones, when a pass and a restart came in between. Called with
// mu held.
func (w *worker) endOthers(but *schemas.Source) *Refusal {
	if len(w.lanes) == 0 {
		return nil
	}
	for _, l := range w.sortedLanes() {
		if l.source == but {
			continue
		}
		if refusal := w.endSource(l.source, 0); refusal != nil {
			return refusal
		}
	}
	return nil
}

// endSource ends the live lanes of a source, all at one time: the given one, or just
// after the newest row. Called with mu held.
func (w *worker) endSource(source *schemas.Source, at model.Millis) *Refusal {
	live := false
	for _, l := range w.lanes {
		if l.source != source {
			continue
		}
		l.mu.Lock()
		if l.newest.isLive() {
			live, at = true, max(at, l.newest.at+1)
		}
		l.mu.Unlock()
	}
	if !live {
		return nil
	}
	index, err := w.head.deps.Journal.End(source.Number(), at)
	if err != nil {
		return unwritten("write to the journal", err)
	}
	w.endLanes(source, index, at)
	return nil
}

// endLanes adds an end row to the live lanes of a source.
func (w *worker) endLanes(source *schemas.Source, index uint64, at model.Millis) {
	for _, l := range w.lanes {
		if l.source != source {
			continue
		}
		l.mu.Lock()
		if l.newest.isLive() {
			l.endLocked(index, at)
		}
		l.mu.Unlock()
	}
	w.figures.ends.Add(1)
}
