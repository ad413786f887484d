package durable_test

import (
	"bytes"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/durable"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// cpu is the processor time of this process: others share the machine.
func cpu() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// perCPU reports records and megabytes per second of processor time.
func perCPU(b *testing.B, records, size int, began time.Duration) {
	seconds := (cpu() - began).Seconds()
	b.ReportMetric(float64(records)/seconds/1e6, "Mrec/cpu-s")
	b.ReportMetric(float64(records*size)/seconds/1e6, "MB/cpu-s")
}

const benchRecord = 300

// BenchmarkAppend appends records of 300 bytes while another goroutine syncs as a
// journal does, every few milliseconds.
func BenchmarkAppend(b *testing.B) {
	for _, batch := range []int{1, 16} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) {
			log := openReal(b, b.TempDir(), durable.Options{MaxBytes: 256 * model.MiB})
			record := bytes.Repeat([]byte("r"), benchRecord)
			records := make([][]byte, batch)
			for i := range records {
				records[i] = record
			}
			var done atomic.Bool
			var syncer sync.WaitGroup
			syncer.Go(func() {
				for !done.Load() {
					time.Sleep(5 * time.Millisecond)
					if err := log.Sync(); err != nil {
						b.Error(err)
					}
				}
			})
			b.ReportAllocs()
			b.ResetTimer()
			began := cpu()
			for i := 0; i < b.N; i += batch {
				if _, err := log.Append(records...); err != nil {
					b.Fatal(err)
				}
			}
			if err := log.Sync(); err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			perCPU(b, b.N, benchRecord, began)
			done.Store(true)
			syncer.Wait()
		})
	}
}

// BenchmarkAppendSync has many callers that each wait for their record to be on
// disk.
func BenchmarkAppendSync(b *testing.B) {
	for _, callers := range []int{1, 100} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			log := openReal(b, b.TempDir(), durable.Options{MaxBytes: 256 * model.MiB})
			record := bytes.Repeat([]byte("r"), benchRecord)
			var left atomic.Int64
			left.Store(int64(b.N))
			var all sync.WaitGroup
			b.ReportAllocs()
			b.ResetTimer()
			for range callers {
				all.Go(func() {
					for left.Add(-1) >= 0 {
						if _, err := log.Append(record); err != nil {
							b.Error(err)
						}
						if err := log.Sync(); err != nil {
							b.Error(err)
						}
					}
				})
			}
			all.Wait()
			b.ReportMetric(float64(b.N)/float64(log.Stats().Syncs), "rec/sync")
		})
	}
}

// fill makes a log of so many bytes in segments of 16 MiB.
func fill(b *testing.B, dir string, size model.Bytes) (records int) {
	log, _, err := durable.Open(dir, durable.Options{})
	if err != nil {
		b.Fatal(err)
	}
	batch := make([][]byte, 64)
	for i := range batch {
		batch[i] = bytes.Repeat([]byte{byte(i)}, benchRecord)
	}
	for ; records < int(size)/benchRecord; records += len(batch) {
		if _, err := log.Append(batch...); err != nil {
			b.Fatal(err)
		}
	}
	if err := log.Close(); err != nil {
		b.Fatal(err)
	}
	return records
}

// BenchmarkRead reads a log of 64 MiB from its beginning to its end.
func BenchmarkRead(b *testing.B) {
	dir := b.TempDir()
	records := fill(b, dir, 64*model.MiB)
	log := openReal(b, dir, durable.Options{})
	b.SetBytes(int64(records * benchRecord))
	b.ReportAllocs()
	b.ResetTimer()
	began := cpu()
	for range b.N {
		r, n := log.Read(0), 0
		for r.Next() {
			n++
		}
		if n != records || r.Err() != nil {
			b.Fatal(n, r.Err())
		}
		r.Close()
	}
	perCPU(b, records*b.N, benchRecord, began)
}

// BenchmarkOpen opens a log of 1 GiB: as always, and reading all of it.
func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	fill(b, dir, model.GiB)
	for _, all := range []bool{false, true} {
		b.Run(fmt.Sprintf("check=%v", all), func(b *testing.B) {
			began := cpu()
			for range b.N {
				log, _, err := durable.Open(dir, durable.Options{Check: all})
				if err != nil {
					b.Fatal(err)
				}
				log.Close()
			}
			b.ReportMetric(float64((cpu()-began).Milliseconds())/float64(b.N), "cpu-ms/op")
		})
	}
}
