package store

import (
	"errors"
	"fmt"
	"slices"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/block"
	"github.com/cloudless-fleet/cloudless/pkg/store/rollup"
	"github.com/cloudless-fleet/cloudless/pkg/store/volume"
)

// roller makes the volume of one window. For one goroutine.
type roller struct {
	store *Store
	tier  rollTier
	// The window holds the times after from, up to end. Buckets that end up to until are made:
	// of the others more rows are to come.
	from, end, until model.Millis

	raw    *volume.View
	old    *volume.File          // that is replaced; nil: none
	known  map[uint64]rolledTime // raw volumes that old was made of
	goneTo model.Millis          // the last time of those that are gone
	writer *volume.Writer

	builder  *rollup.Builder
	merger   *rollup.Merger
	rows     rollRows
	parts    map[frame.PartID]rolledPart
	layout   *rollLayout // of the builder
	schema   []block.Part
	sealed   []byte
	kept     []volume.Entry // blocks of old that stay
	gone     []volume.Entry // blocks of old that are made anew
	raws     []volume.Located
	sources  []rollSource
	lost     bool // rows of the lane could not be read
	lanes    map[volume.Key]struct{}
	included map[volume.Key]struct{} // lanes that have a rollup
	spans    map[rolledSpan]rolledTime
}

// rolledPart is what is known of a part.
type rolledPart struct {
	block.Part
	sparse bool
}

// part looks a part up.
func (r *roller) part(info block.PartInfo) rolledPart {
	p, known := r.parts[info.ID]
	if !known {
		if d := r.store.dictionary.Part(info.ID); d != nil && d.Columns() == info.Columns {
			p = rolledPart{block.PartOf(info.ID, d.Model()), d.IsSparse()}
		} else {
			p = rolledPart{Part: block.Part{ID: info.ID, Scales: make([]uint8, info.Columns)}} // it only takes more room
		}
		r.parts[info.ID] = p
	}
	return p
}

// lane makes the rollup of a lane, if it is to have one.
func (r *roller) lane(key volume.Key) (err error) {
	if r.raws, err = r.raw.Find(r.raws[:0], key, r.from+1, r.until); err != nil {
		return err // an index is damaged: nothing that is made without it would be right
	}
	before := uint64(0)
	r.kept, r.gone = r.kept[:0], r.gone[:0]
	if r.old != nil {
		before = r.old.Number()
		if r.kept, err = r.old.Find(r.kept, key, r.from, r.end); err != nil {
			return err
		}
	}
	if len(r.kept) == 0 && (len(r.raws) == 0 || !r.worthwhile()) {
		return nil
	}
	if sparse, err := r.isSparse(); err != nil || sparse {
		return err
	}
	r.lost = false
	for _, e := range r.kept {
		r.lost = r.lost || e.Flags&flagLost != 0
	}
	first, whole := r.first(before)
	if !whole {
		// Rows are gone that the old rollup has seen: it stays as it is, and what came later is
		// told beside it.
		r.kept = append(r.kept, r.gone...)
	}
	if err := r.copyKept(); err != nil {
		return err
	}
	if len(r.kept) > 0 {
		r.included[key] = struct{}{}
	}
	r.sources = r.sources[:0]
	for _, at := range r.raws {
		after := first - r.tier.width()
		if !whole && at.File.Number() < before {
			after = max(after, r.lastKept())
		} else if !whole {
			after = r.from
		}
		if at.Last > after {
			r.sources = append(r.sources, rollSource{Located: at, after: after})
		}
	}
	if len(r.sources) == 0 {
		return nil
	}
	return r.build(key)
}

// worthwhile judges a lane that has no rollup yet.
func (r *roller) worthwhile() bool {
	if r.tier.volume != volume.Minute {
		return true
	}
	rows, buckets := 0, 0
	for _, at := range r.raws {
		rows += int(at.Rows)
		buckets += int((r.tier.rollup.End(at.Last)-r.tier.rollup.End(at.First))/r.tier.width()) + 1
	}
	return rollup.Worthwhile(rows, buckets)
}

// isSparse says whether the lane has sparse parts, which get no rollup.
func (r *roller) isSparse() (bool, error) {
	if len(r.kept) > 0 {
		return false, nil
	}
	for _, at := range r.raws {
		s := rollSource{Located: at}
		if err := r.rows.pass(r.rows.survey(&s), &s); err != nil {
			return false, err
		}
		for _, p := range s.parts {
			if r.part(p).sparse {
				return true, nil
			}
		}
		if len(s.parts) > 0 {
			return false, nil
		}
	}
	return false, nil
}

// first says from which bucket on the lane's rollup is made anew. The blocks of old that
// have it or later ones go from kept to gone. whole is false when rows of these are gone.
func (r *roller) first(before uint64) (first model.Millis, whole bool) {
	width := r.tier.width()
	if len(r.kept) == 0 {
		return r.from + width, true
	}
	first = r.lastKept() + width
	for _, at := range r.raws {
		if at.File.Number() > before {
			first = min(first, r.tier.rollup.End(max(at.First, r.from+1)))
		}
	}
	for again := true; again; {
		again = false
		for i, e := range r.kept {
			if e.Last >= first {
				first, again = min(first, e.First), true
				r.gone = append(r.gone, e)
				r.kept = slices.Delete(r.kept, i, i+1)
				break
			}
		}
	}
	whole = !slices.ContainsFunc(r.gone, func(e volume.Entry) bool { return e.First-width < r.goneTo })
	return first, whole
}

// lastKept is the end of the last bucket of the blocks that stay.
func (r *roller) lastKept() model.Millis {
	last := r.from
	for _, e := range r.kept {
		last = max(last, e.Last)
	}
	return last
}

// copyKept takes blocks over as they are. When a window is complete, those that were made
// one by one become one.
func (r *roller) copyKept() error {
	if len(r.kept) > 1 && r.until == r.end && r.mergeKept() {
		return nil
	}
	for _, e := range r.kept {
		err := volume.Guard(func() error {
			sealed, err := r.old.Sealed(e)
			if err != nil {
				return err
			}
			return r.writer.Add(volume.Entry{Key: e.Key, First: e.First, Last: e.Last, Rows: e.Rows, Flags: e.Flags}, sealed)
		})
		if err != nil {
			return fmt.Errorf("copy of a rollup: %w", r.old.Locate(e, err))
		}
	}
	return nil
}

// mergeKept makes one block of those that stay; false when that cannot be.
func (r *roller) mergeKept() bool {
	err := volume.Guard(func() error {
		var blocks []*block.Block
		for _, e := range r.kept {
			b, err := r.old.Block(e, nil)
			if err != nil {
				return err
			}
			blocks = append(blocks, b)
		}
		var err error
		r.sealed, err = r.merger.Merge(r.sealed[:0], r.tier.rollup, blocks, func(id frame.PartID) []uint8 {
			if d := r.store.dictionary.Part(id); d != nil {
				return block.PartOf(id, d.Model()).Scales
			}
			return nil
		})
		return err
	})
	if err != nil {
		return false
	}
	e := volume.Entry{Key: r.kept[0].Key}
	if r.lost {
		e.Flags = flagLost
	}
	return r.writer.Add(e, r.sealed) == nil
}

// build makes buckets of the sources.
func (r *roller) build(key volume.Key) error {
	r.builder.Begin(key.Worker, key.Stream)
	r.layout = nil
	r.rows.damaged = func(err error) {
		r.lost = true
		r.store.log.Warn("rows cannot be read, a rollup is made without them", "worker", key.Worker, "stream", key.Stream, "err", err)
	}
	err := r.rows.read(r.sources, r.until, func(at model.Millis, l *rollLayout, row []float64) error {
		err := r.add(at, l, row)
		if errors.Is(err, block.ErrFull) {
			if err = r.seal(key); err == nil {
				err = r.add(at, l, row)
			}
		}
		return err
	})
	if err != nil {
		return err
	}
	return r.seal(key)
}

// add adds a row.
func (r *roller) add(at model.Millis, l *rollLayout, row []float64) error {
	if len(l.parts) == 0 {
		return r.builder.End(at)
	}
	if l != r.layout {
		r.schema = r.schema[:0]
		for _, p := range l.parts {
			r.schema = append(r.schema, r.part(p).Part)
		}
		if err := r.builder.Schema(r.schema); err != nil {
			return err
		}
		r.layout = l
	}
	return r.builder.Append(at, row)
}

// seal writes what was built.
func (r *roller) seal(key volume.Key) error {
	if r.builder.Buckets() == 0 {
		return nil
	}
	r.sealed = r.builder.Seal(r.sealed[:0])
	r.layout = nil
	r.included[key] = struct{}{}
	e := volume.Entry{Key: key}
	if r.lost {
		e.Flags = flagLost
	}
	return r.writer.Add(e, r.sealed)
}
