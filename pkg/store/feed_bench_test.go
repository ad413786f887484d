package store

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"golang.org/x/sys/unix"
)

// processorTime is what this process has used.
func processorTime(b *testing.B) time.Duration {
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// BenchmarkFeed commits rounds of samples, 15 s apart: of rules, each of which has one result and
// commits it, and of another Prometheus that has read 20 targets of 500 series each, whose
// samples come in one commit. Half of the series are counters, a quarter gauges of two
// decimals, the rest does not change.
func BenchmarkFeed(b *testing.B) {
	for _, c := range []struct {
		name           string
		series, commit int
		targets        int
	}{{"100 rules", 100, 1, 1}, {"10000 series", 10_000, 10_000, 20}} {
		b.Run(c.name, func(b *testing.B) {
			config := testConfig(b.TempDir())
			config.Retention, config.SyncInterval = 2000*time.Hour, maxSyncInterval
			now := testNow
			deps := testDeps()
			deps.Now = func() time.Time { return now }
			s := openWith(b, config, deps)
			f, err := s.Feed("bench")
			if err != nil {
				b.Fatal(err)
			}
			r := rand.New(rand.NewPCG(1, 2))
			all := make([]labels.Labels, c.series)
			refs, values := make([]storage.SeriesRef, c.series), make([]float64, c.series)
			for i := range all {
				all[i] = labels.FromStrings(labels.MetricName, fmt.Sprintf("metric_%d", i%500), "instance", fmt.Sprint("host", i/500),
					"job", "node", "mode", fmt.Sprint("mode", i%8))
			}
			round := func() {
				for from := 0; from < c.series; from += c.commit {
					a := f.Appender(context.Background())
					for i := from; i < from+c.commit; i++ {
						switch i % 4 {
						case 0, 1:
							values[i] += float64(r.IntN(2000))
						case 2:
							values[i] = float64(r.IntN(10_000)) / 100
						}
						at := now.UnixMilli() + int64(i*c.targets/c.series)
						if refs[i], err = a.Append(refs[i], all[i], at, values[i]); err != nil {
							b.Fatal(err)
						}
					}
					if err := a.Commit(); err != nil {
						b.Fatal(err)
					}
				}
				now = now.Add(15 * time.Second)
			}
			round()
			before, journal := processorTime(b), s.Stats().Journal.Bytes
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				round()
				n += c.series
			}
			took := processorTime(b) - before
			b.ReportMetric(float64(n)/took.Seconds(), "samples/cpu-s")
			b.ReportMetric(float64(s.Stats().Journal.Bytes-journal)/float64(n), "journal-B/sample")
			if err := s.Pass(); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(s.Stats().Volumes.Bytes())/float64(n), "sealed-B/sample")
			b.ReportMetric(float64(f.Stats().Streams), "streams")
		})
	}
}
