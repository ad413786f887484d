package journal_test

import (
	"bytes"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/durable"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/journal"
)

// cpu is the processor time of this process: others share the machine.
func cpu() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func perRecord(b *testing.B, records int, began time.Duration) {
	b.ReportMetric(float64((cpu()-began).Nanoseconds())/float64(records), "cpu-ns/record")
}

// benchRaw is a record as a host of 620 series sends it each second.
var benchRaw = bytes.Repeat([]byte("r"), 300)

// BenchmarkAppend appends records of 300 bytes one by one, synced 20 times a second as
// a group commit does at most.
func BenchmarkAppend(b *testing.B) {
	j := open(b, b.TempDir(), journal.Options{})
	var done atomic.Bool
	var syncer sync.WaitGroup
	syncer.Go(func() {
		for !done.Load() {
			time.Sleep(50 * time.Millisecond)
			if err := j.Sync(); err != nil {
				b.Error(err)
			}
			if err := j.DropThrough(j.Next() - min(j.Next(), 200_000)); err != nil { // as passes do
				b.Error(err)
			}
		}
	})
	one := [][]byte{benchRaw}
	b.ReportAllocs()
	b.ResetTimer()
	began := cpu()
	for range b.N {
		if _, err := j.Records(7000, one...); err != nil {
			b.Fatal(err)
		}
	}
	if err := j.Sync(); err != nil {
		b.Fatal(err)
	}
	b.StopTimer()
	perRecord(b, b.N, began)
	done.Store(true)
	syncer.Wait()
}

// benchRecords is two hours of 200 hosts at 15 seconds.
const benchRecords = 200 * 480

func filled(b *testing.B) string {
	dir := b.TempDir()
	j := open(b, dir, journal.Options{})
	for range benchRecords {
		if _, err := j.Records(7000, benchRaw); err != nil {
			b.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		b.Fatal(err)
	}
	return dir
}

// BenchmarkReplay opens a journal of two hours and goes over it.
func BenchmarkReplay(b *testing.B) {
	dir := filled(b)
	b.ReportAllocs()
	b.ResetTimer()
	began := cpu()
	for range b.N {
		j, _, err := journal.Open(dir, journal.Options{})
		if err != nil {
			b.Fatal(err)
		}
		n := 0
		if err := j.Replay(func(uint64, journal.Entry) error { n++; return nil }, func(d *durable.Damage) { b.Error(d) }); err != nil || n != benchRecords {
			b.Fatal(n, err)
		}
		j.Close()
	}
	perRecord(b, b.N*benchRecords, began)
}

// BenchmarkRecord views records: those of one host, every 200th, as a query does the
// first time and for every part after that; and any.
func BenchmarkRecord(b *testing.B) {
	j := open(b, filled(b), journal.Options{SegmentBytes: 64 * model.MiB})
	for _, c := range []struct {
		name string
		at   func(i int) uint64
	}{
		{"host", func(i int) uint64 { return 1 + uint64(i)*200%benchRecords }},
		{"group again", func(i int) uint64 { return 1 + uint64(i%60)*200 }},
		{"any", func(int) uint64 { return 1 + rand.Uint64N(benchRecords) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			v := j.Viewer()
			defer v.Close()
			for i := range uint64(benchRecords) {
				if _, _, err := v.Record(1 + i); err != nil {
					b.Fatal(err)
				}
			}
			v.Close()
			b.ReportAllocs()
			b.ResetTimer()
			began := cpu()
			for i := range b.N {
				if _, _, err := v.Record(c.at(i)); err != nil {
					b.Fatal(err)
				}
			}
			perRecord(b, b.N, began)
		})
	}
}
