package head

import (
	"slices"
	"sync"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/schemas"
)

// laneKey names a lane in the head.
type laneKey struct {
	source uint32 // number
	stream model.StreamID
}

// lane is one stream of one source.
type lane struct {
	source *schemas.Source
	stream model.StreamID
	// floor is the time of the last frame that was known of when the lane was made: as long as
	// the newest row is before it, there is a newer one in a volume.
	floor model.Millis

	mu sync.Mutex
	// groups are open, in the order of their starts; those of a pass that is under way
	// are in sealing.
	groups, sealing []*group
	newest          newest
}

func (l *lane) key() laneKey { return laneKey{l.source.Number(), l.stream} }

// newest is the row of the greatest time. Of rows with equal time it is the one stored
// first.
type newest struct {
	at       model.Millis
	known    bool // there is such a row
	ended    bool // it is an end row
	schema   *schema
	received time.Time // zero: before the head was opened
	// row are its values. It is nil after a replay, until somebody asks: then it is
	// what the first rows of group make.
	row   []float64
	group *group
	rows  uint32
	// follows is the track whose row it is.
	follows *track
	boot    model.BootID // that it is of
}

// isLive says that the lane has not ended.
func (n *newest) isLive() bool { return n.known && !n.ended }

// openLocked adds a group. Only after a pass, which writes bases before there are rows,
// it is not the last.
func (l *lane) openLocked(g *group) {
	at := len(l.groups)
	for at > 0 && l.groups[at-1].start > g.start {
		at--
	}
	l.groups = slices.Insert(l.groups, at, g)
}

// noteLocked makes the track's row the newest if it is.
func (l *lane) noteLocked(t *track, at model.Millis, received time.Time) {
	n := &l.newest
	if n.known && at <= n.at && !(at == n.at && t.schema.sparse && n.follows == t) {
		t.noted = false
		return
	}
	row := t.decoder.Row()
	if t.noted && n.follows == t && n.schema == t.schema && len(n.row) == len(row) {
		for _, c := range t.changes {
			copy(n.row[c.from:c.to], row[c.from:c.to])
		}
	} else {
		if len(n.row) != len(row) {
			n.row = make([]float64, len(row))
		}
		copy(n.row, row)
	}
	t.noted = true
	n.at, n.known, n.ended, n.schema, n.received = at, true, false, t.schema, received
	n.group, n.rows, n.follows = nil, 0, t
	n.boot = t.session.boot.id
}

// endLocked adds an end row.
func (l *lane) endLocked(index uint64, at model.Millis) {
	l.openLocked(&group{stretch: stretch{start: index, first: at, last: at, rows: 1}})
	l.newest = newest{at: at, known: true, ended: true, boot: l.newest.boot}
}

// rowLocked returns the newest row, which it reads from the journal if need be; nil if
// there is none or it cannot be read.
func (l *lane) rowLocked(h *Head) []float64 {
	n := &l.newest
	if n.row != nil || !n.isLive() || n.group == nil {
		return n.row
	}
	of := n.group.stretch
	of.rows = n.rows
	row, err := h.rowAt(&of)
	if err != nil {
		h.log.Warn("newest row of a stream cannot be read", keyWorker, l.source.Worker(), keyStream, l.stream, keyErr, err)
	}
	n.row, n.group = row, nil
	return n.row
}

// rowAt decodes the last row of a stretch.
func (h *Head) rowAt(of *stretch) ([]float64, error) {
	layout, err := of.schema.layout(h.deps.Dictionary)
	if err != nil {
		return nil, err
	}
	viewer := h.viewers.take()
	defer h.viewers.give(viewer)
	d := frame.NewDecoder(layout, of.schema.id)
	r := rows{viewer: viewer, cursor: of.cursor()}
	if err := r.begin(d); err != nil {
		return nil, err
	}
	for {
		payload, err := r.next()
		if payload == nil || err != nil {
			return slices.Clone(d.Row()), err
		}
		if err := d.Decode(payload); err != nil {
			return nil, r.damage(err)
		}
	}
}
