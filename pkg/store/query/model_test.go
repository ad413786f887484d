package query

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/schemas"
)

// sample is what a query gives.
type sample struct {
	t int64
	v float64
}

func (s sample) String() string {
	if model.IsAbsent(s.v) {
		return fmt.Sprintf("stale@%d", s.t)
	}
	return fmt.Sprintf("%v@%d", s.v, s.t)
}

func (s sample) is(o sample) bool {
	return s.t == o.t && math.Float64bits(s.v) == math.Float64bits(o.v)
}

// truth says what all series are, written down from the rules of the package comment
// without a thought of speed.
func (w *world) truth(lookback int64) map[string][]sample {
	known, series := names{}, map[string]bool{}
	type perLane struct {
		id   laneID
		rows []stored
	}
	var lanes []perLane
	for _, id := range w.order {
		l := perLane{id, w.lanes[id].sorted()}
		lanes = append(lanes, l)
		for _, r := range l.rows {
			for _, p := range r.parts {
				for c := range p.Columns() {
					series[known.of(id.source, p, c)] = true
				}
			}
		}
	}
	slices.SortFunc(lanes, func(a, b perLane) int {
		if a.id.stream != b.id.stream {
			return int(a.id.stream) - int(b.id.stream)
		}
		return int(a.id.source.Number()) - int(b.id.source.Number())
	})
	all := map[string][]sample{}
	for name := range series {
		var in []history
		times := map[int64]bool{}
		for _, l := range lanes {
			var own history
			for _, r := range l.rows {
				own.add(r, known.valueOf(l.id.source, r, name))
				times[int64(r.at)] = true
			}
			in = append(in, own)
		}
		all[name] = merged(in, times, lookback)
	}
	return all
}

// history is a series in a lane: absent is an end.
type history struct {
	samples []sample
	sparse  bool
}

func (h *history) add(r stored, v float64) {
	if r.isSparse() {
		h.sparse = true
		if model.IsAbsent(v) {
			return
		}
		if model.IsEnded(v) {
			v = model.Absent()
		}
	} else if h.sparse {
		return // ends nothing
	}
	h.samples = append(h.samples, sample{int64(r.at), v})
}

// at returns the lane's last row at or before a time, and the one before that.
func (h *history) at(t int64) (now, before sample) {
	none := sample{math.MinInt64, model.Absent()}
	now, before = none, none
	for _, s := range h.samples {
		if s.t <= t {
			now, before = s, now
		}
	}
	return now, before
}

// merged merges the lanes of one series, of which the first counts most.
func merged(in []history, times map[int64]bool, lookback int64) (out []sample) {
	var order []int64
	for t := range times {
		order = append(order, t)
	}
	slices.Sort(order)
	told := int64(math.MinInt64) // when a sparse part told the end
	for _, t := range order {
		value, ended, live := model.Absent(), false, false
		for _, own := range in {
			if now, _ := own.at(t); own.sparse && now.t == t && model.IsAbsent(now.v) {
				told, ended = t, true
			}
		}
		for _, own := range in {
			now, before := own.at(t)
			switch {
			case now.t == t && !model.IsAbsent(now.v) && model.IsAbsent(value):
				value = now.v
			case now.t == t && model.IsAbsent(now.v):
				ended = ended || !model.IsAbsent(before.v) && t-before.t < lookback && !(own.sparse && told > before.t)
			case !model.IsAbsent(now.v) && t-now.t < lookback && !(own.sparse && told > now.t):
				live = true
			}
		}
		if !model.IsAbsent(value) || ended && !live {
			out = append(out, sample{t, value})
		}
	}
	return out
}

// within cuts samples to a window: markers stay when a sample precedes them directly, and is
// not older than the lookback.
func within(all []sample, mint, maxt int64) (out []sample) {
	for _, s := range all {
		if s.t < mint || s.t > maxt {
			continue
		}
		if model.IsAbsent(s.v) {
			if n := len(out); n == 0 || model.IsAbsent(out[n-1].v) || s.t-out[n-1].t >= lookback {
				continue
			}
		}
		out = append(out, s)
	}
	return out
}

func labelsOf(source *schemas.Source, p *schemas.Part, column int) labels.Labels {
	name, own := p.Column(column)
	b := labels.NewBuilder(labels.New(source.Labels()...))
	b.Set(labels.MetricName, name)
	for _, l := range own {
		b.Set(l.Name, l.Value)
	}
	return b.Labels()
}

// names remembers the names of columns.
type names map[nameKey]string

type nameKey struct {
	source *schemas.Source
	part   *schemas.Part
	column int
}

func (n names) of(source *schemas.Source, p *schemas.Part, column int) string {
	key := nameKey{source, p, column}
	if n[key] == "" {
		n[key] = labelsOf(source, p, column).String()
	}
	return n[key]
}

func (n names) valueOf(source *schemas.Source, r stored, name string) float64 {
	at := 0
	for _, p := range r.parts {
		for c := range p.Columns() {
			if n.of(source, p, c) == name {
				return r.values[at+c]
			}
		}
		at += p.Columns()
	}
	return model.Absent()
}

// selected reads all of a selection. Series without samples are left out.
func selected(tb testing.TB, q storage.Querier, sorted bool, hints *storage.SelectHints, matchers ...*labels.Matcher) map[string][]sample {
	tb.Helper()
	set := q.Select(tb.Context(), sorted, hints, matchers...)
	all := map[string][]sample{}
	var before labels.Labels
	var it chunkenc.Iterator
	for n := 0; set.Next(); n++ {
		s := set.At()
		if sorted && n > 0 && labels.Compare(before, s.Labels()) >= 0 {
			tb.Errorf("%v after %v", s.Labels(), before)
		}
		before = s.Labels()
		name := s.Labels().String()
		if _, twice := all[name]; twice {
			tb.Errorf("%s twice", name)
		}
		it = s.Iterator(it)
		if one := drained(tb, it); len(one) > 0 {
			all[name] = one
		}
	}
	if err := set.Err(); err != nil {
		tb.Fatal(err)
	}
	if w := set.Warnings(); len(w) > 0 {
		tb.Errorf("warnings: %v", w.AsErrors())
	}
	return all
}

func drained(tb testing.TB, it chunkenc.Iterator) (all []sample) {
	tb.Helper()
	for it.Next() == chunkenc.ValFloat {
		t, v := it.At()
		if it.AtT() != t {
			tb.Errorf("AtT %d, At %d", it.AtT(), t)
		}
		all = append(all, sample{t, v})
	}
	if err := it.Err(); err != nil {
		tb.Fatal(err)
	}
	return all
}

// differences compares a selection with the truth in a window.
func differences(got, truth map[string][]sample, mint, maxt int64) string {
	var b strings.Builder
	for name, all := range truth {
		want := within(all, mint, maxt)
		if !slices.EqualFunc(within(got[name], mint, maxt), want, sample.is) {
			fmt.Fprintf(&b, "%s from %d to %d:\n got %v\nwant %v\n of %v\n", name, mint, maxt, got[name], want, all)
		}
	}
	for name := range got {
		if _, known := truth[name]; !known {
			fmt.Fprintf(&b, "%s: there is none\n", name)
		}
	}
	return b.String()
}
