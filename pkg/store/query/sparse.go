package query

import (
	"cmp"
	"math"
	"slices"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// isSparse says that all that is asked for of the lane is in sparse parts.
func (n *lane) isSparse() bool {
	return !slices.ContainsFunc(n.groups, func(g *group) bool { return !g.part.IsSparse() })
}

// apart reads pieces of sparse parts one by one, also those that overlap: of each sample it is to
// be known when it was stored.
func (l *loader) apart(n *lane, pieces []Piece) error {
	end := model.Millis(math.MinInt64)
	for i, p := range pieces {
		first, last := p.Range()
		for _, g := range n.groups {
			g.tangled = g.tangled || i > 0 && first <= end
		}
		end, l.rank = max(end, last), p.Rank()
		if err := l.single(n, p); err != nil {
			return err
		}
	}
	return nil
}

// thin takes the rows in which it has no sample out of each column of a sparse part, and makes
// of the ends what they are in other parts: model.Absent.
func (l *loader) thin(g *group, c *chunk) {
	for i := range g.columns {
		all := c.column(i)
		has := 0
		for _, v := range all.v {
			if v == v || !model.IsAbsent(v) {
				has++
			}
		}
		if has == 0 {
			c.spoil(i, samples{})
			continue
		}
		t := all.t
		if has < len(all.t) {
			t = l.memory.times.take(has)
			l.hold(int64(has))
			c.spoil(i, samples{t, all.v[:has:has]})
		}
		to := 0
		for k, v := range all.v {
			if v != v {
				if model.IsAbsent(v) {
					continue
				}
				if model.IsEnded(v) {
					v = model.Absent()
				}
			}
			if has < len(all.t) {
				t[to] = all.t[k]
			}
			all.v[to] = v
			to++
		}
	}
}

// ranked are samples of one piece.
type ranked struct {
	samples
	rank uint64
}

// sparseLane joins the chunks of one lane whose parts are sparse: of samples with one time the
// one stored first counts.
func (m *merger) sparseLane(homes []home) samples {
	m.ranked = m.ranked[:0]
	for _, h := range homes {
		for i := range h.chunks {
			if c := h.chunks[i].column(h.index); len(c.t) > 0 {
				m.ranked = append(m.ranked, ranked{c, h.chunks[i].rank})
			}
		}
	}
	slices.SortStableFunc(m.ranked, func(a, b ranked) int {
		return cmp.Or(cmp.Compare(a.t[0], b.t[0]), cmp.Compare(a.rank, b.rank))
	})
	all := &m.joined
	from := len(all.t)
	m.ranks = m.ranks[:0]
	for _, p := range m.ranked {
		m.addRanked(from, p)
	}
	clear(m.ranked)
	return samples{all.t[from:len(all.t):len(all.t)], all.v[from:len(all.v):len(all.v)]}
}

// addRanked adds samples that begin no earlier than what was added before. What was added from
// the given place on has ranks.
func (m *merger) addRanked(from int, p ranked) {
	all := &m.joined
	at := len(all.t)
	for at > from && all.t[at-1] >= p.t[0] {
		at--
	}
	old := samples{slices.Clone(all.t[at:]), slices.Clone(all.v[at:])}
	ranks := slices.Clone(m.ranks[at-from:])
	all.t, all.v, m.ranks = all.t[:at], all.v[:at], m.ranks[:at-from]
	take := func(t int64, v float64, rank uint64) {
		all.t, all.v, m.ranks = append(all.t, t), append(all.v, v), append(m.ranks, rank)
	}
	i := 0
	for k, t := range p.t {
		for ; i < len(old.t) && old.t[i] < t; i++ {
			take(old.t[i], old.v[i], ranks[i])
		}
		if i < len(old.t) && old.t[i] == t {
			if ranks[i] <= p.rank {
				take(t, old.v[i], ranks[i])
			} else {
				take(t, p.v[k], p.rank)
			}
			i++
			continue
		}
		take(t, p.v[k], p.rank)
	}
	for ; i < len(old.t); i++ {
		take(old.t[i], old.v[i], ranks[i])
	}
}
