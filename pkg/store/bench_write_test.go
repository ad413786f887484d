package store

import (
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

const (
	benchHosts  = 200
	benchSeries = 500
)

// BenchmarkIngest is the whole way of a frame through the store: decode, coverage, newest row,
// journal, group commit; and the same samples into the library. 200 hosts x 500 series,
// one operation is one round of all of them, at 1 s.
func BenchmarkIngest(b *testing.B) {
	const most = 600 // rounds that are made beforehand; they are sent with new numbers after that
	b.Run("store", func(b *testing.B) {
		f := newBenchFleet(b, benchHosts, 1, benchSeries)
		s, sessions := f.store(b, b.TempDir())
		defer s.Close()
		used := time.Duration(0)
		samples := 0
		for done := 0; done < b.N; {
			b.StopTimer()
			n := min(most, b.N-done)
			rounds := make([][]message, n)
			for i := range rounds {
				rounds[i] = make([]message, benchHosts)
				for host := range benchHosts {
					rounds[i][host], _, _ = f.next(host)
				}
			}
			b.StartTimer()
			before := cpuTime(b)
			for _, round := range rounds {
				for host, m := range round {
					if err := sessions[host].Append(m.record, m.raw); err != nil {
						b.Fatal(err)
					}
				}
			}
			if err := s.flush(); err != nil {
				b.Fatal(err)
			}
			used += cpuTime(b) - before
			done += n
			samples += n * benchHosts * f.columns
		}
		b.ReportMetric(float64(samples)/used.Seconds()/1e6, "Msamples/CPU-s")
	})
	b.Run("tsdb", func(b *testing.B) {
		f := newBenchFleet(b, benchHosts, 1, benchSeries)
		y := f.yardstick(b, b.TempDir())
		defer y.db.Close()
		used := time.Duration(0)
		for range b.N {
			for host := range benchHosts {
				at, row := f.row(host)
				before := cpuTime(b)
				y.add(b, host, at, row)
				used += cpuTime(b) - before
			}
		}
		b.ReportMetric(float64(b.N*benchHosts*f.columns)/used.Seconds()/1e6, "Msamples/CPU-s")
	})
}

// BenchmarkSeal seals what the journal holds of two hours at 15 s: reading, decoding, blocks,
// the volume. The yardstick is the library's compaction of its head.
func BenchmarkSeal(b *testing.B) {
	for _, every := range []int{15, 1} {
		rounds := 480
		if every == 1 {
			rounds = 600
		}
		name := map[int]string{15: "15s", 1: "1s"}[every]
		b.Run("store/"+name, func(b *testing.B) {
			var used time.Duration
			var samples, disk float64
			for range b.N {
				b.StopTimer()
				f := newBenchFleet(b, benchHosts, every, benchSeries)
				s, sessions := f.store(b, b.TempDir())
				fillBoth(b, f, sessions, nil, rounds)
				b.StartTimer()
				before := cpuTime(b)
				if err := s.Pass(); err != nil {
					b.Fatal(err)
				}
				used += cpuTime(b) - before
				samples += float64(rounds * benchHosts * f.columns)
				disk += float64(s.volumes.Stats().Bytes())
				b.StopTimer()
				s.Close()
			}
			b.ReportMetric(samples/used.Seconds()/1e6, "Msamples/CPU-s")
			b.ReportMetric(disk/samples, "B/sample")
		})
		b.Run("tsdb/"+name, func(b *testing.B) {
			var used time.Duration
			var samples, disk float64
			for range b.N {
				b.StopTimer()
				f := newBenchFleet(b, benchHosts, every, benchSeries)
				y := f.yardstick(b, b.TempDir())
				for range rounds {
					for host := range benchHosts {
						at, row := f.row(host)
						y.add(b, host, at, row)
					}
				}
				b.StartTimer()
				before := cpuTime(b)
				if err := y.db.CompactHead(headOf(y)); err != nil {
					b.Fatal(err)
				}
				used += cpuTime(b) - before
				samples += float64(rounds * benchHosts * f.columns)
				for _, block := range y.db.Blocks() {
					disk += float64(block.Size())
				}
				b.StopTimer()
				y.db.Close()
			}
			b.ReportMetric(samples/used.Seconds()/1e6, "Msamples/CPU-s")
			b.ReportMetric(disk/samples, "B/sample")
		})
	}
}

// fillBoth sends rounds of all hosts to the store and, when there is one, the yardstick.
func fillBoth(tb testing.TB, f *benchFleet, sessions []*Session, y *yardstick, rounds int) (last model.Millis) {
	for range rounds {
		for host := range f.hosts {
			m, at, row := f.next(host)
			if sessions != nil {
				if err := sessions[host].Append(m.record, m.raw); err != nil {
					tb.Fatal(err)
				}
			}
			if y != nil {
				y.add(tb, host, at, row)
			}
			last = max(last, at)
		}
	}
	return last
}
