package query

import (
	"cmp"
	"slices"

	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/rollup"
	"github.com/cloudless-fleet/cloudless/pkg/store/schemas"
)

// Rollups is what a View also implements when there are rollups. Selections whose answers stay
// the same (rollup.Choose) are then answered from these.
type Rollups interface {
	// Rollups appends the rollups of a tier that a stream of a source has in buckets that end
	// from one time to another, both included, in any order. Of an error nothing is
	// appended: all rows are then read.
	Rollups(dst []Rollup, source *schemas.Source, stream model.StreamID, tier rollup.Tier, from, to model.Millis) ([]Rollup, error)
	// Gone is the last time of rows that are gone and of which there were rollups: up to then rows
	// are there in part at most, later ones all.
	Gone() model.Millis
}

// Rollup is a block of a rollup.
type Rollup struct {
	Blocks
	// First and Last are the ends of its first and its last bucket.
	First, Last model.Millis
	// Volume tells which blocks were made together, and of what: these have all rows of the
	// pieces of the stream with a lower rank, from their first bucket to their last one.
	Volume uint64
	// Lost says that rows could not be read when it was made.
	Lost bool
}

// interval is the times after one, up to and with another.
type interval struct{ after, until model.Millis }

// overlaps reports whether they have a time together.
func (i interval) overlaps(o interval) bool { return i.after < o.until && o.after < i.until }

// without takes a time out of intervals, which are sorted and apart.
func without(all []interval, cut interval) []interval {
	rest := make([]interval, 0, len(all)+1)
	for _, i := range all {
		if !i.overlaps(cut) {
			rest = append(rest, i)
			continue
		}
		if i.after < cut.after {
			rest = append(rest, interval{i.after, cut.after})
		}
		if cut.until < i.until {
			rest = append(rest, interval{cut.until, i.until})
		}
	}
	return rest
}

// cutTo cuts intervals to a time.
func cutTo(all []interval, to interval) (some []interval) {
	for _, i := range all {
		if i.overlaps(to) {
			some = append(some, interval{max(i.after, to.after), min(i.until, to.until)})
		}
	}
	return some
}

// stretch is a time that is read in one way.
type stretch struct {
	interval
	tier   rollup.Tier
	blocks []Rollup // nil: rows
}

// together are the blocks of one volume.
type together struct {
	interval // which they tell of
	volume   uint64
	blocks   []Rollup
}

// byVolume puts blocks together.
func byVolume(all []Rollup, tier rollup.Tier) (volumes []together) {
	slices.SortFunc(all, func(a, b Rollup) int { return cmp.Or(cmp.Compare(a.Volume, b.Volume), cmp.Compare(a.First, b.First)) })
	for len(all) > 0 {
		n := 1
		for n < len(all) && all[n].Volume == all[0].Volume {
			n++
		}
		t := together{volume: all[0].Volume, blocks: slices.Clone(all[:n])}
		t.interval = interval{all[0].First - model.Millis(tier), all[0].Last}
		for _, r := range all[1:n] {
			t.until = max(t.until, r.Last)
		}
		volumes, all = append(volumes, t), all[n:]
	}
	return volumes
}

// rangeOf are the times of a piece, as whole buckets of a tier.
func rangeOf(p Piece, tier rollup.Tier) interval {
	first, last := p.Range()
	return interval{tier.End(first) - model.Millis(tier), tier.End(last)}
}

// stretches says how the buckets of a plan are read in a lane: from rollups where these
// know all rows, else from rows. rolled is false when there are no rollups to read from.
func (l *loader) stretches(n *lane, p *rollup.Plan) (all []stretch, rolled bool, err error) {
	width := model.Millis(p.Tier)
	whole := interval{p.From - width, p.To}
	// Rows are asked for first: those that go into a rollup meanwhile are then in both.
	pieces := l.data.Pieces(nil, n.source, n.stream, whole.after+1, whole.until)
	free := []interval{whole}
	for _, tier := range []rollup.Tier{p.Tier, rollup.Minute} {
		if len(free) == 0 || tier == rollup.Minute && rolled && p.Tier == tier {
			break
		}
		found, err := l.rollups.Rollups(nil, n.source, n.stream, tier, whole.after+1, whole.until)
		if err := l.passOver(n, err); err != nil {
			return nil, false, err
		}
		for _, v := range byVolume(found, tier) {
			open := cutTo(free, v.interval)
			for _, piece := range pieces {
				if piece.Rank() < v.volume {
					continue
				}
				touched := rangeOf(piece, tier)
				if touched.overlaps(interval{schemas.MinTime, l.gone}) {
					// The other rows are gone. What came so late is in the next rollup.
					l.gaveWay = l.gaveWay || touched.overlaps(v.interval)
					touched.after = max(touched.after, tier.End(l.gone))
				}
				if touched.after < touched.until {
					open = without(open, touched)
				}
			}
			for _, o := range open {
				all = append(all, stretch{o, tier, v.blocks})
				free = without(free, o)
				rolled = true
			}
		}
	}
	for _, f := range free {
		if slices.ContainsFunc(pieces, func(p Piece) bool { first, last := p.Range(); return first <= f.until && last > f.after }) {
			all = append(all, stretch{interval: f})
		}
	}
	slices.SortFunc(all, func(a, b stretch) int { return cmp.Compare(a.after, b.after) })
	return all, rolled, nil
}
