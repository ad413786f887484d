package registry

import (
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

const benchLeases = 100_000

// virtual is a clock that a benchmark moves on.
type virtual struct {
	start  time.Time
	passed atomic.Int64
}

func (v *virtual) now() time.Time { return v.start.Add(time.Duration(v.passed.Load())) }

// reportCPU adds the processor time of an operation, which other processes on
// the machine distort less than the time of day. It includes the collector's.
func reportCPU(b *testing.B) {
	b.Helper()
	used := func() int64 {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return u.Utime.Nano() + u.Stime.Nano()
	}
	before := used()
	b.Cleanup(func() { b.ReportMetric(float64(used()-before)/float64(b.N), "cpu-ns/op") })
}

// benchRegistry has 100,000 members with leases of 30 s.
func benchRegistry(b *testing.B) (*Registry, *virtual, []model.WorkerID) {
	b.Helper()
	clock := &virtual{start: time.Now()}
	cfg := DefaultConfig()
	cfg.MaxWorkers = benchLeases
	r, err := Open(b.TempDir(), cfg, Deps{Now: clock.now})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { r.disk.Close() }) // not Close: writing is not measured
	ids := make([]model.WorkerID, benchLeases)
	for i := range ids {
		ids[i] = testID(i * 7919 % benchLeases)
		r.ProbeAck(ProbeAck{ID: ids[i], Host: hostNamed("web", "10.0.0.1")})
		clock.passed.Add(int64(lease) / benchLeases / 3) // leases do not all begin at once
	}
	return r, clock, ids
}

// BenchmarkRenew is one call of Contact, of another worker each time, by the
// real clock.
func BenchmarkRenew(b *testing.B) {
	r, _, ids := benchRegistry(b)
	r.now = time.Now
	b.ReportAllocs()
	reportCPU(b)
	i := 0
	for b.Loop() {
		r.Contact(ids[i%benchLeases], time.Time{})
		i++
	}
}

// BenchmarkRenewParallel is the same from all processors at once.
func BenchmarkRenewParallel(b *testing.B) {
	r, _, ids := benchRegistry(b)
	r.now = time.Now
	b.ReportAllocs()
	reportCPU(b)
	var from atomic.Int64
	b.RunParallel(func(pb *testing.PB) {
		for i := int(from.Add(31_337)); pb.Next(); i++ {
			r.Contact(ids[i%benchLeases], time.Time{})
		}
	})
}

// BenchmarkRenewBatch is one renewal in a batch of a thousand.
func BenchmarkRenewBatch(b *testing.B) {
	r, _, ids := benchRegistry(b)
	r.now = time.Now
	b.ReportAllocs()
	reportCPU(b)
	batch := make([]Sighting, 1000)
	i := 0
	for b.Loop() {
		if i%len(batch) == 0 {
			for j := range batch {
				batch[j].ID = ids[(i+j)%benchLeases]
			}
			r.Contacts(batch)
		}
		i++
	}
}

// BenchmarkRenewVirtual renews 10,000 leases per second of virtual time, each of
// 100,000 every 10 s, and handles every deadline that comes meanwhile. One
// operation is a renewal with its share of the deadlines. "deadlines/renewal"
// is how many timers were looked at: a scan of all leases would show here.
func BenchmarkRenewVirtual(b *testing.B) {
	r, clock, ids := benchRegistry(b)
	const perSecond = 10_000
	b.ReportAllocs()
	reportCPU(b)
	before := r.Stats()
	wait := clock.passed.Load() + int64(r.fire())
	i := 0
	for b.Loop() {
		at := clock.passed.Add(int64(time.Second) / perSecond)
		r.Contact(ids[i%benchLeases], time.Time{})
		if at >= wait {
			wait = at + int64(r.fire())
		}
		i++
	}
	after := r.Stats()
	b.ReportMetric(float64(after.TimersFired-before.TimersFired)/float64(i), "deadlines/renewal")
	b.ReportMetric(float64(i)/perSecond, "virtual-s")
	if after.Expirations > 0 || after.Suspicions > 0 {
		b.Fatalf("%d suspect, %d expired, although all were heard", after.Suspicions, after.Expirations)
	}
}

// BenchmarkExpire is the way of one of 100,000 silent workers from registered
// over suspect to expired.
func BenchmarkExpire(b *testing.B) {
	r, clock, ids := benchRegistry(b)
	b.ReportAllocs()
	reportCPU(b)
	i := benchLeases
	for b.Loop() {
		if i == benchLeases {
			b.StopTimer()
			for _, id := range ids {
				r.Contact(id, time.Time{})
				clock.passed.Add(int64(lease) / benchLeases / 3)
			}
			r.fire()
			clear(r.dirty)
			i = 0
			b.StartTimer()
		}
		clock.passed.Add(int64(lease) / benchLeases)
		r.fire()
		i++
		if i == benchLeases {
			clock.passed.Add(int64(2 * lease))
			r.fire()
		}
	}
}

// BenchmarkProbeAck is a registered worker that asks again.
func BenchmarkProbeAck(b *testing.B) {
	r, _, ids := benchRegistry(b)
	r.now = time.Now
	host := hostNamed("web", "10.0.0.1")
	b.ReportAllocs()
	reportCPU(b)
	i := 0
	for b.Loop() {
		r.ProbeAck(ProbeAck{ID: ids[i%benchLeases], Host: host})
		i++
	}
}
