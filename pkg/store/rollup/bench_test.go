package rollup

import (
	"math/rand/v2"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/frame/frametest"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/block"
)

// host is a stretch of rows of one host of a fleet.
type host struct {
	parts []block.Part
	times []model.Millis
	rows  [][]float64
}

// shapes are what the benchmarks build rollups of: two hours of rows.
var shapes = []struct {
	name  string
	every int // seconds
}{{"1s", 1}, {"5s", 5}, {"15s", 15}}

// newHosts makes two hours of rows.
func newHosts(b *testing.B, every, n int) (hosts []host) {
	b.Helper()
	recording, err := frametest.Node()
	if err != nil {
		b.Fatal(err)
	}
	var parts []block.Part
	for _, p := range recording.Parts {
		encoded, err := frame.AppendPart(nil, p)
		if err != nil {
			b.Fatal(err)
		}
		parts = append(parts, block.PartOf(frame.PartIDOf(encoded), p))
	}
	fleet := frametest.NewFleet(recording)
	for number := range uint64(n) {
		from, late := fleet.Host(number), rand.New(rand.NewPCG(number, 2))
		h := host{parts: parts}
		var start model.Millis
		for second := range 7200 {
			at, row := from.Next()
			if second%600 == 599 {
				// The recording is ten minutes; a block should not hold the same stretch twice.
				for range 7 {
					from.Next()
				}
			}
			if second%every == 0 {
				if second == 0 {
					start = at
				}
				h.times = append(h.times, start+model.Millis(1000*second+late.IntN(3)))
				h.rows = append(h.rows, append([]float64(nil), row...))
			}
		}
		hosts = append(hosts, h)
	}
	return hosts
}

func cpuTime(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// measure runs pass, which returns how many original samples it handled, and how many bytes they
// took. "best" is that of the best pass.
func measure(b *testing.B, pass func() (samples, size int)) {
	pass() // buffers grow
	runtime.GC()
	b.ReportAllocs()
	best, samples, size := 0.0, 0, 0
	before := cpuTime(b)
	for b.Loop() {
		n, m := pass()
		now := cpuTime(b)
		best = max(best, float64(n)/(now-before).Seconds())
		before = now
		samples, size = samples+n, size+m
	}
	b.ReportMetric(best/1e6, "best-Msamples/CPU-s")
	if size > 0 {
		b.ReportMetric(float64(size)/float64(samples), "B/sample")
	}
	b.ReportMetric(0, "ns/op")
}

// BenchmarkBuild compares sealing of raw rows, which is the yardstick, with making rollups of them:
// all of it, and without sealing the rollup.
func BenchmarkBuild(b *testing.B) {
	for _, shape := range shapes {
		hosts := newHosts(b, shape.every, 4)
		b.Run(shape.name+"/raw", func(b *testing.B) {
			w := block.NewWriter()
			var out []byte
			measure(b, func() (samples, size int) {
				for _, h := range hosts {
					w.Begin(model.WorkerID{1}, 1)
					if err := w.Schema(h.parts); err != nil {
						b.Fatal(err)
					}
					for i, row := range h.rows {
						if err := w.Append(h.times[i], row); err != nil {
							b.Fatal(err)
						}
						samples += len(row)
					}
					out = w.Seal(out[:0])
					size += len(out)
				}
				return
			})
		})
		for _, tier := range []Tier{Minute, Hour} {
			for _, sealed := range []bool{false, true} {
				name := shape.name + "/" + tier.String()
				if !sealed {
					name += "-rows"
				}
				b.Run(name, func(b *testing.B) {
					builder := NewBuilder(tier)
					var out []byte
					measure(b, func() (samples, size int) {
						for _, h := range hosts {
							builder.Begin(model.WorkerID{1}, 1)
							if err := builder.Schema(h.parts); err != nil {
								b.Fatal(err)
							}
							for i, row := range h.rows {
								if err := builder.Append(h.times[i], row); err != nil {
									b.Fatal(err)
								}
								samples += len(row)
							}
							if sealed {
								out = builder.Seal(out[:0])
								size += len(out)
							}
						}
						return
					})
				})
			}
		}
	}
}

// BenchmarkMerge makes hours of minutes, and large blocks of small ones.
func BenchmarkMerge(b *testing.B) {
	hosts := newHosts(b, 5, 1)
	builder := NewBuilder(Minute)
	h := hosts[0]
	var blocks []*block.Block
	for start := 0; start < len(h.rows); start += len(h.rows) / 4 {
		builder.Begin(model.WorkerID{1}, 1)
		if err := builder.Schema(h.parts); err != nil {
			b.Fatal(err)
		}
		for i := start; i < start+len(h.rows)/4; i++ {
			if err := builder.Append(h.times[i], h.rows[i]); err != nil {
				b.Fatal(err)
			}
		}
		blocks = append(blocks, opened(b, builder.Seal(nil)))
	}
	scales := map[frame.PartID][]uint8{}
	for _, p := range h.parts {
		scales[p.ID] = p.Scales
	}
	for _, tier := range []Tier{Minute, Hour} {
		b.Run(tier.String(), func(b *testing.B) {
			m := NewMerger()
			var out []byte
			measure(b, func() (samples, size int) {
				var err error
				if out, err = m.Merge(out[:0], tier, blocks, func(id frame.PartID) []uint8 { return scales[id] }); err != nil {
					b.Fatal(err)
				}
				return len(h.rows) * len(h.rows[0]), len(out)
			})
		})
	}
}

// BenchmarkQuery reads a part's series out of a day of minutes, and makes samples of them: what a query
// does for each host. Samples are the original ones.
func BenchmarkQuery(b *testing.B) {
	const every = 15
	hosts := newHosts(b, every, 1)
	h := hosts[0]
	builder := NewBuilder(Minute)
	builder.Begin(model.WorkerID{1}, 1)
	if err := builder.Schema(h.parts); err != nil {
		b.Fatal(err)
	}
	for i, row := range h.rows {
		if err := builder.Append(h.times[i], row); err != nil {
			b.Fatal(err)
		}
	}
	bl := opened(b, builder.Seal(nil))
	recording, _ := frametest.Node()
	cpu, ok := recording.Part("cpu")
	if !ok {
		b.Fatal("no cpu part in the recording")
	}
	first, last := bl.Range()
	for _, use := range []Use{UseLast, UseMax, UseRate} {
		b.Run([...]string{UseLast: "last", UseMax: "max", UseRate: "rate"}[use], func(b *testing.B) {
			r := NewReader()
			var e Emitter
			var list []Bucket
			var t []int64
			var v []float64
			p := Plan{Tier: Minute, Use: use, Range: 300_000, First: first + 300_000, Last: last, Step: 60_000}
			measure(b, func() (samples, size int) {
				if err := r.Reset(bl); err != nil {
					b.Fatal(err)
				}
				columns, err := r.Select(h.parts[cpu].ID)
				if err != nil || columns == 0 {
					b.Fatal(columns, err)
				}
				for c := range columns {
					if list, err = r.Buckets(list[:0], c, first, last); err != nil {
						b.Fatal(err)
					}
					t, v, _ = e.Emit(t[:0], v[:0], &p, list)
				}
				return columns * len(h.rows), 0
			})
		})
	}
}
