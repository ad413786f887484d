package head

import (
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/schemas"
)

// Elsewhere says that a stream of a source has rows up to a time that did not come by the
// head: as long as the newest row here is before it, it is not taken for the newest of
// all. It comes before queries can see them.
func (h *Head) Elsewhere(source *schemas.Source, stream model.StreamID, until model.Millis) {
	l := h.laneOf(source, stream)
	if l == nil {
		return // the dictionary tells, when it is made
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.floor = max(l.floor, until)
}
