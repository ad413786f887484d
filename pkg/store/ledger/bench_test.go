package ledger

import (
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/event"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// BenchmarkRefuse is what a frame that is refused costs, syncs included: one for
// every 200 frames, to a disk in memory.
func BenchmarkRefuse(b *testing.B) {
	bench := newBench(b)
	b.ReportAllocs()
	for i := range b.N {
		bench.at += 20
		bench.Refused(workerOf(byte(i%100)), bootOf(1), uint64(i/100+1), event.RefusedLimit, bench.at, 500)
		if i%200 == 199 {
			bench.sync()
		}
	}
}

// BenchmarkAgain is what a record costs that was noted before, among 10,000 entries.
func BenchmarkAgain(b *testing.B) {
	bench := newBench(b)
	bench.cfg.MaxBytes = 64 * model.MiB
	bench.reopen()
	for seq := uint64(1); seq <= 10_000; seq++ {
		bench.report(1, 1, seq, event.SpoolFull)
	}
	b.ReportAllocs()
	for i := range b.N {
		bench.Add(Report{Worker: workerOf(1), Boot: bootOf(1), Seq: uint64(i%10_000) + 1, Gap: event.Gap{Cause: event.SpoolFull}})
	}
}

// BenchmarkOpen is what 10,000 entries cost at a start.
func BenchmarkOpen(b *testing.B) {
	bench := newBench(b)
	bench.cfg.MaxBytes = 64 * model.MiB
	bench.reopen()
	for seq := uint64(1); seq <= 10_000; seq++ {
		bench.report(byte(seq), 1, seq, event.SpoolFull)
	}
	b.ReportAllocs()
	for range b.N {
		bench.Close()
		bench.open()
	}
}
