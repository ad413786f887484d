package query

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/block"
	"github.com/cloudless-fleet/cloudless/pkg/store/schemas"
)

// stored is a row as it was stored: in a piece, and of a schema; an end row has none.
type stored struct {
	at     model.Millis
	parts  []*schemas.Part
	values []float64 // of all parts
}

func (r stored) isSparse() bool { return len(r.parts) > 0 && r.parts[0].IsSparse() }

// behind is what counts of a row when another of the same time was stored before, or none.
func (r stored) behind(before stored) stored {
	switch {
	case before.at == 0:
		return r
	case !r.isSparse() || !before.isSparse():
		return before
	}
	both := stored{r.at, slices.Clone(before.parts), slices.Clone(before.values)}
	from := 0
	for _, p := range r.parts {
		own := r.values[from : from+p.Columns()]
		from += p.Columns()
		into := 0
		k := slices.Index(both.parts, p)
		if k < 0 {
			both.parts, both.values = append(both.parts, p), append(both.values, own...)
			continue
		}
		for _, q := range both.parts[:k] {
			into += q.Columns()
		}
		for i, v := range own {
			if model.IsAbsent(both.values[into+i]) {
				both.values[into+i] = v
			}
		}
	}
	return both
}

// column returns the row's value of a column of a part.
func (r stored) column(part frame.PartID, column int) (v float64, has bool) {
	at := 0
	for _, p := range r.parts {
		if p.ID() == part {
			return r.values[at+column], true
		}
		at += p.Columns()
	}
	return model.Absent(), false
}

// memoryPiece is a piece of rows in memory. What faults names fails.
type memoryPiece struct {
	rows []stored
	rank uint64
	few  bool // implements RowsReader
	// fails, when not nil, is asked before everything.
	fails func(what string) error
	open  *atomic.Int64
}

func (p *memoryPiece) Range() (first, last model.Millis) {
	return p.rows[0].at, p.rows[len(p.rows)-1].at
}
func (p *memoryPiece) Rank() uint64 { return p.rank }

func (p *memoryPiece) fail(what string) error {
	if p.fails == nil {
		return nil
	}
	return p.fails(what)
}

func (p *memoryPiece) Open(*Readers) (PieceReader, error) {
	if err := p.fail("open"); err != nil {
		return nil, err
	}
	if p.open != nil {
		p.open.Add(1)
	}
	r := &memoryReader{piece: p}
	if p.few {
		return fewReader{r}, nil
	}
	return r, nil
}

type memoryReader struct {
	piece *memoryPiece
	part  frame.PartID
	runs  []Run
}

func (r *memoryReader) Times() (times []int64, err error) {
	if err := r.piece.fail("times"); err != nil {
		return nil, err
	}
	for _, row := range r.piece.rows {
		times = append(times, int64(row.at))
	}
	return times, nil
}

func (r *memoryReader) Select(part frame.PartID) ([]Run, error) {
	if err := r.piece.fail("select " + part.String()); err != nil {
		return nil, err
	}
	r.part, r.runs = part, nil
	for i, row := range r.piece.rows {
		if !slices.ContainsFunc(row.parts, func(p *schemas.Part) bool { return p.ID() == part }) {
			continue
		}
		if n := len(r.runs); n > 0 && r.runs[n-1].To == i {
			r.runs[n-1].To++
		} else {
			r.runs = append(r.runs, Run{i, i + 1})
		}
	}
	return r.runs, nil
}

func (r *memoryReader) Column(dst []float64, column int) ([]float64, error) {
	if err := r.piece.fail(fmt.Sprintf("column %v %d", r.part, column)); err != nil {
		return dst, err
	}
	for _, run := range r.runs {
		for _, row := range r.piece.rows[run.From:run.To] {
			v, _ := row.column(r.part, column)
			dst = append(dst, v)
		}
	}
	return dst, nil
}

func (r *memoryReader) Close() {
	if r.piece.open != nil {
		r.piece.open.Add(-1)
	}
}

type fewReader struct{ *memoryReader }

func (r fewReader) Rows(dst []float64, column, from, to int) ([]float64, error) {
	all, err := r.Column(nil, column)
	if err != nil {
		return dst, err
	}
	return append(dst, all[from:to]...), nil
}

// sealedBytes are where a sealed block is.
type sealedBytes []byte

func (b sealedBytes) Block(reuse *block.Block) (*block.Block, error) {
	if reuse == nil {
		reuse = new(block.Block)
	}
	if err := reuse.Reopen(b); err != nil {
		return nil, b.Locate(err)
	}
	return reuse, nil
}

func (b sealedBytes) Locate(err error) error { return fmt.Errorf("file 7: %w", err) }

// seal makes pieces of rows: a block, and what a block cannot hold.
func seal(tb testing.TB, worker model.WorkerID, stream model.StreamID, rows []stored, rank uint64) (pieces []Piece) {
	tb.Helper()
	w := block.NewWriter()
	w.Begin(worker, stream)
	var first, last model.Millis
	for _, row := range rows {
		if row.parts == nil {
			pieces = append(pieces, EndRow(row.at, rank))
			continue
		}
		var parts []block.Part
		for _, p := range row.parts {
			parts = append(parts, block.PartOf(p.ID(), p.Model()))
		}
		if err := errors.Join(w.Schema(parts), w.Append(row.at, row.values)); err != nil {
			tb.Fatal(err)
		}
		if w.Rows() == 1 {
			first = row.at
		}
		last = row.at
	}
	if w.Rows() > 0 {
		pieces = append(pieces, Sealed(sealedBytes(w.Seal(nil)), first, last, rank))
	}
	return pieces
}

type laneID struct {
	source *schemas.Source
	stream model.StreamID
}

// rowsOf is a lane: its rows by time, those that count.
type rowsOf map[model.Millis]stored

// sorted are the rows in order.
func (l rowsOf) sorted() (rows []stored) {
	for _, r := range l {
		rows = append(rows, r)
	}
	slices.SortFunc(rows, func(a, b stored) int { return int(a.at - b.at) })
	return rows
}

// world is rows in a dictionary and in pieces.
type world struct {
	tb         testing.TB
	dictionary *schemas.Dictionary
	pieces     map[laneID][]Piece
	lanes      map[laneID]rowsOf
	order      []laneID
	rank       uint64
	// known says that newest rows are known.
	known bool
	asked atomic.Int64 // pieces were asked for
}

func newWorld(tb testing.TB) *world {
	return &world{
		tb: tb, dictionary: schemas.New(schemas.DefaultConfig()),
		pieces: map[laneID][]Piece{}, lanes: map[laneID]rowsOf{},
	}
}

func (w *world) Pieces(dst []Piece, source *schemas.Source, stream model.StreamID, mint, maxt model.Millis) []Piece {
	w.asked.Add(1)
	for _, p := range w.pieces[laneID{source, stream}] {
		if first, last := p.Range(); first <= maxt && last >= mint {
			dst = append(dst, p)
		}
	}
	return dst
}

func (w *world) Newest(dst []float64, source *schemas.Source, stream model.StreamID, part frame.PartID, mint, maxt model.Millis) (values []float64, at model.Millis, has, ok bool) {
	lane := w.lanes[laneID{source, stream}]
	if len(lane) == 0 || !w.known {
		return dst, 0, false, false
	}
	var newest stored
	for _, r := range lane {
		if r.at >= newest.at {
			newest = r
		}
	}
	if newest.at < mint || newest.at > maxt {
		return dst, 0, false, false
	}
	at0 := 0
	for _, p := range newest.parts {
		if p.ID() == part {
			return append(dst[:0], newest.values[at0:at0+p.Columns()]...), newest.at, true, true
		}
		at0 += p.Columns()
	}
	return dst, newest.at, false, true
}

func workerID(n int) model.WorkerID { return model.WorkerIDFrom([16]byte{byte(n), byte(n >> 8), 1}) }

func (w *world) source(worker int, hostLabels ...string) *schemas.Source {
	w.tb.Helper()
	_, s, err := w.dictionary.AddSource(nil, workerID(worker), labels.FromStrings(hostLabels...))
	if err != nil {
		w.tb.Fatal(err)
	}
	return s
}

func (w *world) part(p model.Part) *schemas.Part {
	w.tb.Helper()
	encoded, err := frame.AppendPart(nil, p)
	if err != nil {
		w.tb.Fatal(err)
	}
	_, part, err := w.dictionary.AddPart(nil, encoded)
	if err != nil {
		w.tb.Fatal(err)
	}
	return part
}

// use notes the schema of a row; false when there can be no such schema.
func (w *world) use(lane laneID, r stored) bool {
	w.tb.Helper()
	if r.parts == nil {
		return true
	}
	var named frame.Schema
	for _, p := range r.parts {
		named.Parts = append(named.Parts, p.ID())
	}
	_, id, err := w.dictionary.AddSchema(nil, frame.AppendSchema(nil, named))
	if errors.Is(err, schemas.ErrShared) {
		return false
	}
	if err == nil {
		_, _, err = w.dictionary.Use(nil, lane.source, lane.stream, id, r.at)
	}
	if err != nil {
		w.tb.Fatal(err)
	}
	return true
}

// form is how rows are kept.
type form int

const (
	inMemory form = iota
	inMemoryFew
	inBlock
)

// store stores rows, which are in order, as one piece that is younger than all others.
func (w *world) store(lane laneID, as form, rows ...stored) {
	w.tb.Helper()
	w.rank++
	for _, r := range rows {
		if !w.use(lane, r) {
			w.tb.Fatal("a series in two parts")
		}
		if w.lanes[lane] == nil {
			w.lanes[lane] = rowsOf{}
			w.order = append(w.order, lane)
		}
		w.lanes[lane][r.at] = r.behind(w.lanes[lane][r.at])
	}
	if as == inBlock {
		w.pieces[lane] = append(w.pieces[lane], seal(w.tb, lane.source.Worker(), lane.stream, rows, w.rank)...)
		return
	}
	w.pieces[lane] = append(w.pieces[lane], &memoryPiece{rows: rows, rank: w.rank, few: as == inMemoryFew})
}

func (w *world) queryable(change ...func(*Options)) *queryable {
	options := DefaultOptions()
	for _, c := range change {
		c(&options)
	}
	return New(w.dictionary, w, options).(*queryable)
}
