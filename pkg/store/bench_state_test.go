package store

import (
	"testing"
	"time"

	"github.com/prometheus/prometheus/tsdb"
)

// headOf is all of the library's head.
func headOf(y *yardstick) *tsdb.RangeHead {
	head := y.db.Head()
	return tsdb.NewRangeHead(head, head.MinTime(), head.MaxTime())
}

// BenchmarkMemory tells the heap of active series: two hours at 15 s in the journal,
// 200 hosts (100,000 series) and 2,000 (1,000,000; half an hour).
func BenchmarkMemory(b *testing.B) {
	for _, size := range []struct {
		name          string
		hosts, rounds int
	}{{"100k", 200, 480}, {"1M", 2000, 120}} {
		b.Run("store/"+size.name, func(b *testing.B) {
			for range b.N {
				f := newBenchFleet(b, size.hosts, 15, benchSeries)
				before := heapBytes()
				s, sessions := f.store(b, b.TempDir())
				fillBoth(b, f, sessions, nil, size.rounds)
				if err := s.flush(); err != nil {
					b.Fatal(err)
				}
				b.ReportMetric((heapBytes()-before)/float64(size.hosts*f.columns), "B/series")
				s.Close()
			}
		})
		b.Run("tsdb/"+size.name, func(b *testing.B) {
			for range b.N {
				f := newBenchFleet(b, size.hosts, 15, benchSeries)
				before := heapBytes()
				y := f.yardstick(b, b.TempDir())
				fillBoth(b, f, nil, y, min(size.rounds, 130))
				y.sets, y.refs = nil, nil // of the benchmark
				b.ReportMetric((heapBytes()-before)/float64(size.hosts*f.columns), "B/series")
				y.db.Close()
			}
		})
	}
}

// BenchmarkRestart opens a store whose journal holds two hours of 100,000 series at 15 s
// (the library: half an hour), until the newest values can be asked for.
func BenchmarkRestart(b *testing.B) {
	b.Run("store", func(b *testing.B) {
		f := newBenchFleet(b, benchHosts, 15, benchSeries)
		dir := b.TempDir()
		s, sessions := f.store(b, dir)
		fillBoth(b, f, sessions, nil, 480)
		s.Close()
		used := time.Duration(0)
		b.ResetTimer()
		for range b.N {
			before := cpuTime(b)
			s := f.openStore(b, dir)
			used += cpuTime(b) - before
			b.StopTimer()
			s.Close()
			b.StartTimer()
		}
		b.ReportMetric(used.Seconds()/float64(b.N), "CPU-s")
	})
	b.Run("tsdb", func(b *testing.B) {
		f := newBenchFleet(b, benchHosts, 15, benchSeries)
		dir := b.TempDir()
		y := f.yardstick(b, dir)
		fillBoth(b, f, nil, y, 120)
		y.db.Close()
		used := time.Duration(0)
		b.ResetTimer()
		for range b.N {
			before := cpuTime(b)
			y := f.yardstick(b, dir)
			used += cpuTime(b) - before
			b.StopTimer()
			y.db.Close()
			b.StartTimer()
		}
		b.ReportMetric(used.Seconds()/float64(b.N), "CPU-s")
	})
}
