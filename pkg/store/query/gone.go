package query

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/prometheus/prometheus/storage"

	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/rollup"
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
	gone, err := l.goneOf(n)
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

// goneOf finds the times whose rows are gone, or some of them, and of which there are rollups, in
// order. They are whole buckets.
func (l *loader) goneOf(n *lane) (all []stretch, err error) {
	if l.mint > l.gone {
		return nil, nil
	}
	to := min(l.window.maxt, l.gone)
	free := []interval{{rollup.Hour.End(l.mint) - model.Millis(rollup.Hour), rollup.Hour.End(to)}}
	for _, tier := range []rollup.Tier{rollup.Minute, rollup.Hour} {
		whole := interval{tier.End(l.mint) - model.Millis(tier), tier.End(to)}
		found, err := l.rollups.Rollups(nil, n.source, n.stream, tier, whole.after+1, whole.until)
		if err != nil {
			return nil, err
		}
		for _, v := range byVolume(found, tier) {
			for _, o := range cutTo(cutTo(free, v.interval), whole) {
				if o.after%model.Millis(tier) != 0 || o.until%model.Millis(tier) != 0 {
					continue // a bucket of which finer ones have a part
				}
				all = append(all, stretch{o, tier, v.blocks})
				free = without(free, o)
			}
		}
	}
	slices.SortFunc(all, func(a, b stretch) int { return cmp.Compare(a.after, b.after) })
	return all, nil
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
