package durable_test

import (
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/durable"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// BenchmarkView takes records of 300 bytes out of a log of 64 MiB: one after the other,
// any within one segment, any of the log, and some that are not synced.
func BenchmarkView(b *testing.B) {
	dir := b.TempDir()
	records := uint64(fill(b, dir, 64*model.MiB))
	log := openReal(b, dir, durable.Options{})
	defer log.Close()
	const near = 40_000 // records within a segment
	unsynced, err := log.Append(make([]byte, benchRecord))
	if err != nil {
		b.Fatal(err)
	}
	random := make([]uint64, 1<<16)
	for i := range random {
		random[i] = rand.Uint64()
	}
	for _, c := range []struct {
		name string
		at   func(i int) uint64
	}{
		{"next", func(i int) uint64 { return 1 + uint64(i)%records }},
		{"few again", func(i int) uint64 { return 1000 + uint64(i)%60 }},
		{"segment", func(i int) uint64 { return 1 + random[i%len(random)]%near }},
		{"log", func(i int) uint64 { return 1 + random[i%len(random)]%records }},
		{"unsynced", func(int) uint64 { return unsynced }},
	} {
		b.Run(c.name, func(b *testing.B) {
			v := log.Viewer()
			defer v.Close()
			for i := uint64(1); i <= records; i += 1000 { // offsets, and pages
				if _, err := v.View(i); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportAllocs()
			b.ResetTimer()
			began := cpu()
			for i := range b.N {
				if _, err := v.View(c.at(i)); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64((cpu()-began).Nanoseconds())/float64(b.N), "cpu-ns/op")
		})
	}
	v := log.Viewer()
	defer v.Close()
	if _, err := v.View(unsynced + 1); !errors.Is(err, durable.ErrDropped) {
		b.Error(err)
	}
}
