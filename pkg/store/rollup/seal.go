package rollup

import (
	"fmt"
	"slices"

	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/block"
)

// sealer writes closed buckets into a block.
type sealer struct {
	writer  *block.Writer
	pieces  []piece
	parts   []block.Part // the schema that the writer knows
	chosen  []*piece     // of one bucket
	before  []*piece     // of the bucket before
	row     []float64
	columns []uint8 // flags of all columns
	masks   []mask
	falls   []falls   // of the columns of one table
	scales  []uint8   // of all pieces
	values  []float64 // their rows
}

// piece is a part of the block: up to pieceColumns columns of a table.
type piece struct {
	block.Part
	*table
	from, to int     // its columns
	mask     mask    // its statistics
	flags    []uint8 // of its columns
	next     int     // the next row of the table
	entry    int     // the next entry
	row      []float64
}

func newSealer() sealer { return sealer{writer: block.NewWriter()} }

// seal appends the block to dst. Entries of tables are sorted by row.
func (s *sealer) seal(dst []byte, worker model.WorkerID, stream model.StreamID, tier Tier, lane []laneBucket, tables []*table) []byte {
	s.pieces, s.before, s.columns = s.pieces[:0], s.before[:0], s.columns[:0]
	s.scales, s.values = append(s.scales[:0], make([]uint8, clockColumns)...), s.values[:0]
	clockPart := block.Part{ID: clock, Scales: s.scales[:clockColumns:clockColumns]}
	for _, t := range tables {
		if len(t.rows) > 0 {
			s.prepare(t, lane)
		}
	}
	s.writer.Begin(worker, stream)
	for number, l := range lane {
		s.chosen = s.chosen[:0]
		for i := range s.pieces {
			if p := &s.pieces[i]; p.next < len(p.rows) && p.rows[p.next] == number {
				s.chosen = append(s.chosen, p)
			}
		}
		if number == 0 || !slices.Equal(s.chosen, s.before) {
			s.parts = append(s.parts[:0], clockPart)
			for _, p := range s.chosen {
				s.parts = append(s.parts, p.Part)
			}
			must(s.writer.Schema(s.parts))
			s.before = append(s.before[:0], s.chosen...)
		}
		s.row = append(s.row[:0], version, float64(tier), float64(l.from-l.at)+float64(tier), float64(l.to-l.from), float64(l.rows))
		for _, p := range s.chosen {
			s.row = append(s.row, p.fill(&l)...)
		}
		must(s.writer.Append(l.at, s.row))
	}
	return s.writer.Seal(dst)
}

// must: Builder has kept all limits of the block.
func must(err error) {
	if err != nil {
		panic(fmt.Sprintf("rollup: %v", err))
	}
}

// prepare decides which statistics are written of a table.
func (s *sealer) prepare(t *table, lane []laneBucket) {
	k := len(t.scales)
	start := len(s.columns)
	s.columns = append(s.columns, make([]uint8, k)...)
	columns := s.columns[start : start+k : start+k]
	s.masks = append(s.masks[:0], make([]mask, pieces(k))...)
	masks := s.masks
	s.falls = append(s.falls[:0], make([]falls, k)...)
	next := 0
	for row, number := range t.rows {
		firsts := t.firsts[row*k : (row+1)*k]
		rows := lane[number].rows
		for ; next < len(t.entries) && int(t.entries[next].row) == row; next++ {
			e := &t.entries[next]
			flags, m := e.needs(&lane[number])
			columns[e.column] |= flags
			masks[e.column/pieceColumns] |= m
			s.falls[e.column].add(&e.state)
		}
		for i, v := range firsts {
			if columns[i]&fraction == 0 && !isWhole(v, rows) {
				columns[i] |= fraction
			}
		}
	}
	for i := range s.falls {
		switch f := &s.falls[i]; {
		case columns[i]&gauge != 0 || f.many():
			columns[i] |= gauge
		case f.resets > 0:
			masks[i/pieceColumns] |= 1<<statResets | 1<<statBefore
		}
	}
	for j := range masks {
		from, to := j*pieceColumns, min((j+1)*pieceColumns, k)
		masks[j] |= 1 << statFirst
		for _, f := range columns[from:to] {
			masks[j] |= maskOf(f)
		}
		s.pieces = append(s.pieces, s.piece(t, j, from, to, masks[j], columns[from:to]))
	}
}

// falls counts how often a column falls, in loud buckets.
type falls struct{ buckets, resets, samples int }

func (f *falls) add(s *state) {
	if s.resets > 0 {
		f.buckets++
		f.resets += int(s.resets)
	}
	f.samples += int(s.count)
}

// many reports whether that is no counter: what stood before resets would be one
// more gauge to keep, and nobody asks for its rate.
func (f *falls) many() bool { return f.buckets > 2 && f.resets*8 > f.samples }

// maskOf are the statistics that flags of a column ask for.
func maskOf(f uint8) (m mask) {
	if f == 0 {
		return 0
	}
	m = 1 << statMarks
	for i, s := range [...]statistic{statLast, statMin, statMax, statSum} {
		if f>>i&1 != 0 {
			m |= 1 << s
		}
	}
	return m
}

// needs tells which flags and which other statistics a bucket asks for.
func (s *state) needs(l *laneBucket) (f uint8, m mask) {
	if int(s.count) != l.rows {
		m |= 1 << statMissing
	}
	if s.count == 0 {
		return 0, m
	}
	if !same(s.last, s.first) {
		f |= hasLast
	}
	if !same(s.min, lower(s.last, s.first)) {
		f |= hasLow
	}
	if !same(s.max, higher(s.last, s.first)) {
		f |= hasHigh
	}
	if !same(s.sum, s.first*float64(s.count)) {
		f |= hasSum
	}
	if !s.whole {
		f |= fraction
	}
	if s.gauge {
		f |= gauge
	}
	if s.firstAt != 0 {
		m |= 1 << statBegins
	}
	if s.lastAt != int32(l.to-l.from) {
		m |= 1 << statEnds
	}
	if s.stale {
		m |= 1 << statStale
	}
	return f, m
}

func (s *sealer) piece(t *table, number, from, to int, m mask, flags []uint8) piece {
	p := piece{table: t, from: from, to: to, mask: m, flags: flags}
	p.ID = pieceID(t.id, number)
	at := len(s.scales)
	s.scales = append(s.scales, make([]uint8, headSize)...)
	for kind := range statistics {
		switch {
		case !m.has(kind):
		case kind.scaled():
			s.scales = append(s.scales, t.scales[from:to]...)
		default:
			s.scales = append(s.scales, make([]uint8, to-from)...)
		}
	}
	p.Scales = s.scales[at:len(s.scales):len(s.scales)]
	at = len(s.values)
	s.values = append(s.values, make([]float64, len(p.Scales))...)
	p.row = s.values[at:len(s.values):len(s.values)]
	p.row[headMask], p.row[headPiece], p.row[headColumns] = float64(m), float64(number), float64(len(t.scales))
	for i := range p.of(statMarks) {
		p.of(statMarks)[i] = float64(flags[i])
	}
	return p
}

// of is where a statistic of the piece's columns is in its row, nil if it is not written.
func (p *piece) of(s statistic) []float64 {
	if !p.mask.has(s) {
		return nil
	}
	k := p.to - p.from
	at := headSize + p.mask.place(s)*k
	return p.row[at : at+k]
}

// fill makes the piece's row of the next bucket. What means nothing keeps the value that it had
// in the row before, which costs least.
func (p *piece) fill(l *laneBucket) []float64 {
	k, columns := p.to-p.from, len(p.scales)
	values := p.firsts[p.next*columns+p.from:][:k]
	for s := statMissing; s < statistics; s++ {
		if !s.scaled() || s == statBefore {
			clear(p.of(s))
		}
	}
	copies := [...]struct {
		to   []float64
		flag uint8
	}{{p.of(statLast), hasLast}, {p.of(statMin), hasLow}, {p.of(statMax), hasHigh}}
	sums := p.of(statSum)
	held := p.of(statFirst)
	copy(held, values)
	for i, f := range p.flags {
		if f&^(fraction|gauge) == 0 {
			continue
		}
		for _, c := range &copies {
			if f&c.flag != 0 {
				c.to[i] = values[i]
			}
		}
		if f&hasSum != 0 {
			sums[i] = values[i] * float64(l.rows)
		}
	}
	for ; p.entry < len(p.entries) && int(p.entries[p.entry].row) == p.next; p.entry++ {
		if e := &p.entries[p.entry]; int(e.column) >= p.from && int(e.column) < p.to {
			p.put(int(e.column)-p.from, &e.state, l)
		}
	}
	p.next++
	return p.row
}

// put writes a loud column.
func (p *piece) put(i int, s *state, l *laneBucket) {
	k := p.to - p.from
	at := headSize + i
	for kind := range statistics {
		if !p.mask.has(kind) {
			continue
		}
		if v, says := s.statistic(kind, p.flags[i], l); says {
			p.row[at] = v
		}
		at += k
	}
}

// statistic is one of a column that has flags. says is false when what is in the row may
// stay there.
func (s *state) statistic(kind statistic, flags uint8, l *laneBucket) (v float64, says bool) {
	if kind == statMissing {
		return float64(l.rows) - float64(s.count), true
	}
	if s.count == 0 {
		return 0, false
	}
	switch kind {
	case statFirst:
		return s.first, true
	case statLast:
		return s.last, flags&hasLast != 0
	case statMin:
		return s.min, flags&hasLow != 0
	case statMax:
		return s.max, flags&hasHigh != 0
	case statSum:
		return s.sum, flags&hasSum != 0
	case statResets:
		return float64(s.resets), flags&gauge == 0
	case statBefore:
		return s.before, flags&gauge == 0
	case statBegins:
		return float64(s.firstAt), true
	case statEnds:
		return float64(l.to-l.from) - float64(s.lastAt), true
	case statStale:
		return float64(s.staleAt - s.lastAt), s.stale
	}
	return 0, false
}
