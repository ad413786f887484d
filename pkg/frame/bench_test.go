package frame

import (
	"testing"

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

func BenchmarkEncode(b *testing.B) {
	eachRecording(b, func(b *testing.B, r *frametest.Recording, l *Layout) {
		e := NewEncoder(l, SchemaID{1}, benchKeyEvery)
		var out []byte
		bytes := 0
		at, n := r.Start, 0
		for b.Loop() {
			out, _ = e.Append(out[:0], at, r.Rows[n])
			bytes += len(out)
			at += r.Every
			if n++; n == len(r.Rows) {
				n = 0
			}
		}
		samples := float64(b.N) * float64(l.Columns())
		b.ReportMetric(samples/b.Elapsed().Seconds(), "samples/s")
		b.ReportMetric(float64(bytes)/samples, "B/sample")
	})
}

func BenchmarkDecode(b *testing.B) {
	eachRecording(b, func(b *testing.B, r *frametest.Recording, l *Layout) {
		frames := encodeAll(r, l, benchKeyEvery)
		d := NewDecoder(l, SchemaID{1})
		n := 0
		for b.Loop() {
			if err := d.Decode(frames[n]); err != nil {
				b.Fatal(err)
			}
			if n++; n == len(frames) {
				n = 0
			}
		}
		b.ReportMetric(float64(b.N)*float64(l.Columns())/b.Elapsed().Seconds(), "samples/s")
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
				for b.Loop() {
					if err := d.Decode(frames[n]); err != nil {
						b.Fatal(err)
					}
					if n++; n == len(frames) {
						n = 0
					}
				}
			})
		}
	})
}
