package query

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"

	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/schemas"
)

// lanesOf stores pieces that are written down as
//
//	STREAM[.WORKER]: VALUE@SECONDS ...
//
// in the order in which they come. The rows have one series, up. A value of "-" is absent,
// "x" a row of a schema without the series, "end" an end row.
func lanesOf(tb testing.TB, w *world, text ...string) {
	tb.Helper()
	up := w.part(model.Part{Collector: "a", Families: []model.Family{{Name: "up", Series: []model.Labels{nil}}}})
	other := w.part(model.Part{Collector: "b", Families: []model.Family{{Name: "other", Series: []model.Labels{nil}}}})
	for _, line := range text {
		name, rows, _ := strings.Cut(line, ":")
		stream, worker, _ := strings.Cut(name, ".")
		number, err := strconv.Atoi(stream)
		if err != nil {
			tb.Fatal(err)
		}
		clone, _ := strconv.Atoi(worker)
		lane := laneID{w.source(1+clone, "instance", "web"), model.StreamID(number)}
		var all []stored
		for _, field := range strings.Fields(rows) {
			value, at, _ := strings.Cut(field, "@")
			seconds, err := strconv.Atoi(at)
			if err != nil {
				tb.Fatal(err)
			}
			r := stored{at: model.Millis(1000 * seconds)}
			switch value {
			case "-":
				r.parts, r.values = []*schemas.Part{up}, []float64{model.Absent()}
			case "x":
				r.parts, r.values = []*schemas.Part{other}, []float64{0}
			case "end":
			default:
				v, err := strconv.ParseFloat(value, 64)
				if err != nil {
					tb.Fatal(err)
				}
				r.parts, r.values = []*schemas.Part{up}, []float64{v}
			}
			all = append(all, r)
		}
		w.store(lane, form(len(line)%3), all...)
	}
}

var isUp = labels.MustNewMatcher(labels.MatchEqual, labels.MetricName, "up")

// told is what a selection says of the series up, in the words of lanesOf.
func told(samples []sample) string {
	var b strings.Builder
	for _, s := range samples {
		v := fmt.Sprint(s.v)
		if model.IsAbsent(s.v) {
			v = "stale"
		}
		fmt.Fprintf(&b, " %s@%d", v, s.t/1000)
	}
	return strings.TrimSpace(b.String())
}

func TestWhatRowsMean(t *testing.T) {
	for _, c := range []struct {
		fact   string
		pieces []string
		mint   int // seconds
		want   string
	}{
		{"rows are samples", []string{"1: 1@0 2@15 3@30"}, 0, "1@0 2@15 3@30"},
		{"the first absent value ends a series", []string{"1: 1@0 -@15 -@30 4@45"}, 0, "1@0 stale@15 4@45"},
		{"so does a schema without it", []string{"1: 1@0 x@15 x@30 4@45"}, 0, "1@0 stale@15 4@45"},
		{"so does an end row", []string{"1: 1@0", "1: end@15", "1: 4@45"}, 0, "1@0 stale@15 4@45"},
		{"also when the rows are in pieces", []string{"1: 1@0", "1: x@15 x@30", "1: x@45 5@60"}, 0, "1@0 stale@15 5@60"},
		{"a lane that stops says nothing", []string{"1: 1@0 2@15"}, 0, "1@0 2@15"},
		{"a marker needs a sample in the window", []string{"1: 1@0 -@15 3@30"}, 1, "3@30"},
		{"and is cut with it", []string{"1: 1@0 2@15 -@30"}, 16, ""},
		{"pieces may come late", []string{"1: 3@30 4@45", "1: 1@0 2@15"}, 0, "1@0 2@15 3@30 4@45"},
		{"and lie between each other", []string{"1: 1@0 3@30 5@60", "1: 2@15 4@45"}, 0, "1@0 2@15 3@30 4@45 5@60"},
		{"of equal times the first stored counts", []string{"1: 1@0 2@15 3@30", "1: 8@15 9@45"}, 0, "1@0 2@15 3@30 9@45"},
		{"even if it has no value", []string{"1: 1@0 x@15 3@30", "1: 8@15"}, 0, "1@0 stale@15 3@30"},
		{"even if it is an end row", []string{"1: end@15", "1: 1@0 8@15 3@30"}, 0, "1@0 stale@15 3@30"},
		{"a late row moves a marker", []string{"1: 1@0 -@30", "1: -@15"}, 0, "1@0 stale@15"},
		{"lanes are merged", []string{"1: 1@0 3@30", "2: 2@15 4@45"}, 0, "1@0 2@15 3@30 4@45"},
		{"of equal times the lower stream counts", []string{"2: 8@0 9@15", "1: 1@0"}, 0, "1@0 9@15"},
		{"of clones the one that was here first", []string{"1.0: 1@0", "1.1: 8@0 9@15"}, 0, "1@0 9@15"},
		{"a value counts more than a marker", []string{"1: 1@0 -@15", "2: 8@15"}, 0, "1@0 8@15"},
		{"who lives in another lane does not end", []string{"1: 1@0 x@15", "2: 2@10 3@20"}, 0, "1@0 2@10 3@20"},
		{"but when that lane ends too", []string{"1: 1@0 x@15", "2: 2@10 3@20 x@30"}, 0, "1@0 2@10 3@20 stale@30"},
		{"a lane that fell silent does not live", []string{"1: 1@0 2@110 x@115", "2: 8@10"}, 0, "1@0 8@10 2@110 stale@115"},
		{"it lives to the last millisecond of the lookback", []string{"1: 1@0 2@105 x@109", "2: 8@10"}, 0, "1@0 8@10 2@105"},
		{"nor does it end anything when it goes on", []string{"1: 1@0 x@150", "2: 8@75 x@90"}, 0, "1@0 8@75"},
		{"also from before the window", []string{"1: 1@0 2@20 x@25", "2: 8@10"}, 15, "2@20"},
	} {
		w := newWorld(t)
		lanesOf(t, w, c.pieces...)
		q, err := w.queryable(func(o *Options) { o.Lookback = 100 * time.Second }).Querier(int64(c.mint)*1000, 1_000_000)
		if err != nil {
			t.Fatal(err)
		}
		if got := told(selected(t, q, true, nil, isUp)[`{__name__="up", instance="web"}`]); got != c.want {
			t.Errorf("%s: %q\n got %s\nwant %s", c.fact, c.pieces, got, c.want)
		}
		q.Close()
	}
}

func TestTheNewestRowAnswersInstantQueries(t *testing.T) {
	for _, c := range []struct {
		fact   string
		pieces []string
		at     int // seconds
		hints  storage.SelectHints
		want   string
		asked  bool // for pieces
	}{
		{fact: "its value", pieces: []string{"1: 1@0 2@15"}, at: 20, want: "2@15"},
		{fact: "nothing without a value", pieces: []string{"1: 1@0 -@15"}, at: 20},
		{fact: "nothing without the part", pieces: []string{"1: 1@0 x@15"}, at: 20},
		{fact: "nothing after an end row", pieces: []string{"1: 1@0", "1: end@15"}, at: 20},
		{fact: "not when it is later", pieces: []string{"1: 1@0 2@15"}, at: 14, want: "1@0", asked: true},
		{fact: "not when it is older", pieces: []string{"1: 1@0 2@15"}, at: 200, asked: true},
		{fact: "not for a range", pieces: []string{"1: 1@0 2@15"}, at: 20, hints: storage.SelectHints{Range: 1000}, want: "1@0 2@15", asked: true},
		{fact: "not for steps", pieces: []string{"1: 1@0 2@15"}, at: 20, hints: storage.SelectHints{Step: 1000}, want: "1@0 2@15", asked: true},
		{fact: "not for two lanes", pieces: []string{"1: 1@0 2@15", "2: 3@10"}, at: 20, want: "1@0 3@10 2@15", asked: true},
	} {
		w := newWorld(t)
		w.known = true
		lanesOf(t, w, c.pieces...)
		q, err := w.queryable(func(o *Options) { o.Lookback = 100 * time.Second }).Querier(-1_000_000, 1_000_000)
		if err != nil {
			t.Fatal(err)
		}
		c.hints.Start, c.hints.End = int64(c.at)*1000-100_000+1, int64(c.at)*1000
		got := told(selected(t, q, false, &c.hints, isUp)[`{__name__="up", instance="web"}`])
		if asked := w.asked.Load() > 0; got != c.want || asked != c.asked {
			t.Errorf("%s: %q\n got %s, asked for pieces: %v\nwant %s, %v", c.fact, c.pieces, got, asked, c.want, c.asked)
		}
		q.Close()
	}
}

func TestHintsOfASelection(t *testing.T) {
	w := newWorld(t)
	g := &gen{chooser: &bytesChooser{}, w: w, parts: catalog(w)}
	for i := range 4 {
		lane := laneID{w.source(i+1, "instance", fmt.Sprint("host", i)), 1}
		w.store(lane, inMemory, stored{start, []*schemas.Part{g.parts[0], g.parts[3]}, []float64{1, 2}})
	}
	q, err := w.queryable().Querier(start-1000, start+1000)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	count := func(hints *storage.SelectHints) (n int) {
		for set := q.Select(t.Context(), false, hints, everything); set.Next(); n++ {
		}
		return n
	}
	hints := storage.SelectHints{Start: start - 1000, End: start + 1000}
	if n := count(&hints); n != 8 {
		t.Errorf("%d series, want 8", n)
	}
	w.asked.Store(0)
	hints.Func = "series"
	if n := count(&hints); n != 8 || w.asked.Load() > 0 {
		t.Errorf("%d series, want 8; asked for pieces %d times, want never", n, w.asked.Load())
	}
	hints.Limit = 3
	if n := count(&hints); n != 3 {
		t.Errorf("%d series, want 3", n)
	}
	hints.Limit, hints.ShardCount = 0, 3
	sum := 0
	for hints.ShardIndex = range uint64(3) {
		sum += count(&hints)
	}
	if sum != 8 {
		t.Errorf("%d series in all shards, want 8", sum)
	}
	if n := count(&storage.SelectHints{Start: start + 2000, End: start + 3000}); n != 0 {
		t.Errorf("%d series outside of the querier's time", n)
	}
	names, _, err := q.LabelNames(t.Context(), nil)
	if err != nil || fmt.Sprint(names) != "[__name__ device instance]" {
		t.Errorf("names %v, %v", names, err)
	}
	values, _, err := q.LabelValues(t.Context(), "instance", &storage.LabelHints{Limit: 2}, everything)
	if err != nil || fmt.Sprint(values) != "[host0 host1]" {
		t.Errorf("values %v, %v", values, err)
	}
}
