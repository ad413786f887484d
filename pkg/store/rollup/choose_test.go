package rollup

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// chooser notes what is chosen for each selector of a query.
type chooser struct {
	querier
	plans []string
}

func (c *chooser) Querier(int64, int64) (storage.Querier, error) { return c, nil }

func (c *chooser) Select(ctx context.Context, _ bool, h *storage.SelectHints, _ ...*labels.Matcher) storage.SeriesSet {
	asked, ok := AskedIn(ctx)
	if !ok {
		c.plans = append(c.plans, "not asked")
		return storage.EmptySeriesSet()
	}
	p, ok := Choose(h, asked)
	text := "raw"
	if ok {
		day := func(at model.Millis) string { return time.UnixMilli(int64(at)).UTC().Format("15:04:05.999") }
		text = fmt.Sprintf("%v use %d %s-%s windows %v by %v", p.Tier, p.Use, day(p.First), day(p.Last),
			time.Duration(p.Range)*time.Millisecond, time.Duration(p.Step)*time.Millisecond)
	}
	c.plans = append(c.plans, text)
	return storage.EmptySeriesSet()
}

func TestChoose(t *testing.T) {
	engine, parse := newEngine()
	day := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	at := func(hours, minutes, seconds int) time.Time {
		return day.Add(time.Duration(hours)*time.Hour + time.Duration(minutes)*time.Minute + time.Duration(seconds)*time.Second)
	}
	ten, noon := at(10, 0, 0), at(12, 0, 0)
	for _, test := range []struct {
		expr       string
		start, end time.Time
		step       time.Duration
		lookback   time.Duration
		want       string
	}{
		// Plain selectors.
		{"m", ten, noon, time.Hour, 0, "1h use 0 10:00:00-12:00:00 windows 0s by 1h0m0s"},
		{"m", ten, noon, 5 * time.Minute, 0, "1m use 0 10:00:00-12:00:00 windows 0s by 5m0s"},
		{"m", ten, noon, 90 * time.Second, 0, "raw"},
		{"m", at(10, 0, 1), noon, time.Minute, 0, "raw"},
		{"m", ten, at(11, 59, 30), time.Minute, 0, "1m use 0 10:00:00-11:59:30 windows 0s by 1m0s"},
		{"m offset 1h", ten, noon, time.Hour, 0, "1h use 0 09:00:00-11:00:00 windows 0s by 1h0m0s"},
		{"m offset 5m", ten, noon, time.Hour, 0, "1m use 0 09:55:00-11:55:00 windows 0s by 1h0m0s"},
		{"m offset 5s", ten, noon, time.Hour, 0, "raw"},
		{"m", ten, noon, time.Minute, 77 * time.Second, "1m use 0 10:00:00-12:00:00 windows 0s by 1m0s"},
		{"m", ten, ten, 0, 0, "raw"},                       // one step, one sample: nothing to save
		{"m @ 1772359200", ten, noon, time.Hour, 0, "raw"}, // the same
		{"sum by (a) (timestamp(m))", ten, noon, time.Hour, 0, "1h use 0 10:00:00-12:00:00 windows 0s by 1h0m0s"},
		// Ranges.
		{"rate(m[5m])", ten, noon, time.Minute, 0, "1m use 4 10:00:00-12:00:00 windows 5m0s by 1m0s"},
		{"sum(rate(m[1h]))", ten, noon, time.Hour, 0, "1h use 4 10:00:00-12:00:00 windows 1h0m0s by 1h0m0s"},
		{"increase(m[5m])", ten, noon, time.Hour, 0, "1m use 4 10:00:00-12:00:00 windows 5m0s by 1h0m0s"},
		{"delta(m[90s])", ten, noon, time.Hour, 0, "raw"},
		{"min_over_time(m[1d])", ten, ten, 0, 0, "1h use 1 10:00:00-10:00:00 windows 24h0m0s by 0s"},
		{"max_over_time(m[2h])", ten, ten, 0, 0, "1m use 2 10:00:00-10:00:00 windows 2h0m0s by 0s"}, // two hours are few
		{"max_over_time(m[2m])", ten, ten, 0, 0, "raw"},
		{"sum_over_time(m[1h] @ 1772359200)", at(9, 1, 2), noon, time.Second, 0, "raw"}, // of this step in seconds
		{"last_over_time(m[1d] @ 1772359200)", at(9, 0, 2), noon, time.Minute, 0, "1m use 0 10:00:00-10:00:00 windows 24h0m0s by 1m0s"},
		{"avg_over_time(m[1d])", ten, noon, time.Hour, 0, "raw"},
		{"quantile_over_time(0.9, m[1d])", ten, noon, time.Hour, 0, "raw"},
		{"m[1d]", ten, ten, 0, 0, "raw"},
		// Subqueries: their steps are at multiples of the step, whenever they are asked.
		{"max_over_time(rate(m[5m])[1h:1m])", at(10, 0, 17), at(10, 0, 17), 0, 0, "1m use 4 09:01:00-10:00:17 windows 5m0s by 1m0s"},
		{"max_over_time(rate(m[5m])[1h:1m] offset 7s)", ten, ten, 0, 0, "1m use 4 09:00:00-09:59:53 windows 5m0s by 1m0s"},
		{"max_over_time(rate(m[5m])[1h:30s])", ten, ten, 0, 0, "raw"},
		{"max_over_time(rate(m[5m] offset 30s)[1h:1m])", at(10, 0, 30), at(10, 0, 30), 0, 0, "raw"}, // hints look aligned
		{"max_over_time(rate(m[5m] @ 1772359217)[1h:1m])", ten, ten, 0, 0, "raw"},
		{"max_over_time(m[1h:1m])", ten, ten, 0, 0, "1m use 0 09:00:00-10:00:00 windows 0s by 1m0s"},
	} {
		expr, err := parse.ParseExpr(test.expr)
		if err != nil {
			t.Fatalf("%s: %v", test.expr, err)
		}
		back := test.lookback
		if back == 0 {
			back = lookback
		}
		ctx := AskedBy(expr, back).Context(t.Context())
		opts := promql.NewPrometheusQueryOpts(false, test.lookback)
		c := &chooser{}
		var q promql.Query
		if test.step == 0 {
			q, err = engine.NewInstantQuery(ctx, c, opts, test.expr, test.start)
		} else {
			q, err = engine.NewRangeQuery(ctx, c, opts, test.expr, test.start, test.end, test.step)
		}
		if err != nil {
			t.Fatalf("%s: %v", test.expr, err)
		}
		if res := q.Exec(ctx); res.Err != nil {
			t.Fatalf("%s: %v", test.expr, res.Err)
		}
		if len(c.plans) != 1 || c.plans[0] != test.want {
			t.Errorf("%s from %v by %v:\ngot  %v\nwant %v", test.expr, test.start, test.step, c.plans, test.want)
		}
	}
}

func TestExtendedSelectorsAreLeftToRawSamples(t *testing.T) {
	parse := parser.NewParser(parser.Options{EnableExtendedRangeSelectors: true, EnableExperimentalFunctions: true, ExperimentalDurationExpr: true})
	for _, text := range []string{"rate(m[1h] anchored)", "m smoothed", "rate(m[1h] smoothed)", "info(m)", "m offset (5m + 7s)"} {
		expr, err := parse.ParseExpr(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if a := AskedBy(expr, lookback); !a.Extended {
			t.Errorf("%s: got %+v, want extended", text, a)
		}
	}
}

func TestWithoutKnowingTheQueryNothingIsChosen(t *testing.T) {
	h := &storage.SelectHints{Start: 3_300_001, End: 36_000_000, Step: 3_600_000}
	if p, ok := Choose(h, Asked{}); ok {
		t.Errorf("got %+v", p)
	}
	if _, ok := AskedIn(t.Context()); ok {
		t.Error("a context that nothing was put into has something")
	}
}
