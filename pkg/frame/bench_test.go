package frame

import (
	"syscall"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/frame/frametest"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// benchKeyEvery is a minute of frames at one a second.
const benchKeyEvery = 60

var recordings = []struct {
	name string
	of   func(*frametest.Recording) *frametest.Recording
}{
	{"1s", func(r *frametest.Recording) *frametest.Recording { return r }},
	{"15s", func(r *frametest.Recording) *frametest.Recording { return r.Thin(15) }},
	{"1s-moving", func(r *frametest.Recording) *frametest.Recording { return r.Moving() }},
	{"15s-moving", func(r *frametest.Recording) *frametest.Recording { return r.Thin(15).Moving() }},
}

func eachRecording(b *testing.B, f func(b *testing.B, r *frametest.Recording, l *Layout)) {
	whole, err := frametest.Node()
	if err != nil {
		b.Fatal(err)
	}
	for _, r := range recordings {
		b.Run(r.name, func(b *testing.B) {
			recording := r.of(whole)
			l, err := NewLayout(recording.Parts)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			f(b, recording, l)
		})
	}
}

func encodeAll(r *frametest.Recording, l *Layout, keyEvery int) (frames [][]byte) {
	e := NewEncoder(l, SchemaID{1}, keyEvery)
	for i, row := range r.Rows {
		frame, _ := e.Append(nil, r.Start+model.Millis(i)*r.Every, row)
		frames = append(frames, frame)
	}
	return frames
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

// report gives samples per CPU-second since start, and bytes per sample where
// size bytes were written.
func report(b *testing.B, l *Layout, start time.Duration, size int) {
	used := cpuTime(b) - start
	samples := float64(b.N) * float64(l.Columns())
	b.ReportMetric(samples/used.Seconds(), "samples/s")
	b.ReportMetric(float64(used.Nanoseconds())/float64(b.N), "cpu-ns/op")
	if size > 0 {
		b.ReportMetric(float64(size)/samples, "B/sample")
	}
}

func BenchmarkEncode(b *testing.B) {
	eachRecording(b, func(b *testing.B, r *frametest.Recording, l *Layout) {
		e := NewEncoder(l, SchemaID{1}, benchKeyEvery)
		var out []byte
		size, n := 0, 0
		start := cpuTime(b)
		for b.Loop() {
			if n == len(r.Rows) {
				n = 0
				e.Restart()
			}
			out, _ = e.Append(out[:0], r.Start+model.Millis(n)*r.Every, r.Rows[n])
			size += len(out)
			n++
		}
		report(b, l, start, size)
	})
}

func BenchmarkDecode(b *testing.B) {
	eachRecording(b, func(b *testing.B, r *frametest.Recording, l *Layout) {
		frames := encodeAll(r, l, benchKeyEvery)
		d := NewDecoder(l, SchemaID{1})
		n := 0
		start := cpuTime(b)
		for b.Loop() {
			if err := d.Decode(frames[n]); err != nil {
				b.Fatal(err)
			}
			if n++; n == len(frames) {
				n = 0
			}
		}
		report(b, l, start, 0)
	})
}

// BenchmarkDecodeFleet decodes the frames of two thousand hosts in turn, as they
// arrive, so that every host's row has left the nearer caches when its next
// frame comes.
func BenchmarkDecodeFleet(b *testing.B) {
	const hosts, rounds = 2000, 30
	r, err := frametest.Node()
	if err != nil {
		b.Fatal(err)
	}
	l, err := NewLayout(r.Parts)
	if err != nil {
		b.Fatal(err)
	}
	fleet := frametest.NewFleet(r)
	decoders := make([]*Decoder, hosts)
	frames := make([][]byte, rounds*hosts) // round by round
	for h := range decoders {
		decoders[h] = NewDecoder(l, SchemaID{1})
		host, e := fleet.Host(uint64(h)), NewEncoder(l, SchemaID{1}, rounds)
		for round := range rounds {
			at, row := host.Next()
			frames[round*hosts+h], _ = e.Append(nil, at, row)
		}
	}
	n := 0
	start := cpuTime(b)
	for b.Loop() {
		if err := decoders[n%hosts].Decode(frames[n]); err != nil {
			b.Fatal(err)
		}
		if n++; n == len(frames) {
			n = 0
		}
	}
	report(b, l, start, 0)
}

// BenchmarkPath is all that a worker does to a round once it is read: frame and
// record. Its B/sample are those of the spool, the wire and the journal.
func BenchmarkPath(b *testing.B) {
	eachRecording(b, func(b *testing.B, r *frametest.Recording, l *Layout) {
		e := NewEncoder(l, SchemaID{1}, benchKeyEvery)
		var frame, out []byte
		size, n := 0, 0
		start := cpuTime(b)
		for b.Loop() {
			if n == len(r.Rows) {
				n = 0
				e.Restart()
			}
			frame, _ = e.Append(frame[:0], r.Start+model.Millis(n)*r.Every, r.Rows[n])
			out = AppendRecord(out[:0], Record{Seq: uint64(b.N), Kind: KindFrame, Stream: 1, Payload: frame})
			size += len(out)
			n++
		}
		report(b, l, start, size)
	})
}

// BenchmarkReceive is the collector's share: check the record, decode the frame.
func BenchmarkReceive(b *testing.B) {
	eachRecording(b, func(b *testing.B, r *frametest.Recording, l *Layout) {
		var records [][]byte
		for i, frame := range encodeAll(r, l, benchKeyEvery) {
			records = append(records, AppendRecord(nil, Record{Seq: uint64(i + 1), Kind: KindFrame, Stream: 1, Payload: frame}))
		}
		d := NewDecoder(l, SchemaID{1})
		n := 0
		start := cpuTime(b)
		for b.Loop() {
			record, _, err := ParseRecord(records[n])
			if err == nil {
				err = d.Decode(record.Payload)
			}
			if err != nil {
				b.Fatal(err)
			}
			if n++; n == len(records) {
				n = 0
			}
		}
		report(b, l, start, 0)
	})
}

func BenchmarkDecodePart(b *testing.B) {
	eachRecording(b, func(b *testing.B, r *frametest.Recording, l *Layout) {
		frames := encodeAll(r, l, benchKeyEvery)
		for _, collector := range []string{"cpu", "pressure", "zoneinfo"} {
			part, _ := r.Part(collector)
			b.Run(collector, func(b *testing.B) {
				d := NewPartDecoder(l, SchemaID{1}, part)
				n := 0
				start := cpuTime(b)
				for b.Loop() {
					if err := d.Decode(frames[n]); err != nil {
						b.Fatal(err)
					}
					if n++; n == len(frames) {
						n = 0
					}
				}
				b.ReportMetric(float64((cpuTime(b)-start).Nanoseconds())/float64(b.N), "cpu-ns/op")
			})
		}
	})
}
