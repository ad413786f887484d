package store

import (
	"math"
	"sync"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/block"
	"github.com/cloudless-fleet/cloudless/pkg/store/query"
	"github.com/cloudless-fleet/cloudless/pkg/store/schemas"
	"github.com/cloudless-fleet/cloudless/pkg/store/volume"
)

// data is all rows: the open ones of the head, and those in volumes.
type data struct{ store *Store }

var (
	_ query.Data  = data{}
	_ query.Views = data{}
)

// Pieces implements query.Data.
func (d data) Pieces(dst []query.Piece, source *schemas.Source, stream model.StreamID, mint, maxt model.Millis) []query.Piece {
	v := d.View(mint, maxt) // only its pieces outlive it, and they fail when their files are gone
	defer v.Release()
	return v.Pieces(dst, source, stream, mint, maxt)
}

// Newest implements query.Data.
func (d data) Newest(dst []float64, source *schemas.Source, stream model.StreamID, part frame.PartID, mint, maxt model.Millis) ([]float64, model.Millis, bool, bool) {
	return d.store.head.Data().Newest(dst, source, stream, part, mint, maxt)
}

// View implements query.Views.
func (d data) View(mint, maxt model.Millis) query.View {
	// Whether a series was live just before is looked up in other streams.
	if lookback := model.Millis(d.store.config.query().Lookback.Milliseconds()); mint > schemas.MinTime+lookback {
		mint -= lookback
	}
	return &view{data: d, mint: mint, maxt: maxt}
}

// view holds the volumes that a query reads. Safe for concurrent use.
type view struct {
	data
	mint, maxt model.Millis

	mu   sync.Mutex // guards what follows
	held []*volume.View
	seen uint64 // Store.published when the newest of held was taken

	tiers tierViews
}

// Pieces implements query.Data. Rows go from the head to volumes, so the head is asked
// first: what has left it by then is in a volume that is seen here.
func (v *view) Pieces(dst []query.Piece, source *schemas.Source, stream model.StreamID, mint, maxt model.Millis) []query.Piece {
	dst = v.store.head.Data().Pieces(dst, source, stream, mint, maxt)
	found, err := v.volumes().Find(nil, volume.KeyOf(source.Worker(), source.Labels(), stream), mint, maxt)
	for _, at := range found {
		dst = append(dst, pieceOf(at))
	}
	if err != nil {
		dst = append(dst, broken{err, mint, maxt})
	}
	return dst
}

// volumes returns a view of all volumes that were published before the call.
func (v *view) volumes() *volume.View {
	v.mu.Lock()
	defer v.mu.Unlock()
	if now := v.store.published.Load(); len(v.held) == 0 || now != v.seen {
		v.seen = now
		v.held = append(v.held, v.store.volumes.Files(volume.Raw, v.mint, v.maxt))
	}
	return v.held[len(v.held)-1]
}

// Release implements query.View.
func (v *view) Release() {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, one := range v.held {
		one.Release()
	}
	v.held = nil
	v.tiers.release()
}

// pieceOf is an entry of a volume as queries read it. What is in a volume was stored
// before all that is still in the journal, and ranks before it.
func pieceOf(at volume.Located) query.Piece {
	if at.Size == 0 {
		return endRow{at.First, rankOf(at)}
	}
	return query.Sealed(blockAt{at}, at.First, at.Last, rankOf(at))
}

// rankOf orders what is in volumes by when it was stored: by volume, and then as a pass has
// written what a lane has. Blocks of a lane are further apart than 32 bytes.
func rankOf(at volume.Located) uint64 {
	return at.File.Number()<<32 | min(uint64(at.Offset)>>5, math.MaxUint32)
}

// blockAt is where a block is.
type blockAt struct{ volume.Located }

// Block implements query.Blocks.
func (b blockAt) Block(reuse *block.Block) (*block.Block, error) {
	return b.File.Block(b.Entry, reuse)
}

// Locate implements query.Blocks.
func (b blockAt) Locate(err error) error { return b.File.Locate(b.Entry, err) }

// broken is a piece that stands for a volume in which nothing could be found.
type broken struct {
	err         error
	first, last model.Millis
}

// Range implements query.Piece.
func (b broken) Range() (first, last model.Millis) { return b.first, b.last }

// Rank implements query.Piece: no rollup is known to have what was lost.
func (b broken) Rank() uint64 { return math.MaxUint64 }

// Open implements query.Piece.
func (b broken) Open(*query.Readers) (query.PieceReader, error) { return nil, b.err }

// endRow is an end row in a volume.
type endRow struct {
	at   model.Millis
	rank uint64
}

// Range implements query.Piece.
func (e endRow) Range() (first, last model.Millis) { return e.at, e.at }

// Rank implements query.Piece.
func (e endRow) Rank() uint64 { return e.rank }

// Open implements query.Piece.
func (e endRow) Open(*query.Readers) (query.PieceReader, error) { return e, nil }

// Times implements query.PieceReader.
func (e endRow) Times() ([]int64, error) { return []int64{int64(e.at)}, nil }

// Select implements query.PieceReader: no part has the row.
func (e endRow) Select(frame.PartID) ([]query.Run, error) { return nil, nil }

// Column implements query.PieceReader.
func (e endRow) Column(dst []float64, _ int) ([]float64, error) { return dst, nil }

// Close implements query.PieceReader.
func (e endRow) Close() {}
