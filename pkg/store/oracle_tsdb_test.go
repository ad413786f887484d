package store_test

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"

	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/rollup"
)

// prometheus is a database of Prometheus with what the reference says.
func prometheus(tb testing.TB, truth []trueSeries) storage.Queryable {
	tb.Helper()
	options := tsdb.DefaultOptions()
	options.RetentionDuration = math.MaxInt64
	options.OutOfOrderTimeWindow = math.MaxInt64 / 2
	options.WALSegmentSize = -1
	db, err := tsdb.Open(tb.TempDir(), nil, nil, options, nil)
	if err != nil {
		tb.Fatal(err)
	}
	db.DisableCompactions()
	tb.Cleanup(func() { db.Close() })
	for from := 0; from < len(truth); from += 50 {
		app := db.Appender(context.Background())
		for _, one := range truth[from:min(from+50, len(truth))] {
			ref := storage.SeriesRef(0)
			for _, s := range one.samples {
				if ref, err = app.Append(ref, one.labels, s.at, s.v); err != nil {
					tb.Fatalf("prometheus: %v at %d: %v", one.labels, s.at, err)
				}
			}
		}
		if err := app.Commit(); err != nil {
			tb.Fatal(err)
		}
	}
	return db
}

// inOrder is a queryable whose series come in order of labels: what the engine adds up
// depends on it in the last digit. It sorts itself, or has it done by the storage.
type inOrder struct {
	storage.Queryable
	itself bool
}

// Querier implements storage.Queryable.
func (o inOrder) Querier(mint, maxt int64) (storage.Querier, error) {
	q, err := o.Queryable.Querier(mint, maxt)
	return orderedQuerier{q, o.itself}, err
}

type orderedQuerier struct {
	storage.Querier
	itself bool
}

// Select implements storage.Querier.
func (q orderedQuerier) Select(ctx context.Context, _ bool, hints *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	if !q.itself {
		return q.Querier.Select(ctx, true, hints, matchers...)
	}
	return &sortedSet{SeriesSet: q.Querier.Select(ctx, false, hints, matchers...)}
}

// sortedSet sorts what comes out of a set.
type sortedSet struct {
	storage.SeriesSet
	read   bool
	series []storage.Series
}

// Next implements storage.SeriesSet.
func (s *sortedSet) Next() bool {
	if s.read {
		s.series = s.series[min(1, len(s.series)):]
		return len(s.series) > 0
	}
	s.read = true
	for s.SeriesSet.Next() {
		s.series = append(s.series, s.SeriesSet.At())
	}
	slices.SortFunc(s.series, func(a, b storage.Series) int { return labels.Compare(a.Labels(), b.Labels()) })
	return len(s.series) > 0
}

// At implements storage.SeriesSet.
func (s *sortedSet) At() storage.Series { return s.series[0] }

// asker asks questions.
type asker struct {
	engine *promql.Engine
	parser parser.Parser
}

func newAsker() *asker {
	parse := parser.NewParser(parser.Options{EnableExperimentalFunctions: true, EnableExtendedRangeSelectors: true})
	return &asker{parser: parse, engine: promql.NewEngine(promql.EngineOpts{
		MaxSamples: 50_000_000, Timeout: time.Hour, LookbackDelta: lookback, EnableAtModifier: true, EnableNegativeOffset: true,
		NoStepSubqueryIntervalFn: func(int64) int64 { return int64(minute) }, Parser: parse,
	})}
}

// question is a query. Step 0: an instant query at from.
type question struct {
	expr           string
	from, to, step model.Millis
}

func (q question) String() string {
	at := func(t model.Millis) string { return time.UnixMilli(int64(t)).UTC().Format("02T15:04:05.000") }
	if q.step == 0 {
		return fmt.Sprintf("%s at %s (%d)", q.expr, at(q.from), q.from)
	}
	return fmt.Sprintf("%s from %s to %s (%d to %d) by %v", q.expr, at(q.from), at(q.to), q.from, q.to, time.Duration(q.step)*time.Millisecond)
}

// answer is what is compared.
type answer struct {
	err      string
	value    parser.Value
	warnings []string // not what the engine says of the functions
}

func (a *asker) ask(tb testing.TB, of storage.Queryable, q question) answer {
	tb.Helper()
	expr, err := a.parser.ParseExpr(q.expr)
	if err != nil {
		tb.Fatalf("%s: %v", q.expr, err)
	}
	// So that the store may answer from rollups.
	ctx := rollup.AskedBy(expr, lookback).Context(tb.Context())
	at := func(t model.Millis) time.Time { return time.UnixMilli(int64(t)) }
	var query promql.Query
	if q.step == 0 {
		query, err = a.engine.NewInstantQuery(ctx, of, nil, q.expr, at(q.from))
	} else {
		query, err = a.engine.NewRangeQuery(ctx, of, nil, q.expr, at(q.from), at(q.to), time.Duration(q.step)*time.Millisecond)
	}
	if err != nil {
		tb.Fatalf("%s: %v", q, err)
	}
	defer query.Close()
	result := query.Exec(ctx)
	found := answer{err: fmt.Sprint(result.Err), value: result.Value}
	if m, ok := result.Value.(promql.Matrix); ok { // which Close takes back
		copied := slices.Clone(m)
		for i := range copied {
			copied[i].Floats = slices.Clone(copied[i].Floats)
		}
		found.value = copied
	}
	for _, w := range result.Warnings {
		if text := w.Error(); !strings.HasPrefix(text, "PromQL") {
			found.warnings = append(found.warnings, text)
		}
	}
	return found
}

// empty says that nothing was found.
func (a answer) empty() bool {
	switch v := a.value.(type) {
	case promql.Vector:
		return len(v) == 0
	case promql.Matrix:
		return len(v) == 0
	}
	return false
}

// ordered says that PromQL promises an order of the answer to an instant query.
func ordered(expr string) bool {
	return strings.HasPrefix(expr, "sort") || strings.HasPrefix(expr, "topk(") || strings.HasPrefix(expr, "bottomk(")
}

// matrix is the answer as series, sorted unless the order matters.
func (a answer) matrix(sorted bool) (m promql.Matrix) {
	switch v := a.value.(type) {
	case promql.Matrix:
		return v
	case promql.Vector:
		for _, s := range v {
			m = append(m, promql.Series{Metric: s.Metric, Floats: []promql.FPoint{{T: s.T, F: s.F}}})
		}
	case promql.Scalar:
		return promql.Matrix{{Floats: []promql.FPoint{{T: v.T, F: v.V}}}}
	}
	if sorted {
		slices.SortStableFunc(m, func(a, b promql.Series) int { return labels.Compare(a.Metric, b.Metric) })
	}
	return m
}

// difference tells where an answer is not the wanted one, bit by bit; NaN is NaN.
func (q question) difference(got, want answer) string {
	if got.err != want.err {
		return fmt.Sprintf("got error %s\nwant %s", got.err, want.err)
	}
	if len(got.warnings) > 0 {
		return fmt.Sprintf("warnings: %q", got.warnings)
	}
	sorted := q.step > 0 || !ordered(q.expr)
	a, b := got.matrix(sorted), want.matrix(sorted)
	for i := range min(len(a), len(b)) {
		if !labels.Equal(a[i].Metric, b[i].Metric) {
			return fmt.Sprintf("series %d of %d: got %v, want %v of %d", i, len(a), a[i].Metric, b[i].Metric, len(b))
		}
		if d := pointsDiffer(a[i].Floats, b[i].Floats); d != "" {
			return fmt.Sprintf("%v: %s", a[i].Metric, d)
		}
	}
	switch {
	case len(a) > len(b):
		return fmt.Sprintf("got %d series, want %d: too much is %v", len(a), len(b), a[len(b)])
	case len(a) < len(b):
		return fmt.Sprintf("got %d series, want %d: missing is %v", len(a), len(b), b[len(a)])
	}
	return ""
}

func pointsDiffer(a, b []promql.FPoint) string {
	for i := range min(len(a), len(b)) {
		same := math.Float64bits(a[i].F) == math.Float64bits(b[i].F) || math.IsNaN(a[i].F) && math.IsNaN(b[i].F)
		if a[i].T != b[i].T || !same {
			return fmt.Sprintf("point %d: got %v at %d, want %v at %d", i, a[i].F, a[i].T, b[i].F, b[i].T)
		}
	}
	if len(a) != len(b) {
		return fmt.Sprintf("got %d points, want %d: got %v, want %v", len(a), len(b), a, b)
	}
	return ""
}
