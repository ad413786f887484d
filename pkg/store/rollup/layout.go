package rollup

import (
	"encoding/binary"
	"errors"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
)

var (
	// ErrVersion: a rollup of a version that this package does not know.
	ErrVersion = errors.New("unknown version of the rollup format")
	// ErrInvalid: a block that is no rollup, or says what cannot be.
	ErrInvalid = errors.New("not a valid rollup")
)

// version is in every block, as the first column of the clock.
const version = 1

// clock is the part that every row of a rollup has: what is said of the lane. No hash is
// text, so no real part has this id.
var clock = frame.PartID([]byte("cloudless rollup"))

// Columns of the clock.
const (
	clockVersion = iota
	clockTier    // milliseconds
	clockStart   // milliseconds from the bucket's start to the lane's first row
	clockSpan    // milliseconds from there to its last row
	clockRows    // how many there are
	clockColumns
)

// Columns that stand before the statistics of a part.
const (
	headMask    = iota // which statistics there are
	headPiece          // the number of the piece
	headColumns        // of the original part
	headSize
)

// pieceColumns is how many original columns one part of a block holds the statistics of: all
// twelve of so many fit frame.MaxPartColumns. Parts that have more come in pieces.
const pieceColumns = 1024

// pieceID names the piece of a part: its id, with the last two bytes changed by the number.
func pieceID(id frame.PartID, piece int) frame.PartID {
	tail := id[len(id)-2:]
	binary.LittleEndian.PutUint16(tail, binary.LittleEndian.Uint16(tail)^uint16(piece))
	return id
}

// pieces is how many of them a part of so many columns has.
func pieces(columns int) int { return (columns + pieceColumns - 1) / pieceColumns }

// statistic is one of the numbers that are kept of a column in a bucket.
type statistic uint8

const (
	statMarks   statistic = iota // flags of the column, see below
	statMissing                  // rows of the lane without a sample
	statFirst
	statLast
	statMin
	statMax
	statSum
	statResets
	statBefore
	statBegins // milliseconds from the lane's first row to the first sample
	statEnds   // milliseconds from the last sample to the lane's last row
	statStale  // milliseconds from the last sample to the marker; 0: it did not end
	statistics
)

// Flags of a column say which of its statistics are written. One that is not follows from
// the others.
const (
	hasLast  = 1 << iota // else it is the first
	hasLow               // else it is the lower one of first and last
	hasHigh              // else the higher one
	hasSum               // else it is the first times the count
	fraction             // samples are no whole numbers, or too many and too large to add them exactly
	gauge                // falls are too many to be resets: they are not written
	anyFlag
)

// mask is a set of statistics. Those that it lacks are zero in all columns and rows.
type mask uint16

func (m mask) has(s statistic) bool { return m>>s&1 != 0 }

// count is how many there are.
func (m mask) count() (n int) {
	for s := range statistics {
		if m.has(s) {
			n++
		}
	}
	return n
}

// place is the number of s among those that are in m.
func (m mask) place(s statistic) int { return (m & (1<<s - 1)).count() }

// scaled reports the statistics that count in units of the column; the others are whole.
func (s statistic) scaled() bool {
	switch s {
	case statFirst, statLast, statMin, statMax, statSum, statBefore:
		return true
	}
	return false
}
