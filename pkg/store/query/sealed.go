package query

import (
	"fmt"
	"sort"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/block"
	"github.com/cloudless-fleet/cloudless/pkg/store/volume"
)

// Blocks is where a sealed block is, such as an entry of a volume. Safe for concurrent use.
type Blocks interface {
	// Block opens the block. reuse, when not nil, is one whose memory may be used again
	// (block.Block.Reopen).
	Block(reuse *block.Block) (*block.Block, error)
	// Locate adds file and offset to what reading the block has found.
	Locate(err error) error
}

// Sealed makes a piece of a sealed block, all of whose rows are from first to last, inclusive.
func Sealed(from Blocks, first, last model.Millis, rank uint64) Piece {
	return sealed{from, first, last, rank}
}

// InVolume makes a piece of an entry of a volume, which must be held as long as the piece
// is used. The entry must have a block.
func InVolume(file *volume.File, e volume.Entry, rank uint64) Piece {
	return sealed{&inVolume{file, e}, e.First, e.Last, rank}
}

// inVolume implements Blocks.
type inVolume struct {
	file  *volume.File
	entry volume.Entry
}

// Block implements Blocks.
func (v *inVolume) Block(reuse *block.Block) (*block.Block, error) {
	return v.file.Block(v.entry, reuse)
}

// Locate implements Blocks.
func (v *inVolume) Locate(err error) error { return v.file.Locate(v.entry, err) }

type sealed struct {
	from        Blocks
	first, last model.Millis
	rank        uint64
}

// Range implements Piece.
func (s sealed) Range() (first, last model.Millis) { return s.first, s.last }

// Rank implements Piece.
func (s sealed) Rank() uint64 { return s.rank }

// sealedKind is the kind of sealedReader in Readers.
type sealedKind struct{}

// Open implements Piece.
func (s sealed) Open(pool *Readers) (PieceReader, error) {
	r, known := pool.Take(sealedKind{}).(*sealedReader)
	if !known {
		r = &sealedReader{reader: block.NewReader(), pool: pool}
	}
	opened, err := s.from.Block(r.block)
	if err != nil {
		r.Close()
		return nil, err // it says where
	}
	r.from, r.block = s.from, opened
	r.reader.Reset(opened)
	return r, nil
}

// sealedReader reads a block.
type sealedReader struct {
	from   Blocks
	pool   *Readers
	block  *block.Block
	reader *block.Reader
	rows   int // of the selected part
	runs   []Run
}

// Times implements PieceReader.
func (r *sealedReader) Times() ([]int64, error) {
	times, err := r.reader.Times()
	return times, r.located(err)
}

func (r *sealedReader) located(err error) error {
	if err != nil {
		return r.from.Locate(err)
	}
	return nil
}

// Select implements PieceReader.
func (r *sealedReader) Select(part frame.PartID) ([]Run, error) {
	r.runs = r.runs[:0]
	i, has := r.block.Find(part)
	if !has {
		return nil, nil
	}
	if err := r.reader.Select(i); err != nil {
		return nil, r.located(err)
	}
	r.rows = r.block.Part(i).Rows
	if r.rows == 0 {
		return nil, nil
	}
	if r.rows == r.block.Rows() {
		r.runs = append(r.runs, Run{0, r.rows})
		return r.runs, nil
	}
	return r.runs, r.located(r.findRuns())
}

// findRuns finds the runs of a part that not all rows have: where its times go on as those
// of the block do.
func (r *sealedReader) findRuns() error {
	all, err := r.reader.Times()
	if err != nil {
		return err
	}
	at := 0 // row of the block
	for row := 0; row < r.rows; {
		first, err := r.reader.TimeOf(row)
		if err != nil {
			return err
		}
		at += sort.Search(len(all)-at, func(i int) bool { return all[at+i] >= int64(first) })
		most := min(r.rows-row, len(all)-at)
		n := sort.Search(most, func(i int) bool {
			t, fault := r.reader.TimeOf(row + i)
			if fault != nil {
				err = fault
			}
			return int64(t) != all[at+i]
		})
		if err != nil {
			return err
		}
		if n == 0 {
			return fmt.Errorf("part of a block has a row at %d, the block has none", first)
		}
		r.runs = append(r.runs, Run{at, at + n})
		row, at = row+n, at+n
	}
	return nil
}

// Column implements PieceReader.
func (r *sealedReader) Column(dst []float64, column int) ([]float64, error) {
	return r.Rows(dst, column, 0, r.rows)
}

// Rows implements RowsReader.
func (r *sealedReader) Rows(dst []float64, column, from, to int) ([]float64, error) {
	if column >= r.reader.Columns() {
		return dst, fmt.Errorf("column %d of a part that has %d in the block", column, r.reader.Columns())
	}
	dst, err := r.reader.Values(dst, column, from, to)
	return dst, r.located(err)
}

// Close implements PieceReader.
func (r *sealedReader) Close() {
	r.from = nil
	r.pool.Give(sealedKind{}, r)
}
