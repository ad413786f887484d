package spool

import (
	"context"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// wide is a spool on the disk of this machine, and frames of 500 columns of which some
// change: about 300 bytes.
func wide(b *testing.B, config Config) (s *Spool, next func()) {
	b.Helper()
	s, err := Open(config, Deps{Dir: b.TempDir(), Boot: model.BootIDFrom([16]byte{1})})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	part := model.Part{Collector: "c", Families: []model.Family{{Name: "m", Type: model.Counter}}}
	for i := range 500 {
		part.Families[0].Series = append(part.Families[0].Series, model.LabelsOf("i", string(rune('a'+i%26))+string(rune('a'+i/26))))
	}
	encoded, err := frame.AppendPart(nil, part)
	if err != nil {
		b.Fatal(err)
	}
	layout, err := frame.NewLayout([]model.Part{part})
	if err != nil {
		b.Fatal(err)
	}
	schema := frame.Schema{Parts: []frame.PartID{frame.PartIDOf(encoded)}}
	s.Append(frame.KindPart, 0, false, encoded, 0)
	s.Append(frame.KindSchema, 1, false, frame.AppendSchema(nil, schema), 0)
	encoder, row, at := frame.NewEncoder(layout, schema.ID(), 60), make([]float64, 500), model.Millis(1_700_000_000_000)
	var payload []byte
	return s, func() {
		at += 1000
		for i := 0; i < 500; i += 4 {
			row[i] += float64(i % 50)
		}
		var key bool
		payload, key = encoder.Append(payload[:0], at, row)
		if _, err := s.Append(frame.KindFrame, 1, key, payload, 500); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkAppend is one round of a worker, its encoding included: a system call.
func BenchmarkAppend(b *testing.B) {
	s, next := wide(b, DefaultConfig())
	st, err := s.Live(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		next()
		if i%16 == 0 {
			s.mu.Lock()
			newest := s.cur.next - 1
			s.mu.Unlock()
			st.Acked(newest)
		}
		if i%1024 == 0 {
			s.tend()
		}
	}
}

// BenchmarkAppendFull is the same while nobody acknowledges and the spool is full.
func BenchmarkAppendFull(b *testing.B) {
	config := DefaultConfig()
	config.MaxBytes = smallest
	_, next := wide(b, config)
	for range 20000 {
		next()
	}
	b.ReportAllocs()
	for b.Loop() {
		next()
	}
}

// BenchmarkNext delivers a backlog of 100,000 frames, again and again.
func BenchmarkNext(b *testing.B) {
	s, next := wide(b, DefaultConfig())
	for range 100000 {
		next()
	}
	st, err := s.Live(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	var buffer []byte
	records := 0
	b.ReportAllocs()
	began := time.Now()
	for after := uint64(0); b.Loop(); {
		var last uint64
		buffer, last, err = st.Next(context.Background(), after, buffer[:0], 128<<10)
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(int64(len(buffer)))
		records += int(last - after)
		if after = last; last >= 100000 {
			after = 0
		}
	}
	b.ReportMetric(float64(time.Since(began).Nanoseconds())/float64(records), "ns/record")
}

// BenchmarkOpen finds a backlog of a day.
func BenchmarkOpen(b *testing.B) {
	config := DefaultConfig()
	s, next := wide(b, config)
	for range 86400 {
		next()
	}
	dir := s.deps.Dir
	s.Close()
	for i := 0; b.Loop(); i++ {
		again, err := Open(config, Deps{Dir: dir, Boot: model.BootIDFrom([16]byte{2, byte(i), byte(i >> 8)})})
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(again.Stats().Bytes), "bytes")
		again.Close()
	}
}
