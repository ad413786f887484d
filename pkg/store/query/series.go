package query

import (
	"sync"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// series is a selected series.
type series struct {
	labels labels.Labels
	set    *seriesSet
	place  place
	places []place  // when there are several
	rolled *samples // of these places, when they are known
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
	if s.rolled != nil {
		it.now = *s.rolled
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
	if n.rolled != nil {
		it.ofGroup(s, g, n)
		return it
	}
	if n.lazy {
		chunks, index, err := s.set.lazily(s.place, g, n)
		if it.err = err; err == nil {
			it.begin(chunks, index)
		}
	} else {
		it.begin(g.chunks, int(s.place.index))
	}
	if n.shared {
		it.skip(int64(s.set.window.mint))
	}
	return it
}

// again is the group whose turn it is, of lanes that are read again: when series are not
// sorted, those of a group follow each other.
type again struct {
	mu     sync.Mutex // guards everything below
	group  int32      // from 1; 0 is none
	chunks []chunk
}

// againValues is how many values a group may have that is read again as a whole.
const againValues = 1 << 19

// lazily reads the series at p again, alone or with its group.
func (s *seriesSet) lazily(p place, g *group, n *lane) (chunks []chunk, index int, err error) {
	if s.sorted || g.values > againValues {
		alone := [1]group{g.one(p.index)}
		err := s.reload(n, alone[:])
		return alone[0].chunks, 0, err
	}
	s.again.mu.Lock()
	defer s.again.mu.Unlock()
	if s.again.group != p.group+1 {
		whole := [1]group{{part: g.part, columns: g.columns}}
		s.again.group = 0
		if err := s.reload(n, whole[:]); err != nil {
			return nil, 0, err
		}
		s.again.group, s.again.chunks = p.group+1, whole[0].chunks
	}
	return s.again.chunks, int(p.index), nil
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
