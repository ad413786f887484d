package query

import (
	"errors"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/schemas"
)

// ErrMoved: the rows of a piece are elsewhere by now, such as those of an open key group
// in a sealed block. The lane is then read again, from what Data.Pieces gives then.
var ErrMoved = errors.New("piece has moved")

// Data is where rows are. Safe for concurrent use.
type Data interface {
	// Pieces appends the pieces of a stream of a source that may have rows from mint to
	// maxt, inclusive, in any order. Of rows with equal times that of the piece with the
	// lower rank counts. One row may be in several pieces.
	Pieces(dst []Piece, source *schemas.Source, stream model.StreamID, mint, maxt model.Millis) []Piece
	// Newest copies what a part has in the newest row of the stream, the one of the
	// greatest time, into dst, which is grown when it is too short. ok is false when that
	// row is not between mint and maxt, inclusive, or is not known. has is false when
	// the row is there and lacks the part, or is an end row.
	Newest(dst []float64, source *schemas.Source, stream model.StreamID, part frame.PartID, mint, maxt model.Millis) (values []float64, at model.Millis, has, ok bool)
}

// Views is what a Data also implements when something must be held while a query runs,
// such as files that retention would remove.
type Views interface {
	// View is asked once by each querier, for the times it was made for. All pieces of
	// the view are readable until Release.
	View(mint, maxt model.Millis) View
}

// View is a Data for one querier.
type View interface {
	Data
	// Release is called once, when the querier is closed.
	Release()
}

// Piece is what is read at once. It is a value that costs little to make: most queries need
// it for one part only. Safe for concurrent use.
type Piece interface {
	// Range tells the times of its first and its last row, inclusive, or wider ones.
	Range() (first, last model.Millis)
	// Rank orders pieces by when they were stored.
	Rank() uint64
	// Open fails with ErrMoved, or with an error that says what is wrong with the piece and
	// where (file and offset): the query goes on without it, and carries the text as a warning.
	// So does every method of the reader.
	Open(pool *Readers) (PieceReader, error)
}

// PieceReader reads a piece. It is for one goroutine.
type PieceReader interface {
	// Times are those of all rows, strictly rising, end rows included. Valid until Close.
	Times() ([]int64, error)
	// Select turns to a part. It returns in which rows the stream had it: sorted,
	// not empty, apart from each other; none: nil. Valid until the next call of Select.
	Select(part frame.PartID) (runs []Run, err error)
	// Column appends the values of a column of the selected part, in the rows of the
	// runs one after the other. Where it was not read that is model.Absent. After an
	// error dst is as it was in its length, and other columns may be asked for.
	Column(dst []float64, column int) ([]float64, error)
	// Close gives the reader back; it is not used afterwards.
	Close()
}

// RowsReader is what a PieceReader also implements when it can give a few rows of a column
// for less than all of them.
type RowsReader interface {
	// Rows is Column for the values from up to and without to, counted as Column
	// returns them.
	Rows(dst []float64, column, from, to int) ([]float64, error)
}

// Run is the rows From up to and without To of a piece.
type Run struct{ From, To int }

// Rows is how many they are.
func (r Run) Rows() int { return r.To - r.From }
