package query

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
)

func newEngine(lookback time.Duration) *promql.Engine {
	return promql.NewEngine(promql.EngineOpts{
		MaxSamples: 10_000_000, Timeout: time.Minute, LookbackDelta: lookback,
		EnableAtModifier: true, EnableNegativeOffset: true,
		NoStepSubqueryIntervalFn: func(int64) int64 { return 10_000 },
		Parser:                   parser.NewParser(parser.Options{EnableExperimentalFunctions: true, EnableExtendedRangeSelectors: true}),
	})
}

// oracle is a Prometheus database with the true samples of a world.
func oracle(tb testing.TB, truth map[string][]sample) *tsdb.DB {
	tb.Helper()
	options := tsdb.DefaultOptions()
	options.RetentionDuration = math.MaxInt64
	db, err := tsdb.Open(tb.TempDir(), nil, nil, options, nil)
	if err != nil {
		tb.Fatal(err)
	}
	db.DisableCompactions()
	tb.Cleanup(func() { db.Close() })
	app := db.Appender(context.Background())
	parse := parser.NewParser(parser.Options{})
	for name, samples := range truth {
		ls, err := parse.ParseMetric(name)
		if err != nil {
			tb.Fatal(err)
		}
		for _, s := range samples {
			if _, err := app.Append(0, ls, s.t, s.v); err != nil {
				tb.Fatal(err)
			}
		}
	}
	if err := app.Commit(); err != nil {
		tb.Fatal(err)
	}
	return db
}

// expressions are asked of both, with times in and around the data.
func expressions(c chooser) (all []string) {
	selectors := []string{
		`reads`, `reads{device="a"}`, `reads{device=~"b|c"}`, `free`, `busy{instance="host0"}`, `temperature`,
		`{__name__=~".+"}`, `{job="node",device!=""}`, `reads{instance!~"host1"}`, `{__name__=~"reads|busy",device=~"a|0"}`, `result`,
	}
	selector := func() string { return selectors[c.IntN(len(selectors))] }
	duration := func() string { return fmt.Sprintf("%ds", 1+c.IntN(300)) }
	shift := func() string {
		switch c.IntN(5) {
		case 0:
			return fmt.Sprintf(" offset %s", duration())
		case 1:
			return fmt.Sprintf(" offset -%s", duration())
		case 2:
			return fmt.Sprintf(" @ %d", start/1000+c.IntN(400))
		case 3:
			return " @ end()"
		}
		return ""
	}
	for _, f := range []string{"rate", "increase", "delta", "idelta", "irate", "changes", "resets", "deriv", "count_over_time", "sum_over_time",
		"avg_over_time", "min_over_time", "max_over_time", "last_over_time", "first_over_time", "present_over_time", "stddev_over_time", "mad_over_time", "ts_of_last_over_time"} {
		all = append(all, fmt.Sprintf("%s(%s[%s]%s)", f, selector(), duration(), shift()))
	}
	for _, f := range []string{"%s", "-%s", "abs(%s)", "timestamp(%s)", "absent(%s)", "count(%s)", "count by (__name__, instance) (%s)", "group by (device) (%s)",
		"sum without (device) (%s)", "max by (instance) (%s)", "count_values(\"v\", topk(2, %s))", "count_values by (instance) (\"v\", bottomk by (instance) (1, %s))", "count_values(\"v\", %s)", "quantile(0.5, %s)",
		"sort_by_label(%s, \"instance\", \"device\")", "%s > 5", "%s unless on(instance) free", "%s and on(instance, device) reads", "%s or free",
		"sum(%s) + count(free)", "last_over_time(%s[40s:7s])", "max_over_time(%s[2m:])", "sum_over_time(timestamp(%s)[1m:9s])", "%s anchored", "%s smoothed"} {
		if f == "%s anchored" || f == "%s smoothed" {
			all = append(all, fmt.Sprintf("rate("+selector()+"[%s] "+f[3:]+")", duration()))
			continue
		}
		all = append(all, fmt.Sprintf(f, selector()+shift()))
	}
	return append(all, "free * on(instance) group_right() reads", "busy / ignoring(device) group_left free", "reads smoothed",
		"sum by (instance) (rate(busy[1m])) / count by (instance) (busy)", "absent_over_time(reads{device=\"z\"}[1m])", "free == bool 4", "scalar(free{instance=\"host0\"})")
}

func TestQueriesAnswerAsPrometheusDoes(t *testing.T) {
	const look = 100 * time.Second
	engine := newEngine(look)
	for seed := range uint64(25) {
		r := rand.New(rand.NewPCG(seed, 5))
		w := randomWorld(t, r)
		w.known = seed%2 == 0
		ours := w.queryable(func(o *Options) {
			o.Lookback = look
			if r.IntN(4) == 0 {
				o.Memory = 1
			}
		})
		theirs := oracle(t, w.truth(lookback))
		for _, e := range expressions(r) {
			ends := []time.Time{time.UnixMilli(start + r.Int64N(700_000))}
			if newest, some := w.newest(); some {
				ends = append(ends, time.UnixMilli(newest+r.Int64N(50_000)))
			}
			for _, end := range ends {
				compare(t, engine, ours, theirs, e, end, end, 0)
			}
			from := time.UnixMilli(start + r.Int64N(500_000) - 100_000)
			compare(t, engine, ours, theirs, e, from, from.Add(time.Duration(r.IntN(400))*time.Second), time.Duration(1+r.IntN(60))*time.Second)
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// newest is the time of the newest row of a lane.
func (w *world) newest() (at int64, some bool) {
	for _, l := range w.lanes {
		for t := range l {
			at, some = max(at, int64(t)), true
		}
		break
	}
	return at, some
}

func compare(tb testing.TB, engine *promql.Engine, ours, theirs storage.Queryable, e string, from, to time.Time, step time.Duration) {
	tb.Helper()
	got, done := evaluate(tb, engine, ours, e, from, to, step)
	defer done()
	want, done := evaluate(tb, engine, theirs, e, from, to, step)
	defer done()
	if fmt.Sprint(got.Err) != fmt.Sprint(want.Err) || !sameValue(got.Value, want.Value) {
		tb.Errorf("%s from %d to %d, step %v\n got %v\nwant %v", e, from.UnixMilli(), to.UnixMilli(), step, got, want)
	}
}

func evaluate(tb testing.TB, engine *promql.Engine, q storage.Queryable, e string, from, to time.Time, step time.Duration) (*promql.Result, func()) {
	tb.Helper()
	var query promql.Query
	var err error
	if step == 0 {
		query, err = engine.NewInstantQuery(tb.Context(), q, nil, e, from)
	} else {
		query, err = engine.NewRangeQuery(tb.Context(), q, nil, e, from, to, step)
	}
	if err != nil {
		tb.Fatalf("%s: %v", e, err)
	}
	return query.Exec(tb.Context()), query.Close
}

// sameValue compares answers whose series may be in another order. Sums of the same values in
// another order may differ in the last digits.
func sameValue(a, b parser.Value) bool {
	x, y := matrixOf(a), matrixOf(b)
	return slices.EqualFunc(x, y, func(a, b promql.Series) bool {
		return labels.Equal(a.Metric, b.Metric) && slices.EqualFunc(a.Floats, b.Floats, func(p, q promql.FPoint) bool {
			return p.T == q.T && (p.F == q.F || math.IsNaN(p.F) && math.IsNaN(q.F) || math.Abs(p.F-q.F) <= 1e-12*math.Abs(q.F))
		})
	})
}

func matrixOf(v parser.Value) (m promql.Matrix) {
	switch v := v.(type) {
	case promql.Matrix:
		m = v
	case promql.Vector:
		for _, s := range v {
			m = append(m, promql.Series{Metric: s.Metric, Floats: []promql.FPoint{{T: s.T, F: s.F}}})
		}
	case promql.Scalar:
		m = promql.Matrix{{Floats: []promql.FPoint{{T: v.T, F: v.V}}}}
	}
	slices.SortFunc(m, func(a, b promql.Series) int { return labels.Compare(a.Metric, b.Metric) })
	return m
}
