package query

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/prometheus/prometheus/storage"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/rollup"
	"github.com/cloudless-fleet/cloudless/pkg/store/volume"
)

// filling is how rollups stand in for rows that are gone.
type filling struct {
	windows rollup.Plan // of the selector; Tier and Use are chosen for each stretch
	use     func(rollup.Tier) rollup.Use
}

// fillingOf says what samples of a bucket come closest to what a selector asks for. The plan
// is nil when there is none.
func fillingOf(h *storage.SelectHints, plan *rollup.Plan, lookback model.Millis) *filling {
	f := &filling{windows: rollup.Plan{Range: model.Millis(h.Range), Last: model.Millis(h.End), Step: model.Millis(h.Step)}}
	f.windows.First = model.Millis(h.Start) - 1 + f.windows.Range
	if h.Range == 0 {
		f.windows.First += lookback
	}
	closest, _ := rollup.UseOf(h.Func, h.Range > 0)
	f.use = func(tier rollup.Tier) rollup.Use {
		switch {
		case plan != nil && tier <= plan.Tier:
			return plan.Use
		case closest == rollup.UseRate || closest == rollup.UseEnds || closest == rollup.UseResets:
			return closest
		case h.Range < 2*int64(tier):
			return rollup.UseFill // or most windows would have no sample
		}
		return closest
	}
	return f
}

// rowsOf reads the rows of a lane, and what rollups have of rows that are gone.
func (l *loader) rowsOf(n *lane) error {
	if l.filling == nil || n.isSparse() {
		return l.read(n)
	}
	gone, err := l.gone(n)
	if err := l.passOver(n, err); err != nil {
		return err
	}
	if len(gone) == 0 {
		return l.read(n)
	}
	mint, maxt := l.mint, l.window.maxt
	defer func() { l.mint, l.window.maxt = mint, maxt }()
	at := mint
	for _, s := range gone {
		if at <= s.after {
			l.mint, l.window.maxt = at, s.after
			if err := l.read(n); err != nil {
				return err
			}
		}
		if err := l.fillGone(n, s); err != nil {
			return err
		}
		at = s.until + 1
	}
	l.mint, l.window.maxt = at, maxt
	if at > maxt { // all was gone
		return nil
	}
	return l.read(n)
}

// gone finds the times whose rows are gone and of which there are rollups, in order. They are
// whole buckets, whose rows may be left in part.
func (l *loader) gone(n *lane) (all []stretch, err error) {
	// Whole buckets, and one before: what is gone has no definite end.
	whole := interval{earlier(rollup.Hour.End(l.mint), 2*model.Millis(rollup.Hour)), rollup.Hour.End(l.window.maxt)}
	pieces := l.data.Pieces(nil, n.source, n.stream, whole.after+1, whole.until)
	var known []interval
	for _, tier := range []rollup.Tier{rollup.Minute, rollup.Hour} {
		width := model.Millis(tier)
		found, err := l.rollups.Rollups(nil, n.source, n.stream, tier, tier.End(l.mint), tier.End(l.window.maxt))
		if err != nil {
			return nil, err
		}
		for _, v := range byVolume(found, tier) {
			before := known
			known = append(known[:len(known):len(known)], v.interval)
			if !uncovered(cutTo([]interval{v.interval}, whole), pieces, width) {
				continue
			}
			for _, b := range v.blocks {
				buckets, err := l.laneBuckets(b)
				if err := l.passOver(n, err); err != nil {
					return nil, err
				}
				for i := range buckets {
					x := &buckets[i]
					of := interval{x.At - width, x.At}
					if has(pieces, x.From) && has(pieces, x.To) || slices.ContainsFunc(before, of.overlaps) ||
						x.At < l.mint || x.At-width >= l.window.maxt {
						continue
					}
					if k := len(all) - 1; k >= 0 && all[k].until == of.after && all[k].tier == tier && all[k].blocks[0].Volume == b.Volume {
						all[k].until = of.until
						continue
					}
					all = append(all, stretch{of, tier, v.blocks})
				}
			}
		}
	}
	slices.SortFunc(all, func(a, b stretch) int { return cmp.Compare(a.after, b.after) })
	return all, nil
}

// has reports whether a time is in one of the pieces.
func has(pieces []Piece, t model.Millis) bool {
	return slices.ContainsFunc(pieces, func(p Piece) bool { first, last := p.Range(); return first <= t && t <= last })
}

// uncovered reports whether pieces leave out a bucket or more of a time.
func uncovered(rest []interval, pieces []Piece, width model.Millis) bool {
	for _, p := range pieces {
		from, to := p.Range()
		rest = without(rest, interval{from - 1, to})
	}
	return slices.ContainsFunc(rest, func(i interval) bool { return i.until-i.after >= width })
}

// laneBuckets reads what a block says of the lane itself.
func (l *loader) laneBuckets(b Rollup) (buckets []rollup.Bucket, err error) {
	r := &l.rolling
	err = volume.Guard(func() (err error) {
		if r.reader == nil {
			r.reader = rollup.NewReader()
		}
		if r.block, err = b.Block(r.block); err != nil {
			return err
		}
		if err := r.reader.Reset(r.block); err != nil {
			return err
		}
		if _, err := r.reader.Select(frame.PartID{}); err != nil { // no part: that of the lane
			return err
		}
		buckets, err = r.reader.Buckets(nil, 0, b.First, b.Last)
		return err
	})
	if err != nil {
		return nil, b.Locate(err)
	}
	return buckets, nil
}

// fillGone gives the groups of a lane samples out of rollups.
func (l *loader) fillGone(n *lane, s stretch) error {
	l.gaveWay = true
	l.sayLost([]stretch{s})
	plan := l.filling.windows
	plan.Tier, plan.Use = s.tier, l.filling.use(s.tier)
	for _, g := range n.groups {
		c := chunk{odd: map[int]samples{}}
		only := group{part: g.part, columns: g.columns}
		err := l.eachColumn(n, &only, []stretch{s}, s.tier, func(column int, buckets []rollup.Bucket, _ bool) error {
			got, _ := l.emit(&plan, buckets)
			c.odd[column] = got
			return nil
		})
		if errors.Is(err, errUnrolled) {
			continue // it was said
		} else if err != nil {
			return err
		}
		g.chunks = append(g.chunks, c)
		g.live = true // so that a first row without it is there
	}
	return nil
}

// remarks are what the answer carries of rollups.
func (l *loader) remarks() (all []error) {
	if l.gaveWay {
		all = append(all, fmt.Errorf("query: samples of a part of the time are gone; rollups stand in for them, and what is made of them is near, but not exact"))
	}
	if l.lost {
		all = append(all, fmt.Errorf("query: when rollups were made that were read, some samples could not be read, and are left out"))
	}
	return all
}
