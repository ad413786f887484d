package crash

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// point is a sample as a query shows it: the bits of its value.
type point struct {
	at   model.Millis
	bits uint64
}

func (p point) String() string {
	if p.bits == value.StaleNaN {
		return fmt.Sprintf("%d: ends", p.at)
	}
	return fmt.Sprintf("%d: %v", p.at, math.Float64frombits(p.bits))
}

// queries demands that a query shows what is stored, and where series end.
func (j *judgement) queries() {
	if j.fails > 0 || j.found.vague {
		return
	}
	got, err := j.query()
	if err != nil {
		j.fail("query: %v", err)
		return
	}
	want := j.series()
	if j.plan.forgets { // what ends in time may have begun too early
		trim(got)
		trim(want)
	}
	for name, points := range want {
		if !slices.Equal(got[name], points) {
			j.fail("%s: %s", name, difference(got[name], points))
			return
		}
	}
	for name, points := range got {
		if want[name] == nil {
			j.fail("%s: got %v, want nothing", name, points)
			return
		}
	}
}

// trim takes ends away that nothing comes before.
func trim(all map[string][]point) {
	for name, points := range all {
		for len(points) > 0 && points[0].bits == value.StaleNaN {
			points = points[1:]
		}
		if all[name] = points; len(points) == 0 {
			delete(all, name)
		}
	}
}

func difference(got, want []point) string {
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			return fmt.Sprintf("%d points, want %d: the first that is missing is %v", len(got), len(want), want[i])
		case i >= len(want):
			return fmt.Sprintf("%d points, want %d: the first that is too much is %v", len(got), len(want), got[i])
		case got[i] != want[i]:
			return fmt.Sprintf("point %d of %d is %v, want %v", i, len(got), got[i], want[i])
		}
	}
	return ""
}

// series works out what queries have to show: the rows of each stream by time. A series
// that had a value and has none in the next row ends there.
func (j *judgement) series() map[string][]point {
	rows := map[model.StreamID][]rowKey{}
	for key := range j.found.rows {
		rows[key.stream] = append(rows[key.stream], key)
	}
	for key := range j.found.ends {
		if j.found.rows[key] == 0 {
			rows[key.stream] = append(rows[key.stream], key)
		}
	}
	all, oldest := map[string][]point{}, j.oldest()
	for _, keys := range rows {
		slices.SortFunc(keys, func(a, b rowKey) int { return int(a.at - b.at) })
		live := map[string]bool{}
		for _, key := range keys {
			now := map[string]uint64{}
			if f := j.books.byRow[key]; f != nil && j.found.rows[key] > 0 {
				f.each(func(name string, v float64) {
					if !model.IsAbsent(v) {
						now[name] = math.Float64bits(v)
					}
				})
			}
			for name := range live {
				if _, has := now[name]; !has {
					if key.at >= oldest {
						all[name] = append(all[name], point{key.at, value.StaleNaN})
					}
					delete(live, name)
				}
			}
			for name, bits := range now {
				if key.at >= oldest {
					all[name] = append(all[name], point{key.at, bits})
				}
				live[name] = true
			}
		}
	}
	return all
}

// each visits the columns of a row.
func (f *sampled) each(visit func(name string, v float64)) {
	at := 0
	for _, p := range f.shape.parts {
		for _, family := range p.Families {
			for _, series := range family.Series {
				visit(family.Name+"/"+series.Get("i"), f.row[at])
				at++
			}
		}
	}
}

func (j *judgement) query() (map[string][]point, error) {
	q, err := j.collector.now.store.Queryable().Querier(int64(j.oldest()), math.MaxInt64/4)
	if err != nil {
		return nil, err
	}
	defer q.Close()
	set := q.Select(context.Background(), true, nil, labels.MustNewMatcher(labels.MatchEqual, "instance", j.worker.name))
	all := map[string][]point{}
	for set.Next() {
		series := set.At()
		name := series.Labels().Get(labels.MetricName) + "/" + series.Labels().Get("i")
		it := series.Iterator(nil)
		for it.Next() == chunkenc.ValFloat {
			at, v := it.At()
			all[name] = append(all[name], point{model.Millis(at), math.Float64bits(v)})
		}
		if it.Err() != nil {
			return nil, it.Err()
		}
	}
	if warnings := set.Warnings(); len(warnings) > 0 {
		return nil, fmt.Errorf("%v", warnings)
	}
	return all, set.Err()
}
