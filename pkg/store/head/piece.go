package head

import (
	"errors"
	"slices"

	"github.com/cloudless-fleet/cloudless/pkg/durable"
	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/query"
)

// piece is one open group, or several of one schema that follow each other in time and in
// the journal with no other of the lane between them. It does not change.
type piece struct {
	head        *Head
	first, last model.Millis
	rows        int
	members     []member

	from, count int    // which of the lane's members, while it is made
	tail        *group // the last of them
}

var _ query.Piece = (*piece)(nil)

// member is a group as it was when the piece was made.
type member struct {
	stretch
	group *group
}

// pieceRows is how many rows are read at once.
const pieceRows = 2048

// joins says whether the group can go into the piece.
func (p *piece) joins(g *group) bool {
	return p.tail.schema == g.schema && g.schema != nil && p.last < g.first && p.rows+g.times() <= pieceRows &&
		!p.tail.lone.Load() && !g.lone.Load()
}

// Range implements query.Piece.
func (p *piece) Range() (first, last model.Millis) { return p.first, p.last }

// Rank implements query.Piece.
func (p *piece) Rank() uint64 { return openRank | p.members[0].start }

// Open implements query.Piece.
func (p *piece) Open(pool *query.Readers) (query.PieceReader, error) {
	var r *reader
	if pool != nil {
		r, _ = pool.Take(openReader).(*reader)
	}
	if r == nil {
		r = &reader{}
	}
	r.pool, r.piece, r.viewer, r.part = pool, p, p.head.viewers.take(), -1
	return r, nil
}

// readerKind tells readers of open groups from others in a pool.
type readerKind string

const openReader readerKind = "open"

// maxMatrix is how many values a reader holds at most, 8 MiB. What is larger is
// decoded anew for each column.
const maxMatrix = 1 << 20

// reader reads a piece.
type reader struct {
	pool   *query.Readers
	piece  *piece
	viewer Viewer
	times  []int64
	run    [1]query.Run

	part    int // of the schema; -1: none
	columns int // of the part
	decoder *frame.PartDecoder
	schema  *schema // of the decoder
	decodes int     // its part

	matrix []float64 // column after column; empty when it would be too large
	filled []bool    // which members are in it
}

var _ query.RowsReader = (*reader)(nil)

// Times implements query.PieceReader.
func (r *reader) Times() ([]int64, error) {
	if len(r.times) == 0 {
		for i := range r.piece.members {
			for c := r.piece.members[i].cursor(); c.next(); {
				if !c.again() {
					r.times = append(r.times, c.time)
				}
			}
		}
	}
	return r.times, nil
}

// Select implements query.PieceReader. The rows are read by Column.
func (r *reader) Select(part frame.PartID) ([]query.Run, error) {
	r.part = -1
	s := r.piece.members[0].schema
	if s == nil {
		return nil, nil // an end row has nothing
	}
	p := s.find(part)
	if p < 0 {
		return nil, nil
	}
	if r.schema != s || r.decodes != p {
		layout, err := s.layout(r.piece.head.deps.Dictionary)
		if err != nil {
			return nil, err
		}
		r.decoder, r.schema, r.decodes = frame.NewPartDecoder(layout, s.id, p), s, p
	}
	r.part, r.columns = p, s.starts[p+1]-s.starts[p]
	r.matrix = r.matrix[:0]
	if n := r.columns * r.piece.rows; n <= maxMatrix {
		r.matrix = slices.Grow(r.matrix, n)[:n]
	}
	r.filled = slices.Grow(r.filled[:0], len(r.piece.members))[:len(r.piece.members)]
	clear(r.filled)
	r.run[0] = query.Run{From: 0, To: r.piece.rows}
	return r.run[:], nil
}

// Column implements query.PieceReader.
func (r *reader) Column(dst []float64, column int) ([]float64, error) {
	return r.Rows(dst, column, 0, r.piece.rows)
}

// Rows implements query.RowsReader.
func (r *reader) Rows(dst []float64, column, from, to int) ([]float64, error) {
	if r.part < 0 || column < 0 || column >= r.columns || from >= to {
		return dst, nil
	}
	out := slices.Grow(dst, to-from)[:len(dst)+to-from]
	first := 0
	for i := range r.piece.members {
		m := &r.piece.members[i]
		behind := first + m.times()
		if behind > from && first < to {
			var err error
			if len(r.matrix) == 0 {
				err = r.pick(out[len(dst):], m, first, column, from, to)
			} else if !r.filled[i] {
				err = r.fill(m, first)
				r.filled[i] = err == nil
			}
			if err != nil {
				return dst, r.fault(err)
			}
		}
		first = behind
	}
	if len(r.matrix) > 0 {
		base := column * r.piece.rows
		copy(out[len(dst):], r.matrix[base+from:base+to])
	}
	return out, nil
}

// fill decodes a member, whose first row is given, into the matrix.
func (r *reader) fill(m *member, row int) error {
	stride := r.piece.rows
	return r.decode(m, func(values []float64, again bool) {
		if !again {
			row++
		}
		at := row - 1
		for _, v := range values {
			if !again || model.IsAbsent(r.matrix[at]) {
				r.matrix[at] = v
			}
			at += stride
		}
	})
}

// pick decodes a member and takes one column of the rows from up to to.
func (r *reader) pick(out []float64, m *member, row, column, from, to int) error {
	return r.decode(m, func(values []float64, again bool) {
		if !again {
			row++
		}
		if at := row - 1; from <= at && at < to && (!again || model.IsAbsent(out[at-from])) {
			out[at-from] = values[column]
		}
	})
}

// decode visits the rows of a member. One whose time is that of the row before, which is
// said by again, adds what that has not.
func (r *reader) decode(m *member, visit func(values []float64, again bool)) error {
	all := rows{viewer: r.viewer, cursor: m.cursor()}
	if err := all.begin(r.decoder); err != nil {
		return err
	}
	for {
		payload, err := all.next()
		if payload == nil || err != nil {
			return err
		}
		if err := r.decoder.Decode(payload); err != nil {
			return all.damage(err)
		}
		visit(r.decoder.Row(), all.cursor.again())
	}
}

// fault is what a query is told of an error.
func (r *reader) fault(err error) error {
	switch {
	case errors.Is(err, durable.ErrDropped):
		return query.ErrMoved // a pass has put it into a volume
	case errors.Is(err, durable.ErrClosed) || len(r.piece.members) == 1:
		return err
	}
	// The damage is in one of the groups. Next time each is a piece of its own, so that it
	// costs no more than that one.
	for i := range r.piece.members {
		r.piece.members[i].group.lone.Store(true)
	}
	return query.ErrMoved
}

// Close implements query.PieceReader.
func (r *reader) Close() {
	if r.piece == nil {
		return
	}
	r.piece.head.viewers.give(r.viewer)
	r.piece, r.viewer, r.times = nil, nil, r.times[:0]
	if pool := r.pool; pool != nil {
		r.pool = nil
		pool.Give(openReader, r)
	}
}
