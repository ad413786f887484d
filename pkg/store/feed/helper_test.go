package feed

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

var testNow = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

// sink is what a feed writes to. It reads what it gets, as the store does.
type sink struct {
	t     *testing.T
	feed  *Feed
	now   time.Time
	fails func(record frame.Record) error // nil: nothing does

	sessions int
	records  map[frame.Kind]int
	bytes    int // of parts
	parts    map[frame.PartID]model.Part
	schemas  map[model.StreamID][]frame.SchemaID // that the session has heard of
	named    map[frame.SchemaID][]model.Part
	decoders map[model.StreamID]*frame.Decoder
	present  map[model.StreamID]frame.SchemaID
	got      map[string]float64 // "series at time"
	seq      uint64
	closed   bool
}

func newSink(t *testing.T, maxSeries int) *sink {
	s := &sink{t: t, now: testNow, records: map[frame.Kind]int{}, named: map[frame.SchemaID][]model.Part{}, got: map[string]float64{}}
	s.feed = New(Options{MaxSeries: maxSeries, Retention: 24 * time.Hour, MaxAhead: time.Hour, Now: func() time.Time { return s.now },
		Flush: func() error { return nil },
		Open: func(model.BootID) (Session, error) {
			s.sessions++
			s.parts, s.schemas = map[frame.PartID]model.Part{}, map[model.StreamID][]frame.SchemaID{}
			s.decoders, s.present = map[model.StreamID]*frame.Decoder{}, map[model.StreamID]frame.SchemaID{}
			s.seq, s.closed = 0, false
			return s, nil
		}})
	return s
}

// Close implements Session.
func (s *sink) Close() error {
	s.closed = true
	return nil
}

// Append implements Session.
func (s *sink) Append(r frame.Record, raw []byte) error {
	if s.closed {
		return errors.New("append to a closed session")
	}
	if r.Seq != s.seq+1 {
		s.t.Errorf("record %d after %d", r.Seq, s.seq)
	}
	if _, n, err := frame.ParseRecord(raw); err != nil || n != len(raw) {
		s.t.Errorf("record: %v", err)
	}
	s.seq = r.Seq
	if s.fails != nil {
		if err := s.fails(r); err != nil {
			return err
		}
	}
	s.records[r.Kind]++
	switch r.Kind {
	case frame.KindPart:
		part, err := frame.ParsePart(r.Payload)
		if err != nil {
			return err
		}
		s.bytes += len(r.Payload)
		s.parts[frame.PartIDOf(r.Payload)] = part
	case frame.KindSchema:
		schema, err := frame.ParseSchema(r.Payload)
		if err != nil {
			return err
		}
		var parts []model.Part
		for _, id := range schema.Parts {
			part, known := s.parts[id]
			if !known {
				return fmt.Errorf("part %v was not sent", id)
			}
			parts = append(parts, part)
		}
		s.named[schema.ID()] = parts
		s.schemas[r.Stream] = append(s.schemas[r.Stream], schema.ID())
	case frame.KindFrame:
		return s.frame(r)
	}
	return nil
}

func (s *sink) frame(r frame.Record) error {
	h, err := frame.Peek(r.Payload)
	if err != nil {
		return err
	}
	if h.Key {
		declared := s.schemas[r.Stream]
		if n := len(declared); n == 0 || declared[n-1] != h.Schema {
			return fmt.Errorf("key frame of schema %v, which was not declared last", h.Schema)
		}
		layout, err := frame.NewLayout(s.named[h.Schema])
		if err != nil {
			return err
		}
		s.decoders[r.Stream], s.present[r.Stream] = frame.NewDecoder(layout, h.Schema), h.Schema
	}
	d := s.decoders[r.Stream]
	if err := d.Decode(r.Payload); err != nil {
		return err
	}
	column := 0
	for _, p := range s.named[s.present[r.Stream]] {
		for _, f := range p.Families {
			for _, own := range f.Series {
				v := d.Row()[column]
				column++
				if model.IsAbsent(v) {
					continue
				}
				key := fmt.Sprintf("%s%v at %d", f.Name, own, h.At)
				if _, known := s.got[key]; !known {
					s.got[key] = v
				}
			}
		}
	}
	return nil
}

func series0(n int) labels.Labels {
	return labels.FromStrings(labels.MetricName, fmt.Sprintf("m%d", n%3), "n", fmt.Sprint(n))
}

// commit commits a sample of each of some series.
func (s *sink) commit(at int64, numbers ...int) error {
	s.t.Helper()
	a := s.feed.Appender(context.Background())
	for _, n := range numbers {
		if _, err := a.Append(0, series0(n), at, float64(n)); err != nil {
			s.t.Fatal(err)
		}
	}
	return a.Commit()
}

// has checks that a sample has come.
func (s *sink) has(at int64, numbers ...int) {
	s.t.Helper()
	for _, n := range numbers {
		key := fmt.Sprintf("m%d%v at %d", n%3, model.LabelsOf("n", fmt.Sprint(n)), at)
		if v, is := s.got[key]; !is || v != float64(n) {
			s.t.Errorf("%s: %v, %v", key, v, is)
		}
	}
}

func upTo(n int) (numbers []int) {
	for i := range n {
		numbers = append(numbers, i)
	}
	return numbers
}
