package store_test

import (
	"cmp"
	"maps"
	"slices"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// reference says what the store has to hold. It is written from the rules of the package
// comment of store/query, without a thought of speed, and knows nothing of how the store works.
type reference struct {
	sources map[sourceKey]*refSource
	lanes   map[laneKey]*refLane
	fed     []fed
}

type sourceKey struct {
	worker model.WorkerID
	labels string
}

// refSource is a worker under one set of labels.
type refSource struct {
	key    sourceKey
	labels labels.Labels
	number int // which one it was to come
}

type laneKey struct {
	source sourceKey
	stream model.StreamID
}

// refLane is a stream of a source. Of rows of one time it keeps the one that was stored first.
type refLane struct {
	source *refSource
	stream model.StreamID
	rows   map[model.Millis]refRow
	newest model.Millis
}

// refRow is a row; an end row has no layout.
type refRow struct {
	layout *layout
	values []float64
}

// sample is a sample of a series; a marker has the value model.Absent.
type sample struct {
	at int64
	v  float64
}

// trueSeries is a series as it has to be.
type trueSeries struct {
	labels  labels.Labels
	samples []sample
}

func newReference() *reference {
	return &reference{sources: map[sourceKey]*refSource{}, lanes: map[laneKey]*refLane{}}
}

// open notes a session: what the worker has under other labels ends.
func (r *reference) open(worker model.WorkerID, of labels.Labels) *refSource {
	key := sourceKey{worker, of.String()}
	source := r.sources[key]
	if source == nil {
		source = &refSource{key, of, len(r.sources) + 1}
		r.sources[key] = source
	}
	for _, other := range r.of(worker) {
		if other != source {
			r.end(other, 0)
		}
	}
	return source
}

// of are the sources of a worker, as they came.
func (r *reference) of(worker model.WorkerID) (all []*refSource) {
	for _, s := range r.sources {
		if s.key.worker == worker {
			all = append(all, s)
		}
	}
	slices.SortFunc(all, func(a, b *refSource) int { return a.number - b.number })
	return all
}

// store notes a row.
func (r *reference) store(source *refSource, stream model.StreamID, at model.Millis, row refRow) {
	key := laneKey{source.key, stream}
	l := r.lanes[key]
	if l == nil {
		l = &refLane{source: source, stream: stream, rows: map[model.Millis]refRow{}}
		r.lanes[key] = l
	}
	if _, taken := l.rows[at]; !taken {
		l.rows[at] = row
		l.newest = max(l.newest, at)
	}
}

// end ends the lanes of a source that are live, not before the newest of their rows.
func (r *reference) end(source *refSource, at model.Millis) {
	var live []*refLane
	for _, l := range r.lanes {
		if l.source == source && l.rows[l.newest].layout != nil {
			live = append(live, l)
			at = max(at, l.newest+1)
		}
	}
	for _, l := range live {
		r.store(source, l.stream, at, refRow{})
	}
}

// stale notes that a worker is gone.
func (r *reference) stale(worker model.WorkerID, at model.Millis) {
	for _, s := range r.of(worker) {
		r.end(s, at)
	}
}

// event is what happens to a series in a lane: a value, or the first row that has none.
type event struct {
	at   int64
	lane int
	v    float64
}

// timelines are the events of many series.
type timelines struct {
	numbers map[string]int
	labels  []labels.Labels
	events  [][]event
}

// truth says what all series are, sorted by labels.
func (r *reference) truth() []trueSeries {
	lanes := slices.SortedFunc(maps.Values(r.lanes), func(a, b *refLane) int {
		return cmp.Or(cmp.Compare(a.stream, b.stream), cmp.Compare(a.source.number, b.source.number))
	})
	t := timelines{numbers: map[string]int{}}
	for i, l := range lanes {
		t.add(i, l)
	}
	all := r.fedSeries()
	for i, own := range t.events {
		if samples := merged(own, len(lanes)); len(samples) > 0 {
			all = append(all, trueSeries{t.labels[i], samples})
		}
	}
	slices.SortFunc(all, func(a, b trueSeries) int { return labels.Compare(a.labels, b.labels) })
	return all
}

// add goes through the rows of a lane in order of time.
func (t *timelines) add(number int, l *refLane) {
	names := map[*layout][]int{}
	live := map[int]bool{}
	var before *layout
	for _, at := range slices.Sorted(maps.Keys(l.rows)) {
		row := l.rows[at]
		var series []int
		if row.layout != nil {
			if names[row.layout] == nil {
				names[row.layout] = t.seriesOf(l.source, row.layout)
			}
			series = names[row.layout]
		}
		set := func(s int, v float64) {
			if !model.IsAbsent(v) || live[s] {
				t.events[s] = append(t.events[s], event{int64(at), number, v})
			}
			live[s] = !model.IsAbsent(v)
		}
		if row.layout != before { // what has left the schema
			for s, is := range live {
				if is && !slices.Contains(series, s) {
					set(s, model.Absent())
				}
			}
		}
		for column, s := range series {
			set(s, row.values[column])
		}
		before = row.layout
	}
}

func (t *timelines) seriesOf(source *refSource, l *layout) (series []int) {
	for _, c := range l.columns {
		b := labels.NewBuilder(source.labels)
		b.Set(labels.MetricName, c.name)
		for _, own := range c.labels {
			b.Set(own.Name, own.Value)
		}
		of := b.Labels()
		name := of.String()
		number, known := t.numbers[name]
		if !known {
			number = len(t.labels)
			t.numbers[name] = number
			t.labels, t.events = append(t.labels, of), append(t.events, nil)
		}
		series = append(series, number)
	}
	return series
}

// merged makes one timeline of what happens to a series in all lanes. Of equal times any value
// wins over a marker, and the lane with the lower number over others. There is a marker
// only when the series is live in no other lane.
func merged(events []event, lanes int) (all []sample) {
	slices.SortStableFunc(events, func(a, b event) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.lane, b.lane))
	})
	last := make([]int64, lanes)
	live := make([]bool, lanes)
	lives := func(lane int, at int64) bool { return live[lane] && at-last[lane] < lookback.Milliseconds() }
	for i := 0; i < len(events); {
		at, value, ended := events[i].at, model.Absent(), false
		for ; i < len(events) && events[i].at == at; i++ {
			e := events[i]
			if model.IsAbsent(e.v) {
				ended = ended || lives(e.lane, at)
				live[e.lane] = false
				continue
			}
			live[e.lane], last[e.lane] = true, at
			if model.IsAbsent(value) {
				value = e.v
			}
		}
		if model.IsAbsent(value) {
			for lane := range lanes {
				ended = ended && !lives(lane, at)
			}
			if !ended {
				continue
			}
		}
		all = append(all, sample{at, value})
	}
	return all
}
