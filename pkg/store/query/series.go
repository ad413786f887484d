package query

import (
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// series is a selected series.
type series struct {
	labels labels.Labels
	set    *seriesSet
	place  place
	places []place // when there are several
}

// Labels implements storage.Series.
func (s *series) Labels() labels.Labels { return s.labels }

// Iterator implements storage.Series.
func (s *series) Iterator(reuse chunkenc.Iterator) chunkenc.Iterator {
	it, ours := reuse.(*iterator)
	if !ours {
		it = new(iterator)
	}
	it.reset()
	if s.set.querier.closed.Load() {
		it.err = errClosed
		return it
	}
	if s.places != nil {
		it.several(s)
		return it
	}
	g := &s.set.groups[s.place.group]
	n := &s.set.lanes[g.lane]
	if g.tangled {
		it.several(s)
		return it
	}
	if n.lazy {
		again := [1]group{g.one(s.place.index)}
		if it.err = s.set.reload(n, again[:]); it.err == nil {
			it.begin(again[0].chunks, 0)
		}
	} else {
		it.begin(g.chunks, int(s.place.index))
	}
	if n.shared {
		it.skip(int64(s.set.window.mint))
	}
	return it
}

// one is the group of one of its columns, not read yet.
func (g *group) one(index int32) group {
	return group{part: g.part, columns: g.columns[index : index+1]}
}

// reload reads groups of a lane again, to which only their series refers.
func (s *seriesSet) reload(n *lane, groups []group) error {
	l := newLoader(s, s.querier.source(), newMemory(nil))
	l.bounded = false
	defer l.done(&s.querier.pools)
	again := lane{source: n.source, stream: n.stream, shared: n.shared}
	for i := range groups {
		again.groups = append(again.groups, &groups[i])
	}
	if err := l.lane(&again); err != nil {
		return err
	}
	if len(l.warnings) > 0 && !n.damaged {
		return l.warnings[0] // nobody reads warnings any more
	}
	return nil
}
