package query

import "slices"

// newestRow takes the newest row of the lane for its answer; false when there is
// none, it came while the groups were read, or it is one of a sparse part, whose series may
// have newer samples in other rows than in that one.
func (l *loader) newestRow(n *lane) bool {
	if slices.ContainsFunc(n.groups, func(g *group) bool { return g.part.IsSparse() }) {
		return false
	}
	var t []int64
	for _, g := range n.groups {
		values, at, has, ok := l.data.Newest(l.scratch[:0], n.source, n.stream, g.part.ID(), l.window.mint, l.window.maxt)
		l.scratch = values
		if t == nil && ok {
			t = l.memory.times.take(1)
			t[0] = int64(at)
		}
		if !ok || t[0] != int64(at) || has && len(values) != g.part.Columns() {
			l.restart(n)
			return false
		}
		if !has {
			continue
		}
		v := l.memory.values.take(len(g.columns))
		for i, column := range g.columns {
			v[i] = values[column]
		}
		g.chunks = append(g.chunks, chunk{t: t, v: v})
	}
	return true
}

func (l *loader) restart(n *lane) {
	for _, g := range n.groups {
		g.chunks = g.first[:0]
	}
}
