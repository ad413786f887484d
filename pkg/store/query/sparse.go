package query

import "github.com/cloudless-fleet/cloudless/pkg/model"

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
