package query

import (
	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// EndRow makes a piece of one end row: all series of the lane end at the time at.
func EndRow(at model.Millis, rank uint64) Piece { return endRow{at, rank} }

type endRow struct {
	at   model.Millis
	rank uint64
}

// Range implements Piece.
func (e endRow) Range() (first, last model.Millis) { return e.at, e.at }

// Rank implements Piece.
func (e endRow) Rank() uint64 { return e.rank }

// Open implements Piece.
func (e endRow) Open(*Readers) (PieceReader, error) { return endReader{int64(e.at)}, nil }

type endReader [1]int64

// Times implements PieceReader.
func (r endReader) Times() ([]int64, error) { return r[:], nil }

// Select implements PieceReader: no part is there.
func (endReader) Select(frame.PartID) ([]Run, error) { return nil, nil }

// Column implements PieceReader. No part can be selected.
func (endReader) Column(dst []float64, _ int) ([]float64, error) { return dst, nil }

// Close implements PieceReader.
func (endReader) Close() {}
