package store_test

import (
	"slices"
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// boot is all that one process of a worker has in its spool.
type boot struct {
	id      model.BootID
	records []spooled // by number, from 1 on
	streams map[model.StreamID]*stream
	parts   map[frame.PartID]uint64 // number of the record
	// received says which records the store was given, for the first time.
	received []bool
}

// spooled is a record, with what it means.
type spooled struct {
	frame.Record
	raw    []byte
	at     model.Millis // of frames
	key    bool
	layout *layout // of schemas and frames
	values []float64
}

type stream struct {
	layout  *layout
	encoder *frame.Encoder
}

func newBoot(id model.BootID) *boot {
	return &boot{id: id, streams: map[model.StreamID]*stream{}, parts: map[frame.PartID]uint64{}}
}

func (b *boot) add(s spooled) uint64 {
	s.Seq = uint64(len(b.records) + 1)
	s.raw = frame.AppendRecord(nil, s.Record)
	b.records, b.received = append(b.records, s), append(b.received, false)
	return s.Seq
}

// row adds a row; the schema goes first when it is another one than before. Values are kept.
func (b *boot) row(id model.StreamID, at model.Millis, l *layout, values []float64, keyEvery int) {
	s := b.streams[id]
	if s == nil || s.layout != l {
		s = &stream{l, frame.NewEncoder(l.frame, l.id, keyEvery)}
		b.streams[id] = s
		for i, part := range l.parts {
			if _, known := b.parts[part]; !known {
				b.parts[part] = b.add(spooled{Record: frame.Record{Kind: frame.KindPart, Payload: l.encoded[i]}})
			}
		}
		b.add(spooled{Record: frame.Record{Kind: frame.KindSchema, Stream: id, Payload: l.schema}, layout: l})
	}
	payload, key := s.encoder.Append(nil, at, values)
	b.add(spooled{Record: frame.Record{Kind: frame.KindFrame, Stream: id, Payload: payload}, at: at, key: key, layout: l, values: values})
}

// context are the numbers of the records that bring decoders to where record next fits:
// of each stream the frames from the last key frame on and the schema, and all parts, as schemas
// to come may name them.
func (b *boot) context(next uint64) (numbers []uint64) {
	wanted := map[uint64]bool{}
	keyed, declared := map[model.StreamID]bool{}, map[model.StreamID]bool{}
	for i := int(next) - 2; i >= 0; i-- {
		r := &b.records[i]
		switch {
		case r.Kind == frame.KindFrame && !keyed[r.Stream] && !declared[r.Stream]:
			wanted[r.Seq] = true
			keyed[r.Stream] = r.key
		case r.Kind == frame.KindSchema && !declared[r.Stream]:
			declared[r.Stream] = true
			wanted[r.Seq] = true
		case r.Kind == frame.KindPart:
			wanted[r.Seq] = true
		}
	}
	for n := range wanted {
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	return numbers
}

func TestContextIsWhatDecodersNeed(t *testing.T) {
	l := layouts{}.of(t, model.Part{Collector: "g", Families: []model.Family{{Name: "g", Series: []model.Labels{nil}}}})
	b := newBoot(model.BootIDFrom([16]byte{1}))
	for i := range 10 {
		b.row(1, model.Millis(i), l, []float64{1}, 4)
	}
	if got, want := b.context(9), []uint64{1, 2, 7, 8}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
