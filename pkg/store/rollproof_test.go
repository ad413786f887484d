package store_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"

	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store"
	"github.com/cloudless-fleet/cloudless/pkg/store/rollup"
	"github.com/cloudless-fleet/cloudless/pkg/store/volume"
)

// off hides from a store what is asked, so that it answers from samples.
type off struct{ storage.Queryable }

func (o off) Querier(mint, maxt int64) (storage.Querier, error) {
	q, err := o.Queryable.Querier(mint, maxt)
	return offQuerier{q}, err
}

type offQuerier struct{ storage.Querier }

func (q offQuerier) Select(ctx context.Context, sorted bool, hints *storage.SelectHints, ms ...*labels.Matcher) storage.SeriesSet {
	return q.Querier.Select(rollup.Asked{Extended: true}.Context(ctx), sorted, hints, ms...)
}

// rollQuestions are functions over ranges, at steps, that rollups may answer, and some that they may not.
func rollQuestions(c chooser, span model.Millis, n int) (all []question) {
	counters := []string{"node_cpu_seconds_total", "node_network_receive_bytes_total", "node_forks_total", "container_cpu_usage_seconds_total",
		"http_request_duration_seconds_bucket", "node_context_switches_total", `{__name__=~"node_network_.*_bytes_total"}`}
	gauges := []string{"node_load1", "node_memory_MemFree_bytes", "node_hwmon_temp_celsius", "node_procs_running", "container_memory_usage_bytes",
		"up", "node_filesystem_avail_bytes", `{instance="host01"}`}
	functions := []string{"rate", "increase", "delta", "resets", "min_over_time", "max_over_time", "sum_over_time", "last_over_time",
		"present_over_time", "absent_over_time", "count_over_time", "avg_over_time", "rate", "increase", "max_over_time"}
	shift := func() string {
		return one(c, "", "", "", " offset 1h", " offset 10m", " offset 2h", " offset 7m13s", " offset -1h", " @ "+fmt.Sprint((now()-6*hour)/1000))
	}
	for range n {
		f := one(c, functions...)
		of := one(c, gauges...)
		if f == "rate" || f == "increase" || f == "resets" || in(c, 4) {
			of = one(c, counters...)
		}
		expr := fmt.Sprintf("%s(%s[%s]%s)", f, of, one(c, "1h", "1h", "1h", "2h", "4h", "5m", "10m", "1m", "6h", "90m", "1h30s", "1d"), shift())
		switch c.IntN(8) {
		case 0:
			expr = of + shift()
		case 1:
			expr = fmt.Sprintf("max_over_time((%s)[%s:%s])", expr, one(c, "3h", "1h", "6h"), one(c, "1h", "10m", "1m", "7m"))
		case 2:
			expr = fmt.Sprintf("sum by (instance) (%s)", of)
		}
		q := question{expr: expr, from: now() - model.Millis(c.IntN(int(span/hour)))*hour}
		if in(c, 5) {
			q.from -= one(c, 10*minute, minute, 30*second, 1, 17*minute)
		}
		if !in(c, 4) {
			q.step = one(c, hour, hour, hour, 2*hour, minute, 10*minute, 5*minute, 90*second)
			q.to = min(q.from+one(c, 2*hour, 5*hour, 30*hour)+one(c, 0, 0, 17*minute), now()+hour)
			if (q.to-q.from)/q.step > 400 {
				q.to = q.from + 400*q.step
			}
			if q.to < q.from {
				q.from, q.to = q.to, q.from
			}
		}
		all = append(all, q)
	}
	return all
}

// longLives makes hosts whose rows are dense enough for minutes, with everything that a fleet does.
func longLives(d *driver, c chooser, hosts int, span model.Millis) {
	s := &script{chooser: c, driver: d}
	l := layouts{}
	f := fleet{hosts: hosts, from: now() - span, to: now(), least: 3 * hour, changes: 2000}
	for i := range hosts {
		name := fmt.Sprintf("host%02d", i)
		if i == 2 {
			name = "host01" // a cloned disk
		}
		h := newHost(d.tb, c, l, name)
		h.machine.cores, h.machine.handlers, h.machine.sensors = 1, []string{"/"}, []string{"a"}
		h.calm = i == 0 // its parts do not wander: a series in several streams at a time is answered from samples
		h.rates = []rate{
			{stream: 1, every: one(c, 2*second, 3*second), parts: []string{"load", "hwmon"}},
			{stream: 2, every: 30 * second, parts: []string{"cpu", "container", "network"}},
			{stream: 3, every: one(c, minute, 15*second), parts: []string{"stat", "memory"}},
			{stream: 4, every: 5 * minute, parts: []string{"http", "filesystem"}},
		}
		s.host(f, h, d.worker(name))
	}
	for at := f.from + 2*hour; at < now()-hour; at += 3*hour + model.Millis(c.IntN(int(2*hour))) {
		s.steps = append(s.steps, step{at, d.pass})
	}
	if in(c, 2) {
		s.steps = append(s.steps, step{now(), d.pass})
	}
	s.run(0)
}

// samplesRead is how many samples the engine looked at.
func (a *asker) samplesRead(tb testing.TB, of storage.Queryable, q question) int64 {
	tb.Helper()
	expr, err := a.parser.ParseExpr(q.expr)
	if err != nil {
		tb.Fatal(err)
	}
	ctx := rollup.AskedBy(expr, lookback).Context(tb.Context())
	query, err := a.engine.NewRangeQuery(ctx, of, nil, q.expr, time.UnixMilli(int64(q.from)), time.UnixMilli(int64(q.to)), time.Duration(q.step)*time.Millisecond)
	if err != nil {
		tb.Fatal(err)
	}
	defer query.Close()
	query.Exec(ctx)
	return query.Stats().Samples.TotalSamples
}

// TestRollupsAnswerAsSamplesDo asks everything twice.
func TestRollupsAnswerAsSamplesDo(t *testing.T) {
	t.Parallel()
	seeds, questions := 2, 120
	if *more {
		seeds, questions = 20, 3000
	}
	if underRace {
		questions /= 4
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			c := rand.New(rand.NewPCG(uint64(seed), 31))
			d := newDriver(t)
			span := 20 * hour
			longLives(d, c, 3, span)
			a := newAsker()
			tiers := d.store.Stats().Volumes.Tiers
			if tiers[volume.Minute].Rows == 0 || tiers[volume.Hour].Rows == 0 {
				t.Fatalf("no rollups: %+v", tiers)
			}
			// First with rows in the journal for all of the time, then with all rows in rollups.
			failures := 0
			for i, q := range rollQuestions(c, span, questions) {
				if i == questions/2 {
					d.pass()
				}
				on, without := d.store.Queryable(), off{d.store.Queryable()}
				if diff := q.difference(a.ask(t, on, q), a.ask(t, without, q)); diff != "" {
					t.Errorf("%s\n%s", q, diff)
					if failures++; failures == 10 {
						t.FailNow()
					}
				}
			}
			for expr, by := range map[string]model.Millis{
				`max_over_time(node_load1{instance="host00"}[1h])`:                 hour,
				`max_over_time(node_load1{instance="host00"}[10m])`:                10 * minute,
				`last_over_time(node_memory_MemFree_bytes{instance="host00"}[1h])`: hour,
			} {
				q := question{expr: expr, from: now() - span, to: now(), step: by}
				few, many := a.samplesRead(t, d.store.Queryable(), q), a.samplesRead(t, off{d.store.Queryable()}, q)
				if t.Logf("%s: %d samples instead of %d", expr, few, many); few*4 > many {
					t.Error("rollups are hardly used")
				}
			}
		})
	}
}

// TestRollupsOutliveSamples: when samples are gone, what rollups give exactly stays as it was, and the rest
// is answered with a warning.
func TestRollupsOutliveSamples(t *testing.T) {
	t.Parallel()
	questions := 150
	if *more {
		questions = 3000
	}
	if underRace {
		questions /= 4
	}
	c := rand.New(rand.NewPCG(5, 32))
	d := newDriver(t, func(c *store.Config) { c.Retention = 100 * time.Hour })
	span := 32 * hour
	longLives(d, c, 3, span)
	d.pass()
	a := newAsker()
	asked := rollQuestions(c, span, questions)
	var before []answer
	for _, q := range asked {
		before = append(before, a.ask(t, d.store.Queryable(), q))
	}
	had := d.store.Stats().Volumes.Tiers[volume.Raw].Files
	d.config.Retention = 12 * time.Hour
	d.reopen()
	if has := d.store.Stats().Volumes.Tiers[volume.Raw].Files; has > had-3 {
		t.Fatalf("%d volumes of samples, %d before", has, had)
	}
	exact, warned, failures := 0, 0, 0
	for i, q := range asked {
		got := a.ask(t, d.store.Queryable(), q)
		if len(got.warnings) > 0 {
			if !strings.Contains(got.warnings[0], "rollups stand in") {
				t.Errorf("%s: %q", q, got.warnings)
			}
			warned++
			continue
		}
		if diff := q.difference(got, before[i]); diff != "" {
			t.Errorf("%s\n%s", q, diff)
			if failures++; failures == 10 {
				t.FailNow()
			}
		}
		exact++
	}
	t.Logf("%d answers as before, %d with a warning", exact, warned)
	if exact*5 < questions || warned*10 < questions {
		t.Error("the test tests too little")
	}
	near(t, a, d)
}

// near looks at answers that are not exact.
func near(t *testing.T, a *asker, d *driver) {
	t.Helper()
	q := question{expr: `count_over_time(up[37m])`, from: now() - 30*hour, to: now() - 20*hour, step: hour}
	got := a.ask(t, d.store.Queryable(), q)
	if got.empty() || len(got.warnings) != 1 {
		t.Errorf("%s: %v %q", q, got.value, got.warnings)
	}
}
