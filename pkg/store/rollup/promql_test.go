package rollup

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// sample is one of a list that storage.NewListSeries takes.
type sample struct {
	t int64
	v float64
}

func (s sample) T() int64                      { return s.t }
func (s sample) ST() int64                     { return 0 }
func (s sample) F() float64                    { return s.v }
func (s sample) H() *histogram.Histogram       { return nil }
func (s sample) FH() *histogram.FloatHistogram { return nil }
func (s sample) Type() chunkenc.ValueType      { return chunkenc.ValFloat }
func (s sample) Copy() chunks.Sample           { return s }

func listed(t []int64, v []float64, mint, maxt int64) (list []chunks.Sample) {
	for i, at := range t {
		if at >= mint && at <= maxt {
			list = append(list, sample{at, v[i]})
		}
	}
	return list
}

// line is a series: raw, and as the tiers have it.
type line struct {
	labels labels.Labels
	t      []int64
	v      []float64
	tiers  map[Tier][]Bucket
}

// shelf is a storage of lines. With tiers it answers from these where it may.
type shelf struct {
	lines   []line
	tiers   bool
	emitter Emitter
	// What was done.
	rolled, refused int
	emitted, kept   int // samples of the rolled ones, and how many they stand for
}

func (s *shelf) Querier(mint, maxt int64) (storage.Querier, error) { return querier{s}, nil }

type querier struct{ *shelf }

func (querier) LabelValues(context.Context, string, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

func (querier) LabelNames(context.Context, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

func (querier) Close() error { return nil }

func (q querier) Select(ctx context.Context, _ bool, h *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	plan, planned := Plan{}, false
	if asked, ok := AskedIn(ctx); q.tiers && ok {
		plan, planned = Choose(h, asked)
	}
	var found []storage.Series
lines:
	for _, l := range q.lines {
		for _, m := range matchers {
			if !m.Matches(l.labels.Get(m.Name)) {
				continue lines
			}
		}
		found = append(found, storage.NewListSeries(l.labels, q.samples(&l, h, plan, planned)))
	}
	return &set{found, -1}
}

func (q querier) samples(l *line, h *storage.SelectHints, plan Plan, planned bool) []chunks.Sample {
	raw := listed(l.t, l.v, h.Start, h.End)
	if !planned {
		return raw
	}
	var wanted []Bucket
	for _, b := range l.tiers[plan.Tier] {
		if b.At >= plan.From && b.At <= plan.To {
			wanted = append(wanted, b)
		}
	}
	t, v, exact := q.emitter.Emit(nil, nil, &plan, wanted)
	for i := 1; i < len(t); i++ {
		if t[i] <= t[i-1] {
			panic(fmt.Sprintf("%+v: %v does not rise", plan, t))
		}
	}
	if !exact {
		q.refused++
		return raw
	}
	q.rolled++
	q.emitted += len(t)
	q.kept += len(raw)
	return listed(t, v, math.MinInt64, math.MaxInt64)
}

type set struct {
	series []storage.Series
	at     int
}

func (s *set) Next() bool                        { s.at++; return s.at < len(s.series) }
func (s *set) At() storage.Series                { return s.series[s.at] }
func (s *set) Err() error                        { return nil }
func (s *set) Warnings() annotations.Annotations { return nil }

// newShelf has the series of a world, each from blocks of up to so many rows.
func newShelf(t testing.TB, w world, most int) *shelf {
	s := &shelf{}
	reader := NewReader()
	minutes, hours := w.build(t, Minute, most), w.build(t, Hour, most)
	for part := range w.parts {
		for c := range scales {
			l := line{labels: labels.FromStrings("__name__", fmt.Sprintf("m%d_total", c), "part", fmt.Sprint(part)), tiers: map[Tier][]Bucket{}}
			l.t, l.v = w.series(part, c)
			if len(l.t) == 0 {
				continue
			}
			l.tiers[Minute] = buckets(t, reader, Minute, minutes, w.parts[part].ID, c)
			l.tiers[Hour] = buckets(t, reader, Hour, hours, w.parts[part].ID, c)
			s.lines = append(s.lines, l)
		}
	}
	return s
}

const lookback = 5 * time.Minute

func newEngine() (*promql.Engine, parser.Parser) {
	parse := parser.NewParser(parser.Options{})
	return promql.NewEngine(promql.EngineOpts{
		MaxSamples: 50_000_000, Timeout: time.Hour, LookbackDelta: lookback,
		EnableAtModifier: true, EnableNegativeOffset: true, Parser: parse,
		NoStepSubqueryIntervalFn: func(int64) int64 { return time.Minute.Milliseconds() },
	}), parse
}

// question is a query and when it is asked. Step 0: an instant query.
type question struct {
	expr       string
	start, end model.Millis
	step       model.Millis
	lookback   time.Duration
}

func (q question) ask(t testing.TB, engine *promql.Engine, parse parser.Parser, s *shelf) *promql.Result {
	t.Helper()
	expr, err := parse.ParseExpr(q.expr)
	if err != nil {
		t.Fatalf("%s: %v", q.expr, err)
	}
	ctx := AskedBy(expr, q.lookback).Context(t.Context())
	opts := promql.NewPrometheusQueryOpts(false, q.lookback)
	var query promql.Query
	if q.step == 0 {
		query, err = engine.NewInstantQuery(ctx, s, opts, q.expr, time.UnixMilli(int64(q.start)))
	} else {
		query, err = engine.NewRangeQuery(ctx, s, opts, q.expr, time.UnixMilli(int64(q.start)), time.UnixMilli(int64(q.end)), time.Duration(q.step)*time.Millisecond)
	}
	if err != nil {
		t.Fatalf("%s: %v", q.expr, err)
	}
	defer query.Close()
	got := query.Exec(ctx)
	return copied(got)
}

// copied is a result that outlives its query.
func copied(r *promql.Result) *promql.Result {
	c := &promql.Result{Value: r.Value, Err: r.Err}
	if m, ok := r.Value.(promql.Matrix); ok {
		list := promql.Matrix{}
		for _, s := range m {
			s.Floats = append([]promql.FPoint(nil), s.Floats...)
			list = append(list, s)
		}
		c.Value = list
	}
	return c
}

// differ tells where two results are not the same, bit by bit; NaN is NaN.
func differ(got, want *promql.Result) string {
	if fmt.Sprint(got.Err) != fmt.Sprint(want.Err) {
		return fmt.Sprintf("got error %v, want %v", got.Err, want.Err)
	}
	a, b := points(got), points(want)
	for key, w := range b {
		g, ok := a[key]
		if !ok || !alikeNaN(g, w) {
			return fmt.Sprintf("%s: got %v (%v), want %v", key, g, ok, w)
		}
	}
	for key, g := range a {
		if _, ok := b[key]; !ok {
			return fmt.Sprintf("%s: got %v, want nothing", key, g)
		}
	}
	return ""
}

func points(r *promql.Result) map[string]float64 {
	all := map[string]float64{}
	switch v := r.Value.(type) {
	case promql.Vector:
		for _, s := range v {
			all[fmt.Sprint(s.Metric, s.T)] = s.F
		}
	case promql.Matrix:
		for _, s := range v {
			for _, p := range s.Floats {
				all[fmt.Sprint(s.Metric, p.T)] = p.F
			}
		}
	}
	return all
}

// ranged are functions of range vectors; the first ones are answered from tiers.
var ranged = []string{
	"rate", "increase", "delta", "min_over_time", "max_over_time", "last_over_time", "sum_over_time",
	"present_over_time", "resets", "absent_over_time",
	"avg_over_time", "count_over_time", "stddev_over_time", "changes", "irate", "idelta", "deriv",
}

var plain = []string{
	"%s", "sum by (part) (%s)", "timestamp(%s)", "abs(%s)", "-%s", "max(%s)", "count(%s)", "topk(2, %s)", "absent(%s)", "%s > 5",
}

func pick[T any](r *rand.Rand, list ...T) T { return list[r.IntN(len(list))] }

// newQuestion is about times from start to end.
func newQuestion(r *rand.Rand, start, end model.Millis) question {
	q := question{lookback: lookback}
	if r.IntN(6) == 0 {
		q.lookback = pick(r, time.Minute, 270*time.Second, time.Hour, 90*time.Minute)
	}
	grid := model.Millis(pick(r, 3_600_000, 60_000, 60_000, 300_000, 30_000, 1))
	at := func() model.Millis { t := start + model.Millis(r.Int64N(int64(end-start))); return t - t%grid }
	q.start, q.end = at(), at()
	if q.start > q.end {
		q.start, q.end = q.end, q.start
	}
	if r.IntN(3) > 0 {
		q.step = pick[model.Millis](r, 60_000, 60_000, 120_000, 300_000, 3_600_000, 7_200_000, 15_000, 77_000)
		if q.start == q.end {
			q.end += q.step
		}
	}
	selector := pick(r, `{__name__=~"m._total"}`, `{__name__=~"m._total",part="0"}`, `{__name__=~"m[0-6]_total"}`, "m2_total", "m3_total", "m4_total", "m7_total")
	offset := pick(r, "", "", "", "", " offset 5m", " offset 1h", " offset 30s", " offset -2m", " offset 7s")
	pin := ""
	if r.IntN(8) == 0 {
		pin = fmt.Sprintf(" @ %d", at()/1000)
	}
	width := pick(r, "1m", "2m", "5m", "10m", "1h", "3h", "1d", "90s", "30s")
	if r.IntN(3) == 0 {
		q.expr = fmt.Sprintf(pick(r, plain...), selector+pin+offset)
	} else {
		q.expr = fmt.Sprintf("%s(%s[%s]%s%s)", pick(r, ranged[:10]...), selector, width, pin, offset)
		if r.IntN(5) == 0 {
			q.expr = fmt.Sprintf("%s(%s[%s]%s%s)", pick(r, ranged...), selector, width, pin, offset)
		}
	}
	switch r.IntN(8) {
	case 0:
		q.expr = fmt.Sprintf("max_over_time((%s)[%s:%s]%s)", q.expr, pick(r, "10m", "1h", "3h"), pick(r, "1m", "5m", "30s", "1h", ""), offset)
	case 1:
		q.expr = fmt.Sprintf("(%s) + on (__name__, part) max_over_time((m2_total offset 30s)[10m:1m])", q.expr)
	}
	return q
}

// askAround asks a random lane of so many rows questions, of raw samples and of tiers.
func askAround(t *testing.T, engine *promql.Engine, parse parser.Parser, seed uint64, rows, questions int) *shelf {
	r := rand.New(rand.NewPCG(seed, 2))
	every := pick[model.Millis](r, 1000, 5000, 15_000, 15_000, 60_000, 40_000)
	start := 1_700_000_000_000 + model.Millis(r.IntN(5_000_000))
	w := newWorld(r, start, every, rows)
	s := newShelf(t, w, 1+r.IntN(len(w.rows)))
	end := w.rows[len(w.rows)-1].at
	for range questions {
		q := newQuestion(r, start-600_000, end+600_000)
		s.tiers = false
		want := q.ask(t, engine, parse, s)
		s.tiers = true
		got := q.ask(t, engine, parse, s)
		if d := differ(got, want); d != "" {
			t.Fatalf("seed %d, %v to %v by %v, lookback %v: %s\n%s", seed, q.start, q.end, q.step, q.lookback, q.expr, d)
		}
	}
	return s
}

func TestPromQLGivesTheSame(t *testing.T) {
	engine, parse := newEngine()
	rolled, refused, emitted, kept := 0, 0, 0, 0
	worlds := fewer(8)
	for seed := range worlds {
		s := askAround(t, engine, parse, seed, 2000, 120)
		rolled, refused, emitted, kept = rolled+s.rolled, refused+s.refused, emitted+s.emitted, kept+s.kept
	}
	t.Logf("%d series from tiers, %d refused; %d samples for %d", rolled, refused, emitted, kept)
	if rolled < int(worlds)*100 || refused == 0 {
		t.Errorf("%d series from tiers, %d refused: the test tests nothing", rolled, refused)
	}
}
