package rollup

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/block"
)

// ErrOverlap: rows of the blocks lie between each other, or are the same. Only raw rows can
// tell what holds then.
var ErrOverlap = errors.New("rollups overlap")

// Merger makes one rollup of several of the same lane: of the same tier, because a pass makes
// small ones, or of a finer one. It gives what the lane's rows would give (in sums of
// what is not whole, but for the last digit). It keeps its memory. Not safe for concurrent use.
type Merger struct {
	readers []*Reader
	lane    []laneBucket
	tables  []*table
	sealer  sealer
	pieces  []Bucket
	sources []source
}

// source is a bucket of the lane in one of the blocks.
type source struct {
	laneBucket
	end model.Millis // of the bucket that it goes into
}

// NewMerger returns a merger.
func NewMerger() *Merger { return &Merger{sealer: newSealer()} }

// Merge appends the rollup of blocks, which are one or more of one lane in any order. scales
// returns the scales of a part's columns, and nil when they are not known: that costs space.
// dst is as it was after an error.
//
// ErrOverlap; block.ErrFull: too much for one block, merge fewer; and those of Reader.
func (m *Merger) Merge(dst []byte, tier Tier, blocks []*block.Block, scales func(frame.PartID) []uint8) ([]byte, error) {
	if !tier.Known() || len(blocks) == 0 {
		panic(fmt.Sprintf("rollup: merge of %d blocks into a tier of %d ms", len(blocks), tier))
	}
	if err := m.open(tier, blocks); err != nil {
		return dst, err
	}
	if err := m.rows(tier); err != nil {
		return dst, err
	}
	size := len(m.lane) * clockColumns
	parts := 1
	done := map[frame.PartID]bool{clock: true}
	m.tables = m.tables[:0]
	for i, b := range blocks {
		for j := range b.Parts() {
			id, err := m.readers[i].owner(j)
			if err != nil {
				return dst, err
			}
			if done[id] {
				continue
			}
			done[id] = true
			t, err := m.part(tier, id, scales)
			if err != nil {
				return dst, err
			}
			size += len(t.rows) * (len(t.scales)*int(statistics) + headSize*pieces(len(t.scales)))
			if parts += pieces(len(t.scales)); size > block.MaxValues || parts > block.MaxParts {
				return dst, fmt.Errorf("%d values of %d parts: %w", size, parts, block.ErrFull)
			}
			m.tables = append(m.tables, t)
		}
	}
	return m.sealer.seal(dst, blocks[0].Worker(), blocks[0].Stream(), tier, m.lane, m.tables), nil
}

// open has a reader for each block.
func (m *Merger) open(tier Tier, blocks []*block.Block) error {
	for len(m.readers) < len(blocks) {
		m.readers = append(m.readers, NewReader())
	}
	m.readers = m.readers[:len(blocks)]
	for i, b := range blocks {
		if err := m.readers[i].Reset(b); err != nil {
			return err
		}
		if m.readers[i].tier > tier {
			return fmt.Errorf("rollup of %v into %v: %w", m.readers[i].tier, tier, ErrInvalid)
		}
		if b.Worker() != blocks[0].Worker() || b.Stream() != blocks[0].Stream() {
			return fmt.Errorf("rollups of two lanes: %w", ErrInvalid)
		}
	}
	return nil
}

// rows puts the lane's buckets together.
func (m *Merger) rows(tier Tier) error {
	m.sources = m.sources[:0]
	for _, r := range m.readers {
		for _, l := range r.lane {
			m.sources = append(m.sources, source{l, tier.End(l.at)})
		}
	}
	slices.SortFunc(m.sources, func(a, b source) int { return cmp.Compare(a.from, b.from) })
	m.lane = m.lane[:0]
	for i, s := range m.sources {
		if i > 0 && m.sources[i-1].to >= s.from {
			return fmt.Errorf("rows up to %d, and from %d: %w", m.sources[i-1].to, s.from, ErrOverlap)
		}
		if n := len(m.lane); n > 0 && m.lane[n-1].at == s.end {
			m.lane[n-1].to = s.to
			m.lane[n-1].rows += s.rows
			continue
		}
		m.lane = append(m.lane, laneBucket{s.end, s.from, s.to, s.rows})
	}
	if len(m.lane) > block.MaxRows {
		return fmt.Errorf("%d buckets: %w", len(m.lane), block.ErrFull)
	}
	return nil
}

// part puts the buckets of a part together.
func (m *Merger) part(tier Tier, id frame.PartID, scales func(frame.PartID) []uint8) (*table, error) {
	columns := 0
	for _, r := range m.readers {
		n, err := r.Select(id)
		if err != nil {
			return nil, err
		}
		if n > 0 && columns > 0 && n != columns {
			return nil, fmt.Errorf("part %v of %d and of %d columns: %w", id, columns, n, ErrInvalid)
		}
		columns = max(columns, n)
	}
	switch {
	case columns == 0:
		return nil, fmt.Errorf("part %v lacks its first piece: %w", id, ErrInvalid)
	case columns*int(statistics)*len(m.lane) > block.MaxValues:
		return nil, fmt.Errorf("part %v, %d columns in %d buckets: %w", id, columns, len(m.lane), block.ErrFull)
	}
	t := &table{id: id, scales: scales(id)}
	if len(t.scales) != columns {
		t.scales = make([]uint8, columns)
	}
	has := make([]bool, len(m.lane))
	firsts := make([]float64, len(m.lane)*columns)
	for c := range columns {
		if err := m.column(t, tier, c, has, firsts); err != nil {
			return nil, err
		}
	}
	t.keep(has, firsts)
	return t, nil
}

// column adds a column to the table, whose rows are all of the lane for now.
func (m *Merger) column(t *table, tier Tier, column int, has []bool, firsts []float64) (err error) {
	m.pieces = m.pieces[:0]
	for _, r := range m.readers {
		if m.pieces, err = r.Buckets(m.pieces, column, r.lane[0].at, r.lane[len(r.lane)-1].at); err != nil {
			return err
		}
	}
	var buckets []Bucket
	buckets, _ = Compact(tier, m.pieces)
	columns := len(t.scales)
	held := 0.0
	for row := range buckets {
		b := &buckets[row]
		one := stateOf(b)
		if has[row] = has[row] || b.Count > 0; b.Count > 0 {
			one.finish(t.scales[column])
			held = b.First
		}
		firsts[row*columns+column] = held
		if !b.steady(m.lane[row].rows) || b.Whole != isWhole(b.First, b.Count) {
			t.entries = append(t.entries, entry{int32(row), int32(column), one})
		}
	}
	return nil
}

// keep leaves out the rows in which no column has a sample, and puts entries in the order of
// rows.
func (t *table) keep(has []bool, firsts []float64) {
	columns := len(t.scales)
	place := make([]int32, len(has))
	for row, there := range has {
		place[row] = int32(len(t.rows))
		if there {
			t.rows = append(t.rows, row)
			t.firsts = append(t.firsts, firsts[row*columns:(row+1)*columns]...)
		}
	}
	t.entries = slices.DeleteFunc(t.entries, func(e entry) bool { return !has[e.row] })
	for i := range t.entries {
		t.entries[i].row = place[t.entries[i].row]
	}
	slices.SortStableFunc(t.entries, func(a, b entry) int { return cmp.Compare(a.row, b.row) })
}

// owner is the part that a part of the block holds statistics of.
func (r *Reader) owner(number int) (frame.PartID, error) {
	id := r.block.Part(number).ID
	if id == clock {
		return id, nil
	}
	r.part, r.piece = id, -1
	if err := r.reader.Select(number); err != nil {
		return id, err
	}
	if r.reader.Columns() < headSize {
		return id, fmt.Errorf("part %v of %d columns: %w", id, r.reader.Columns(), ErrInvalid)
	}
	var err error
	if r.scratch, err = r.reader.Values(r.scratch[:0], headPiece, 0, 1); err != nil {
		return id, err
	}
	piece := whole(r.scratch[0], frame.MaxPartColumns/pieceColumns-1)
	if piece < 0 {
		return id, fmt.Errorf("part %v: piece %v: %w", id, r.scratch[0], ErrInvalid)
	}
	return pieceID(id, int(piece)), nil
}
