package schemas

import (
	"math/rand/v2"
	"testing"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

func workerID(n int) model.WorkerID {
	return model.WorkerIDFrom([16]byte{byte(n), byte(n >> 8), byte(n >> 16), 1})
}

func encode(tb testing.TB, p model.Part) []byte {
	tb.Helper()
	encoded, err := frame.AppendPart(nil, p)
	if err != nil {
		tb.Fatal(err)
	}
	return encoded
}

func schemaOf(parts ...*Part) []byte {
	s := frame.Schema{}
	for _, p := range parts {
		s.Parts = append(s.Parts, p.ID())
	}
	return frame.AppendSchema(nil, s)
}

// part makes a part of one family with the given label sets.
func simplePart(collector, name string, series ...model.Labels) model.Part {
	return model.Part{Collector: collector, Families: []model.Family{{Name: name, Help: "Help of " + name + ".", Type: model.Gauge, Series: series}}}
}

// book is a dictionary with a log.
type book struct {
	*Dictionary
	tb  testing.TB
	log [][]byte
}

func newBook(tb testing.TB) *book { return &book{Dictionary: New(DefaultConfig()), tb: tb} }

func (b *book) keep(record []byte, err error) {
	b.tb.Helper()
	if err != nil {
		b.tb.Fatal(err)
	}
	if len(record) > 0 {
		b.log = append(b.log, record)
	}
}

func (b *book) part(p model.Part) *Part {
	b.tb.Helper()
	record, added, err := b.AddPart(nil, encode(b.tb, p))
	b.keep(record, err)
	return added
}

func (b *book) schema(parts ...*Part) frame.SchemaID {
	b.tb.Helper()
	record, id, err := b.AddSchema(nil, schemaOf(parts...))
	b.keep(record, err)
	return id
}

func (b *book) source(worker int, ls ...string) *Source {
	b.tb.Helper()
	record, s, err := b.AddSource(nil, workerID(worker), labels.FromStrings(ls...))
	b.keep(record, err)
	return s
}

func (b *book) use(s *Source, stream model.StreamID, id frame.SchemaID, at ...model.Millis) *Span {
	b.tb.Helper()
	var span *Span
	for _, t := range at {
		record, used, err := b.Use(nil, s, stream, id, t)
		b.keep(record, err)
		span = used
	}
	return span
}

// reloaded is a dictionary made of records.
func reloaded(tb testing.TB, log [][]byte) *Dictionary {
	tb.Helper()
	d := New(DefaultConfig())
	for i, record := range log {
		if err := d.Load(record); err != nil {
			tb.Fatalf("record %d: %v", i, err)
		}
	}
	return d
}

func pick1[T any](rnd *rand.Rand, of []T) T { return of[rnd.IntN(len(of))] }
