package query

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/cloudless-fleet/cloudless/pkg/store/rollup"
)

// markJoined notes which columns belong to series in several places, and returns these.
func (s *seriesSet) markJoined() (joined []*series) {
	for i := range s.series {
		one := &s.series[i]
		if one.places == nil {
			continue
		}
		joined = append(joined, one)
		for _, p := range one.places {
			g := &s.groups[p.group]
			if g.rolled == nil {
				g.rolled = new(rolledGroup)
			}
			if g.rolled.joined == nil {
				g.rolled.joined = make([]bool, len(g.columns))
			}
			g.rolled.joined[p.index] = true
		}
	}
	return joined
}

// joinAll answers series in several places from rollups, when all lanes were read.
func (s *seriesSet) joinAll(loaders []*loader, joined []*series) {
	var next atomic.Int64
	work := func(l *loader) {
		for l.err == nil {
			i := int(next.Add(1)) - 1
			if i >= len(joined) {
				return
			}
			if l.err = l.joinSeries(s, joined[i]); l.err != nil {
				next.Store(int64(len(joined)))
			}
		}
	}
	var others sync.WaitGroup
	for _, l := range loaders[1:] {
		others.Go(func() { work(l) })
	}
	work(loaders[0])
	others.Wait()
}

// joinSeries answers a series in several places from rollups, if that gives what its rows
// give. Otherwise its rows are looked through, for what is to be warned of.
func (l *loader) joinSeries(s *seriesSet, one *series) error {
	if !slices.ContainsFunc(one.places, func(p place) bool { return s.lanes[s.groups[p.group].lane].rolled != nil }) {
		return nil // all rows were read
	}
	places := slices.Clone(one.places)
	slices.SortStableFunc(places, func(a, b place) int {
		x, y := &s.lanes[s.groups[a.group].lane], &s.lanes[s.groups[b.group].lane]
		switch {
		case x == y:
			return 0
		case x.before(y):
			return -1
		}
		return 1
	})
	all, exact, err := l.joinPlaces(s, places)
	if err == nil && exact {
		got, same := l.emit(l.plan, all)
		if same {
			one.rolled = &got
			return nil
		}
	}
	if err != nil && !errors.Is(err, errUnrolled) {
		return err
	}
	return l.lookThrough(s, places)
}

// joinPlaces puts the buckets of places together.
func (l *loader) joinPlaces(s *seriesSet, places []place) (all []rollup.Bucket, exact bool, err error) {
	exact = true
	lanes := 0
	ends := false
	for i, p := range places {
		g := &s.groups[p.group]
		n := s.lanes[g.lane].bare()
		if i == 0 || g.lane != s.groups[places[i-1].group].lane {
			lanes++
		}
		var mine []rollup.Bucket
		err := l.moving(func() error {
			var apart bool
			var err error
			mine, apart, err = l.placeBuckets(&n, g, p)
			exact = exact && apart
			return err
		})
		s.noteDamage(g.lane, &n)
		if err != nil {
			return nil, false, err
		}
		ends = ends || hasEnd(mine)
		if i == 0 {
			all = mine
			continue
		}
		var apart bool
		all, apart = rollup.Join(nil, all, mine)
		exact = exact && apart
	}
	// Whether a series is live in another lane, which may be silent for long, is not known of
	// buckets.
	if lanes > 1 && ends && l.plan.Use == rollup.UseLast && l.plan.Range == 0 {
		exact = false
	}
	return all, exact, nil
}

// hasEnd reports whether a series ends anywhere in a lane.
func hasEnd(buckets []rollup.Bucket) bool {
	live := false
	for i := range buckets {
		b := &buckets[i]
		if b.Stale || live && b.Count == 0 {
			return true
		}
		live = b.Count > 0
	}
	return false
}

// placeBuckets reads the buckets of a series in one place.
func (l *loader) placeBuckets(n *lane, g *group, p place) (buckets []rollup.Bucket, apart bool, err error) {
	all, _, err := l.stretches(n, l.plan)
	if err != nil {
		return nil, false, err
	}
	only := g.one(p.index)
	rows, err := l.fold(n, []*group{&only}, all)
	defer l.asideDone()
	if err != nil {
		return nil, false, err
	}
	err = l.eachColumn(n, &rows[0], all, l.plan.Tier, func(_ int, found []rollup.Bucket, disjoint bool) error {
		buckets, apart = slices.Clone(found), disjoint
		return nil
	})
	return buckets, apart, err
}

// moving tries what reads pieces of a lane again when these move.
func (l *loader) moving(do func() error) error {
	for try := 1; ; try++ {
		l.mint = l.window.mint
		l.before, l.kept = l.memory.mark(), 0
		err := do()
		if !errors.Is(err, ErrMoved) || try == tries {
			return err
		}
	}
}

// lookThrough reads the rows of a series, to warn of what is damaged: later nobody listens. They
// are read once more when its turn comes.
func (l *loader) lookThrough(s *seriesSet, places []place) error {
	for _, p := range places {
		g := &s.groups[p.group]
		if s.lanes[g.lane].rolled == nil {
			continue
		}
		only := g.one(p.index)
		again := s.lanes[g.lane].bare()
		again.groups = []*group{&only}
		plan := l.plan
		l.plan = nil
		err := l.lane(&again)
		l.plan = plan
		if err != nil {
			return err
		}
		s.noteDamage(g.lane, &again)
		l.drop(&again)
	}
	return nil
}

// bare is the lane without its groups, for one goroutine to read it again.
func (n *lane) bare() lane { return lane{source: n.source, stream: n.stream, shared: n.shared} }

// noteDamage notes what was found when a lane was read again.
func (s *seriesSet) noteDamage(number int32, again *lane) {
	if again.damaged {
		s.joining.Lock()
		defer s.joining.Unlock()
		s.lanes[number].damaged = true
	}
}
