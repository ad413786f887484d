package store

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/rollup"
	"github.com/cloudless-fleet/cloudless/pkg/store/volume"
)

// month fills a store with 30 days of 20 hosts at 15 s, of four counters and four gauges each,
// sealed every two hours.
func month(b *testing.B) *Store {
	b.Helper()
	const hosts, span, every = 20, 30 * 24 * time.Hour, 15 * time.Second
	config := testConfig(b.TempDir())
	config.Retention, config.SyncInterval = 60*24*time.Hour, maxSyncInterval
	s := open(b, config)
	type host struct {
		sp      *spooler
		session *Session
		row     []float64
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	all := make([]host, hosts)
	counter := gauge("x_total", "a", "b", "c", "d")
	counter.Families[0].Type = model.Counter
	for i := range all {
		all[i] = host{newSpooler(b), openSession(b, s, testSource(byte(i), 1)), make([]float64, 8)}
		all[i].sp.schema(1, counter, gauge("g", "a", "b", "c", "d"))
		send(b, all[i].session, all[i].sp.drain()...)
	}
	rows := 0
	sealed := testNow.Add(-span)
	for at := testNow.Add(-span); at.Before(testNow); at = at.Add(every) {
		for i := range all {
			h := &all[i]
			for k := range 4 {
				h.row[k] += float64(rnd.IntN(1000))
				h.row[4+k] = float64(rnd.IntN(100_000))
			}
			send(b, h.session, h.sp.frame(1, at.Add(time.Duration(i)*time.Millisecond), h.row...))
			h.sp.drain()
			rows++
		}
		if at.Sub(sealed) >= 2*time.Hour {
			sealed = at
			pass(b, s)
		}
	}
	started := time.Now()
	if err := s.Roll(); err != nil {
		b.Fatal(err)
	}
	tiers := s.Stats().Volumes.Tiers
	b.Logf("%d rows, %d bytes raw; rollups of an hour: %d bytes, of a minute: %d; made in %v", rows,
		tiers[volume.Raw].Bytes, tiers[volume.Hour].Bytes, tiers[volume.Minute].Bytes, time.Since(started))
	return s
}

// BenchmarkRollups compares answers of a month by the hour from samples and from rollups.
func BenchmarkRollups(b *testing.B) {
	s := month(b)
	parse := parser.NewParser(parser.Options{})
	engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 50_000_000, Timeout: time.Hour, LookbackDelta: 5 * time.Minute, Parser: parse})
	for _, text := range []string{"rate(x_total[1h])", "max_over_time(x_total[1h])", "max_over_time(g[1h])", "sum(rate(x_total[1h]))", "g", "sum_over_time(g[1d])", "rate(x_total[2h])"} {
		for _, how := range []string{"samples", "rollups"} {
			b.Run(fmt.Sprintf("%s/%s", text, how), func(b *testing.B) {
				ctx := context.Background()
				expr, err := parse.ParseExpr(text)
				if err != nil {
					b.Fatal(err)
				}
				if how == "rollups" {
					ctx = rollup.AskedBy(expr, 5*time.Minute).Context(ctx)
				}
				read := int64(0)
				for b.Loop() {
					q, err := engine.NewRangeQuery(ctx, s.Queryable(), nil, text, testNow.Add(-30*24*time.Hour).Truncate(time.Hour).Add(24*time.Hour), testNow, time.Hour)
					if err != nil {
						b.Fatal(err)
					}
					if r := q.Exec(ctx); r.Err != nil || len(r.Warnings) > 0 {
						b.Fatal(r.Err, r.Warnings)
					}
					read = q.Stats().Samples.TotalSamples
					q.Close()
				}
				b.ReportMetric(float64(read), "samples")
			})
		}
	}
}
