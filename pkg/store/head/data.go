package head

import (
	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/query"
	"github.com/cloudless-fleet/cloudless/pkg/store/schemas"
)

// Data are the rows of the head for queries: pieces of what is open, and the newest rows, open
// or not. Whoever adds sealed pieces asks here first: what is sealed in between is
// then in both, and not in none.
func (h *Head) Data() query.Data { return data{h} }

type data struct{ head *Head }

var _ query.Data = data{}

// openRank is above that of everything sealed, which was stored before.
const openRank = 1 << 63

// Pieces implements query.Data.
func (d data) Pieces(dst []query.Piece, source *schemas.Source, stream model.StreamID, mint, maxt model.Millis) []query.Piece {
	l := d.head.laneOf(source, stream)
	if l == nil {
		return dst
	}
	for _, p := range l.pieces(d.head, mint, maxt) {
		dst = append(dst, p)
	}
	return dst
}

// pieces are the pieces that have rows in a time. Groups that follow each other in every
// respect are one piece.
func (l *lane) pieces(h *Head, mint, maxt model.Millis) []*piece {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []piece
	members := make([]member, 0, 8)
	for _, groups := range [2][]*group{l.sealing, l.groups} {
		for _, g := range groups {
			if g.rows == 0 || g.last < mint || g.first > maxt {
				continue
			}
			members = append(members, member{g.stretch, g})
			if n := len(found); n > 0 && found[n-1].joins(g) {
				p := &found[n-1]
				p.last, p.rows, p.count, p.tail = g.last, p.rows+g.times(), p.count+1, g
				continue
			}
			found = append(found, piece{head: h, from: len(members) - 1, count: 1, first: g.first, last: g.last, rows: g.times(), tail: g})
		}
	}
	pieces := make([]*piece, len(found))
	for i := range found {
		p := &found[i]
		p.members = members[p.from : p.from+p.count : p.from+p.count]
		pieces[i] = p
	}
	return pieces
}

// Newest implements query.Data.
func (d data) Newest(dst []float64, source *schemas.Source, stream model.StreamID, part frame.PartID, mint, maxt model.Millis) (values []float64, at model.Millis, has, ok bool) {
	l := d.head.laneOf(source, stream)
	if l == nil {
		return dst, 0, false, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	n := &l.newest
	if !n.known || n.at < l.floor || n.at < mint || n.at > maxt {
		return dst, 0, false, false
	}
	if n.ended {
		return dst, n.at, false, true
	}
	p := n.schema.find(part)
	if p < 0 {
		return dst, n.at, false, true
	}
	row := l.rowLocked(d.head)
	if row == nil {
		return dst, 0, false, false
	}
	from, to := n.schema.starts[p], n.schema.starts[p+1]
	return append(dst[:0], row[from:to]...), n.at, true, true
}
