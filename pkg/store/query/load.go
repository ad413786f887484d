package query

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/volume"
)

// ErrLimit: a query needs more samples than Options allow.
var ErrLimit = errors.New("query needs too many samples")

// loader reads lanes. It is for one goroutine, and keeps its buffers for the next query.
type loader struct {
	job
	readers Readers
	pieces  []Piece
	cuts    []cut
	scratch []float64
	overlap overlap
	rolling rolling

	mint   model.Millis // of the lane
	before mark         // the lane
	kept   int64        // bytes of the lane
	rank   uint64       // of the piece, while sparse parts are read
}

// job is what a loader is to do, and what came of it.
type job struct {
	ctx     context.Context
	window  window
	options Options
	usage   *usage
	data    View
	memory  *memory
	most    int // values of a batch
	pools   *pools
	// newest says that the newest row of a lane is all that is asked for.
	newest bool
	// bounded says that there may be too little memory to keep what is read.
	bounded bool

	tiering
	gaveWay bool // rollups stood in for rows that are gone
	lost    bool // rollups were made of less than all rows

	warnings []error
	unsaid   int // warnings
	err      error
}

func newLoader(s *seriesSet, view View, m *memory) *loader {
	q := s.querier
	l := q.pools.takeLoader()
	l.job = job{ctx: s.ctx, window: s.window, options: q.options, usage: &q.usage, data: view, memory: m, most: q.batch, bounded: true,
		pools: &q.pools, tiering: tiering{rollups: s.tiers.rollups, gone: s.tiers.gone, filling: s.tiers.filling}}
	return l
}

// done gives the loader to the next query.
func (l *loader) done(p *pools) {
	l.job = job{}
	p.loaders.Put(l)
}

// tries is how often a lane is read whose pieces move meanwhile.
const tries = 4

// lane reads all groups of a lane.
func (l *loader) lane(n *lane) error {
	if err := l.ctx.Err(); err != nil {
		return err
	}
	if l.newest && !n.shared && l.newestRow(n) {
		return nil
	}
	l.mint = l.window.mint
	if n.shared {
		l.mint = earlier(l.mint, l.window.lookback)
	}
	for try := 1; ; try++ {
		l.before, l.kept = l.memory.mark(), 0
		err := l.tieredLane(n)
		if !errors.Is(err, ErrMoved) || try == tries {
			return err
		}
		l.drop(n)
	}
}

// drop forgets what was read of a lane.
func (l *loader) drop(n *lane) {
	for _, g := range n.groups {
		g.live = false
	}
	l.forget(n.groups, l.before)
}

// forget gives up what was read of groups, and the memory that was taken since.
func (l *loader) forget(groups []*group, since mark) {
	for _, g := range groups {
		clear(g.chunks)
		g.chunks, g.counted = g.first[:0], 0
	}
	l.memory.back(since)
	l.usage.kept.Add(-l.kept)
	l.kept = 0
}

func (l *loader) read(n *lane) error {
	l.pieces = l.data.Pieces(l.pieces[:0], n.source, n.stream, l.mint, l.window.maxt)
	defer func() { clear(l.pieces) }()
	pieces := slices.DeleteFunc(l.pieces, func(p Piece) bool {
		first, last := p.Range()
		return first > l.window.maxt || last < l.mint
	})
	slices.SortFunc(pieces, func(a, b Piece) int {
		x, _ := a.Range()
		y, _ := b.Range()
		return cmp.Or(cmp.Compare(x, y), cmp.Compare(a.Rank(), b.Rank()))
	})
	if len(pieces) > 1 {
		for _, g := range n.groups {
			g.chunks = slices.Grow(g.chunks, len(pieces)+1)
		}
	}
	if n.isSparse() {
		return l.apart(n, pieces)
	}
	for len(pieces) > 0 {
		_, last := pieces[0].Range()
		together := 1
		for ; together < len(pieces); together++ {
			first, end := pieces[together].Range()
			if first > last {
				break
			}
			last = max(last, end)
		}
		var err error
		if together == 1 {
			err = l.single(n, pieces[0])
		} else {
			err = l.several(n, pieces[:together])
		}
		if err != nil {
			return err
		}
		pieces = pieces[together:]
	}
	return nil
}

// account is called when groups of a lane were read, with memory that was taken since.
func (l *loader) account(n *lane, groups []*group, since mark) error {
	if !l.bounded {
		return l.ctx.Err()
	}
	var samples int64
	for _, g := range groups {
		for ; g.counted < len(g.chunks); g.counted++ {
			n := len(g.chunks[g.counted].v)
			g.values += n
			samples += int64(n)
		}
	}
	if err := l.allow(samples); err != nil {
		return err
	}
	l.usage.samples.Add(samples)
	if l.hold(samples) > int64(l.options.Memory) && !n.lazy {
		n.lazy = true
		groups = n.groups
	}
	if n.lazy {
		l.forget(groups, since)
	}
	return l.ctx.Err()
}

// hold notes that times or values are kept, and returns how many bytes the query keeps.
func (l *loader) hold(n int64) int64 {
	l.kept += 8 * n
	return l.usage.kept.Add(8 * n)
}

// allow says whether as many samples may be decoded.
func (l *loader) allow(samples int64) error {
	if l.bounded && l.usage.samples.Load()+samples > l.options.Samples {
		return fmt.Errorf("%w: more than %d; ask for a shorter time or fewer series", ErrLimit, l.options.Samples)
	}
	return nil
}

// single reads a piece whose times no other piece has.
func (l *loader) single(n *lane, p Piece) error {
	err := l.guarded(p, func(r PieceReader) error {
		times, err := r.Times()
		if err != nil {
			return err
		}
		from, to := l.rows(times)
		if from == to {
			return nil
		}
		before := l.memory.mark()
		t := l.memory.times.copy(times[from:to])
		since := l.memory.mark()
		l.hold(int64(len(t)))
		for i, g := range n.groups {
			if err := l.take(n, g, r, t, from); err != nil {
				return err
			}
			if err := l.account(n, n.groups[i:i+1], since); err != nil {
				return err
			}
		}
		if n.lazy {
			l.forget(nil, before)
		}
		return nil
	})
	return l.passOver(n, err)
}

// guarded opens a piece and reads it. Pieces may be mapped files: a page that the disk
// cannot read is an error of the piece, and not the end of the process.
func (l *loader) guarded(p Piece, read func(PieceReader) error) error {
	err := volume.Guard(func() error {
		r, err := p.Open(&l.readers)
		if err != nil {
			return err
		}
		defer r.Close()
		return read(r)
	})
	if fault := (*volume.Fault)(nil); errors.As(err, &fault) {
		if s, ours := p.(sealed); ours {
			return s.from.Locate(err)
		}
	}
	return err
}

// passOver makes an error of a piece a warning, unless it concerns the query.
func (l *loader) passOver(n *lane, err error) error {
	if err == nil || errors.Is(err, ErrMoved) || errors.Is(err, ErrLimit) || l.ctx.Err() != nil && errors.Is(err, l.ctx.Err()) {
		return err
	}
	const most = 10
	n.damaged = true
	if len(l.warnings) < most {
		l.warnings = append(l.warnings, fmt.Errorf("query: data of worker %v, stream %d, is left out: %w", n.source.Worker(), n.stream, err))
	} else {
		l.unsaid++
	}
	return nil
}

// rows are the rows of times that are in the window.
func (l *loader) rows(times []int64) (from, to int) {
	if len(times) == 0 {
		return 0, 0
	}
	to = len(times)
	if times[0] < int64(l.mint) {
		from, _ = slices.BinarySearch(times, int64(l.mint))
	}
	if times[to-1] > int64(l.window.maxt) {
		to, _ = slices.BinarySearch(times, int64(l.window.maxt)+1)
	}
	return from, max(from, to)
}
