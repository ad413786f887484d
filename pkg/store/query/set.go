package query

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/schemas"
)

// window is the time a selection is about, inclusive.
type window struct {
	mint, maxt model.Millis
	lookback   model.Millis
}

// earlier is t less by, which may be the beginning of all times.
func earlier(t, by model.Millis) model.Millis {
	if t < schemas.MinTime+by {
		return schemas.MinTime
	}
	return t - by
}

// seriesSet is a selection. It reads everything at the first Next: then it can say what was
// damaged while somebody listens.
type seriesSet struct {
	ctx      context.Context
	querier  *querier
	sorted   bool
	hints    *storage.SelectHints
	matchers []*labels.Matcher
	window   window

	lanes    []lane
	numbers  map[laneKey]int // of lanes; nil while there is one
	groups   []group
	series   []series
	again    again
	tiers    tiering
	joining  sync.Mutex // guards lane.damaged while series are joined
	at       int
	err      error
	warnings annotations.Annotations
}

// lane is a stream of a source, as far as it is selected.
type lane struct {
	source *schemas.Source
	stream model.StreamID
	groups []*group
	size   int // of groups
	// shared says that one of its series is in another lane too: it is then read from a
	// lookback earlier, to know whether the series was live.
	shared bool
	// rolled says how it was read, when it was from rollups.
	rolled []stretch
	// lazy says that its samples are too many to keep.
	lazy bool
	// damaged says that warnings were given.
	damaged bool
}

// before orders lanes by whose value counts.
func (n *lane) before(o *lane) bool {
	if n.stream != o.stream {
		return n.stream < o.stream
	}
	return n.source.Number() < o.source.Number()
}

// Next implements storage.SeriesSet.
func (s *seriesSet) Next() bool {
	if s.at < 0 && s.err == nil {
		s.err = s.fill()
	}
	if s.err != nil || s.at+1 >= len(s.series) {
		return false
	}
	s.at++
	return true
}

// At implements storage.SeriesSet.
func (s *seriesSet) At() storage.Series { return &s.series[s.at] }

// Err implements storage.SeriesSet.
func (s *seriesSet) Err() error { return s.err }

// Warnings implements storage.SeriesSet.
func (s *seriesSet) Warnings() annotations.Annotations { return s.warnings }

func (s *seriesSet) fill() error {
	if s.querier.closed.Load() {
		return errClosed
	}
	onlyNames := s.hints != nil && s.hints.Func == "series"
	from := s.window.mint
	if !onlyNames {
		// A lane that stopped just before may have a series that is live.
		from = earlier(from, s.window.lookback)
	}
	sel, err := s.querier.dictionary.Select(s.ctx, from, s.window.maxt, s.matchers...)
	if err != nil {
		return err
	}
	s.gatherGroups(sel)
	s.gatherSeries(sel)
	if onlyNames {
		return nil
	}
	return s.load()
}

type laneKey struct {
	source *schemas.Source
	stream model.StreamID
}

// gatherGroups finds the lanes of the groups.
func (s *seriesSet) gatherGroups(sel *schemas.Selection) {
	s.groups = make([]group, sel.Groups())
	var now laneKey
	number := -1
	for i, from := range sel.AllGroups() {
		if key := (laneKey{from.Source, from.Stream}); number < 0 || key != now {
			number, now = s.number(key), key
		}
		g := &s.groups[i]
		g.lane, g.part, g.columns = int32(number), from.Part, from.Columns
		g.chunks = g.first[:0]
		s.lanes[number].size++
	}
	places := make([]*group, len(s.groups))
	for i := range s.lanes {
		n := &s.lanes[i]
		n.groups, places = places[:0:n.size], places[n.size:]
	}
	for i := range s.groups {
		n := &s.lanes[s.groups[i].lane]
		n.groups = append(n.groups, &s.groups[i])
	}
}

// number finds a lane, or makes it.
func (s *seriesSet) number(key laneKey) int {
	if len(s.lanes) == 1 {
		s.numbers = map[laneKey]int{{s.lanes[0].source, s.lanes[0].stream}: 0}
	}
	number, known := s.numbers[key]
	if !known {
		number = len(s.lanes)
		s.lanes = append(s.lanes, lane{source: key.source, stream: key.stream})
		if number > 0 {
			s.numbers[key] = number
		}
	}
	return number
}

func (s *seriesSet) gatherSeries(sel *schemas.Selection) {
	most, shards, shard := 0, uint64(0), uint64(0)
	if s.hints != nil {
		most, shards, shard = s.hints.Limit, s.hints.ShardCount, s.hints.ShardIndex
	}
	s.series = make([]series, 0, sel.Len())
	for one := range sel.Series(s.sorted) {
		if shards > 0 && labels.StableHash(one.Labels)%shards != shard {
			continue
		}
		if most > 0 && len(s.series) == most {
			return
		}
		added := series{labels: one.Labels, set: s, place: placeOf(one.Places[0])}
		if len(one.Places) > 1 {
			added.places = s.placesOf(one.Places)
		}
		s.series = append(s.series, added)
	}
}

// place is where a series is.
type place struct{ group, index int32 }

func placeOf(p schemas.Place) place { return place{int32(p.Group), int32(p.Index)} }

func (s *seriesSet) placesOf(of []schemas.Place) []place {
	places := make([]place, len(of))
	first := s.groups[of[0].Group].lane
	shared := false
	for i, p := range of {
		places[i] = placeOf(p)
		shared = shared || s.groups[p.Group].lane != first
	}
	if shared {
		for _, p := range of {
			s.lanes[s.groups[p.Group].lane].shared = true
		}
	}
	return places
}

// newest tells a selection of an instant query outside of subqueries: its answer
// is the newest sample of each series.
func (s *seriesSet) newest() bool {
	h := s.hints
	return h != nil && h.Step == 0 && h.Range == 0 && s.window.maxt-s.window.mint <= s.window.lookback
}

// lanesEach is how many lanes a further goroutine must have to do.
const lanesEach = 16

// load reads all lanes.
func (s *seriesSet) load() error {
	q := s.querier
	view := q.source()
	workers := min(q.options.Parallel, runtime.GOMAXPROCS(0), 1+len(s.lanes)/lanesEach)
	loaders := make([]*loader, workers)
	joined := s.chooseTier(view)
	for i := range loaders {
		l := newLoader(s, view, newMemory(&q.pools))
		l.newest, l.plan = s.newest(), s.tiers.plan
		q.memories = append(q.memories, l.memory)
		loaders[i] = l
	}
	var next atomic.Int64
	work := func(l *loader) {
		for l.err == nil {
			i := int(next.Add(1)) - 1
			if i >= len(s.lanes) {
				return
			}
			if l.err = l.lane(&s.lanes[i]); l.err != nil {
				next.Store(int64(len(s.lanes)))
			}
		}
	}
	var others sync.WaitGroup
	for _, l := range loaders[1:] {
		others.Go(func() { work(l) })
	}
	work(loaders[0])
	others.Wait()
	s.joinAll(loaders, joined)
	var err error
	for _, l := range loaders {
		for _, w := range l.remarks() {
			s.warnings.Add(w)
		}
		for _, w := range l.warnings {
			s.warnings.Add(w)
		}
		if l.unsaid > 0 {
			s.warnings.Add(fmt.Errorf("query: %d more pieces of data are left out", l.unsaid))
		}
		if err == nil {
			err = l.err
		}
		l.done(&q.pools)
	}
	return err
}
