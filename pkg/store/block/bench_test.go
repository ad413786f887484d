package block

import (
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/frame/frametest"
)

// benchHosts have 60 MiB of rows together, so that no cache holds them.
const benchHosts = 20

var shapes = []struct {
	name        string
	every, rows int
	of          func(*frametest.Recording) *frametest.Recording
}{
	{"1s-10m", 1, 600, nil},
	{"15s-10m", 15, 40, nil},
	{"15s-1h", 15, 240, nil},
	{"15s-2h", 15, 480, nil},
	{"1s-10m-moving", 1, 600, (*frametest.Recording).Moving},
	{"15s-2h-moving", 15, 480, (*frametest.Recording).Moving},
}

// cpuTime is what the process has used of its processors. A benchmark that
// shares its machine says nothing in wall-clock time.
func cpuTime(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// measure runs one pass over all hosts per iteration. pass returns how many
// samples it handled and how many bytes they took. "best" is the best tenth of a
// second of processor time: what neighbours on the machine took least of.
func measure(b *testing.B, pass func() (samples, size int)) {
	pass() // buffers grow
	runtime.GC()
	b.ReportAllocs()
	samples, size := 0, 0
	var used, window time.Duration
	inWindow, best := 0, 0.0
	start := cpuTime(b)
	for b.Loop() {
		n, m := pass()
		samples, size, inWindow = samples+n, size+m, inWindow+n
		now := cpuTime(b)
		used, window = used+now-start, window+now-start
		start = now
		if window >= 100*time.Millisecond {
			best = max(best, float64(inWindow)/window.Seconds())
			window, inWindow = 0, 0
		}
	}
	b.ReportMetric(float64(samples)/used.Seconds()/1e6, "Msamples/CPU-s")
	b.ReportMetric(best/1e6, "best-Msamples/CPU-s")
	if size > 0 {
		b.ReportMetric(float64(size)/float64(samples), "B/sample")
	}
	b.ReportMetric(0, "ns/op")
}

func eachShape(b *testing.B, f func(b *testing.B, hosts []stretch)) {
	for _, s := range shapes {
		b.Run(s.name, func(b *testing.B) {
			rec := newRecorded(b, s.every, s.of)
			var hosts []stretch
			for host := range uint64(benchHosts) {
				hosts = append(hosts, rec.block(host, s.rows))
			}
			f(b, hosts)
		})
	}
}

// BenchmarkSeal is everything from decoded rows to the sealed block.
func BenchmarkSeal(b *testing.B) {
	eachShape(b, func(b *testing.B, hosts []stretch) {
		w := NewWriter()
		var out []byte
		measure(b, func() (samples, size int) {
			for _, s := range hosts {
				s.fill(b, w)
				out = w.Seal(out[:0])
				samples, size = samples+s.values(), size+len(out)
			}
			return
		})
	})
}

// BenchmarkSize seals 200 hosts, one after the other, and tells what the bytes
// are for. Its times mean nothing: most of them go into making rows.
func BenchmarkSize(b *testing.B) {
	const hosts = 200
	for _, shape := range shapes {
		b.Run(shape.name, func(b *testing.B) {
			rec, w := newRecorded(b, shape.every, shape.of), NewWriter()
			var out []byte
			samples, all, times, heads := 0, 0, 0, 0
			for b.Loop() {
				for host := range uint64(hosts) {
					s := rec.block(host, shape.rows)
					s.fill(b, w)
					out = w.Seal(out[:0])
					block, err := Open(out)
					if err != nil {
						b.Fatal(err)
					}
					samples, all = samples+s.values(), all+len(out)
					times += block.times.head + block.times.data
					heads += block.times.at
					for _, e := range block.parts {
						heads += e.place.head
					}
				}
			}
			b.ReportMetric(float64(all)/float64(samples), "B/sample")
			b.ReportMetric(float64(heads)/float64(samples), "index-B/sample")
			b.ReportMetric(float64(times)/float64(samples), "times-B/sample")
		})
	}
}

func sealAll(b *testing.B, hosts []stretch) (blocks [][]byte) {
	w := NewWriter()
	for _, s := range hosts {
		s.fill(b, w)
		blocks = append(blocks, w.Seal(nil))
	}
	return blocks
}

// BenchmarkScan opens every block and decodes every column, times and values.
func BenchmarkScan(b *testing.B) {
	eachShape(b, func(b *testing.B, hosts []stretch) {
		blocks := sealAll(b, hosts)
		r, block := NewReader(), new(Block)
		var t []int64
		var v []float64
		measure(b, func() (samples, size int) {
			for _, data := range blocks {
				err := block.Reopen(data)
				if err != nil {
					b.Fatal(err)
				}
				r.Reset(block)
				from, to := block.Range()
				for part := range block.Parts() {
					if err = r.Select(part); err != nil {
						b.Fatal(err)
					}
					for c := range r.Columns() {
						if t, v, err = r.Column(t[:0], v[:0], c, from, to); err != nil {
							b.Fatal(err)
						}
						samples += len(v)
					}
				}
			}
			return
		})
	})
}

// BenchmarkPart is the share of one host in a query of the last five minutes of
// the cpu part: open the block, read the part, decode its columns.
func BenchmarkPart(b *testing.B) {
	eachShape(b, func(b *testing.B, hosts []stretch) {
		blocks := sealAll(b, hosts)
		node, err := frametest.Node()
		if err != nil {
			b.Fatal(err)
		}
		cpu, _ := node.Part("cpu")
		encoded, err := frame.AppendPart(nil, node.Parts[cpu])
		if err != nil {
			b.Fatal(err)
		}
		id := frame.PartIDOf(encoded)
		r, block := NewReader(), new(Block)
		var t []int64
		var v []float64
		start := cpuTime(b)
		for i := 0; b.Loop(); i++ {
			err := block.Reopen(blocks[i%len(blocks)])
			if err != nil {
				b.Fatal(err)
			}
			part, ok := block.Find(id)
			if !ok {
				b.Skip("all of its columns must move")
			}
			r.Reset(block)
			if err = r.Select(part); err != nil {
				b.Fatal(err)
			}
			_, last := block.Range()
			for c := range r.Columns() {
				if t, v, err = r.Column(t[:0], v[:0], c, last-5*60*1000, last); err != nil {
					b.Fatal(err)
				}
			}
		}
		b.ReportMetric(float64((cpuTime(b)-start).Nanoseconds())/float64(b.N), "cpu-ns/op")
	})
}

// xorChunks is the yardstick: what prometheus/tsdb stores, 120 samples a chunk. The
// times are regular to the millisecond, as its scraper makes them: with those of the
// stretch a sample would take two bytes more.
func xorChunks(b *testing.B, s stretch) (chunks []*chunkenc.XORChunk, size int) {
	const perChunk = 120
	r := s.runs[0]
	for c := range r.rows[0] {
		for from := 0; from < len(r.rows); from += perChunk {
			chunk := chunkenc.NewXORChunk()
			app, err := chunk.Appender()
			if err != nil {
				b.Fatal(err)
			}
			for i := from; i < min(from+perChunk, len(r.rows)); i++ {
				app.Append(0, r.times[0]+int64(i)*1000, r.rows[i][c])
			}
			chunks, size = append(chunks, chunk), size+len(chunk.Bytes())
		}
	}
	return chunks, size
}

func BenchmarkXORSeal(b *testing.B) {
	eachShape(b, func(b *testing.B, hosts []stretch) {
		measure(b, func() (samples, size int) {
			for _, s := range hosts {
				_, n := xorChunks(b, s)
				samples, size = samples+s.values(), size+n
			}
			return
		})
	})
}

func BenchmarkXORScan(b *testing.B) {
	eachShape(b, func(b *testing.B, hosts []stretch) {
		var all []*chunkenc.XORChunk
		for _, s := range hosts {
			chunks, _ := xorChunks(b, s)
			all = append(all, chunks...)
		}
		var it chunkenc.Iterator
		sum := 0.0
		measure(b, func() (samples, size int) {
			for _, chunk := range all {
				it = chunk.Iterator(it)
				for it.Next() == chunkenc.ValFloat {
					_, v := it.At()
					sum += v
					samples++
				}
			}
			return
		})
	})
}
