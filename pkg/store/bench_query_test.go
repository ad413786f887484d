package store

import (
	"context"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
)

// BenchmarkQuery asks what people ask, of 200 hosts with two hours of samples at 15 s: of the
// store while all of it is in the journal, of the store when it is sealed, and of the library,
// which has it in its head.
func BenchmarkQuery(b *testing.B) {
	f := newBenchFleet(b, benchHosts, 15, benchSeries)
	s, sessions := f.store(b, b.TempDir())
	defer s.Close()
	y := f.yardstick(b, b.TempDir())
	defer y.db.Close()
	end := time.UnixMilli(int64(fillBoth(b, f, sessions, y, 480)))
	engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 1e9, Timeout: time.Hour, LookbackDelta: 5 * time.Minute,
		EnableAtModifier: true, EnableNegativeOffset: true})
	questions := []struct {
		name, text string
		over, step time.Duration
	}{
		{"rate5m_by_instance", `sum by (instance)(rate(node_cpu_seconds_total[5m]))`, 0, 0},
		{"one_series_1h", `node_load1{instance="host7"}`, time.Hour, 15 * time.Second},
		{"topk10_all", `topk(10, {__name__=~"node_.*"})`, 0, 0},
		{"fleet_rate_1h_60s", `sum(rate(node_cpu_seconds_total[5m]))`, time.Hour, time.Minute},
	}
	ask := func(name string, from storage.Queryable) {
		for _, q := range questions {
			b.Run(q.name+"/"+name, func(b *testing.B) {
				used, series := time.Duration(0), 0
				for range b.N {
					before := cpuTime(b)
					var query promql.Query
					var err error
					if q.over == 0 {
						query, err = engine.NewInstantQuery(context.Background(), from, nil, q.text, end)
					} else {
						query, err = engine.NewRangeQuery(context.Background(), from, nil, q.text, end.Add(-q.over), end, q.step)
					}
					if err != nil {
						b.Fatal(err)
					}
					result := query.Exec(context.Background())
					if result.Err != nil {
						b.Fatal(result.Err)
					}
					switch v := result.Value.(type) {
					case promql.Vector:
						series = len(v)
					case promql.Matrix:
						series = len(v)
					}
					query.Close()
					used += cpuTime(b) - before
				}
				if series == 0 {
					b.Fatal("no answer")
				}
				b.ReportMetric(float64(used.Microseconds())/float64(b.N)/1000, "CPU-ms")
			})
		}
	}
	ask("tsdb", y.db)
	ask("journal", s.Queryable())
	if err := s.Pass(); err != nil {
		b.Fatal(err)
	}
	ask("sealed", s.Queryable())
}
