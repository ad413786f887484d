package spool

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// receiver decodes what a spool gives, as a collector does, and fails when
// something cannot be decoded.
type receiver struct {
	t        *testing.T
	spool    *Spool
	parts    map[frame.PartID]model.Part
	layouts  map[model.StreamID]*frame.Layout
	decoders map[model.StreamID]*frame.Decoder
	after    uint64 // everything up to it is stored
	records  int
	rows     map[uint64]float64 // first column of every frame, by number
}

func newReceiver(t *testing.T, s *Spool) *receiver {
	return &receiver{t: t, spool: s, parts: map[frame.PartID]model.Part{}, rows: map[uint64]float64{}}
}

// connect begins with fresh decoders behind what is stored; forget says that
// the parts are lost, too.
func (r *receiver) connect(forget bool) {
	r.t.Helper()
	r.decoders = map[model.StreamID]*frame.Decoder{}
	if forget {
		clear(r.parts)
	}
	raw, err := r.spool.Context(r.after, func(id frame.PartID) bool { _, known := r.parts[id]; return known })
	if err != nil {
		r.t.Fatal(err)
	}
	r.take(raw, 0, r.after)
}

// pull takes what there is now, at most about most bytes of it, and returns
// whether there was something.
func (r *receiver) pull(most int) bool {
	r.t.Helper()
	raw, last, grown := r.spool.take(r.after, nil, most)
	if grown != nil {
		return false
	}
	r.take(raw, r.after, last)
	r.after = last
	return true
}

func (r *receiver) take(raw []byte, above, upTo uint64) {
	r.t.Helper()
	for latest := above; len(raw) > 0; {
		record, n, err := frame.ParseRecord(raw)
		if err != nil {
			r.t.Fatal(err)
		}
		if record.Seq <= latest || record.Seq > upTo {
			r.t.Fatalf("record %d after %d, want up to %d", record.Seq, latest, upTo)
		}
		latest = record.Seq
		if err := r.decode(record); err != nil {
			r.t.Fatalf("record %d (%v of stream %d): %v", record.Seq, record.Kind, record.Stream, err)
		}
		r.records++
		raw = raw[n:]
	}
}

func (r *receiver) decode(record frame.Record) error {
	switch record.Kind {
	case frame.KindPart:
		part, err := frame.ParsePart(record.Payload)
		r.parts[frame.PartIDOf(record.Payload)] = part
		return err
	case frame.KindSchema:
		return r.follow(record)
	case frame.KindFrame:
		decoder := r.decoders[record.Stream]
		if decoder == nil {
			return errors.New("no schema")
		}
		if err := decoder.Decode(record.Payload); err != nil {
			return err
		}
		r.rows[record.Seq] = decoder.Row()[0]
	}
	return nil
}

func (r *receiver) follow(record frame.Record) error {
	schema, err := frame.ParseSchema(record.Payload)
	if err != nil {
		return err
	}
	var parts []model.Part
	for _, id := range schema.Parts {
		part, known := r.parts[id]
		if !known {
			return fmt.Errorf("part %v unknown", id)
		}
		parts = append(parts, part)
	}
	layout, err := frame.NewLayout(parts)
	if err != nil {
		return err
	}
	r.decoders[record.Stream] = frame.NewDecoder(layout, schema.ID())
	return nil
}

// sampler fills a spool as the worker's sampler does.
type sampler struct {
	t        *testing.T
	spool    *Spool
	keyEvery int
	at       model.Millis
	encoders map[model.StreamID]*frame.Encoder
	columns  map[model.StreamID]int
	said     map[uint64]float64 // first column by number, as receiver.rows
}

func newSampler(t *testing.T, s *Spool, keyEvery int) *sampler {
	return &sampler{t: t, spool: s, keyEvery: keyEvery, encoders: map[model.StreamID]*frame.Encoder{},
		columns: map[model.StreamID]int{}, said: map[uint64]float64{}}
}

// testPart is a part that differs from all others of another n.
func testPart(n int) model.Part {
	family := model.Family{Name: fmt.Sprintf("metric_%d", n), Type: model.Counter}
	for i := range 3 + n%5 {
		family.Series = append(family.Series, model.LabelsOf("i", fmt.Sprint(i)))
	}
	return model.Part{Collector: fmt.Sprintf("c%d", n), Families: []model.Family{family}}
}

// define gives a stream a schema of the numbered parts.
func (s *sampler) define(stream model.StreamID, numbers ...int) {
	s.t.Helper()
	var schema frame.Schema
	var parts []model.Part
	for _, n := range numbers {
		encoded, err := frame.AppendPart(nil, testPart(n))
		if err != nil {
			s.t.Fatal(err)
		}
		if _, err := s.spool.Append(frame.KindPart, 0, false, encoded); err != nil {
			s.t.Fatal(err)
		}
		parts = append(parts, testPart(n))
		schema.Parts = append(schema.Parts, frame.PartIDOf(encoded))
	}
	layout, err := frame.NewLayout(parts)
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := s.spool.Append(frame.KindSchema, stream, false, frame.AppendSchema(nil, schema)); err != nil {
		s.t.Fatal(err)
	}
	s.encoders[stream] = frame.NewEncoder(layout, schema.ID(), s.keyEvery)
	s.columns[stream] = layout.Columns()
}

// round appends a frame to a stream. When the spool asks for a key frame, the
// next one will be one.
func (s *sampler) round(stream model.StreamID) (seq uint64, err error) {
	s.at += 1000
	row := make([]float64, s.columns[stream])
	for i := range row {
		row[i] = float64(s.at) + float64(i)
	}
	payload, key := s.encoders[stream].Append(nil, s.at, row)
	seq, err = s.spool.Append(frame.KindFrame, stream, key, payload)
	if err != nil {
		s.encoders[stream].Restart()
		return 0, err
	}
	s.said[seq] = row[0]
	return seq, nil
}

func (s *sampler) rounds(stream model.StreamID, n int) {
	s.t.Helper()
	for range n {
		if _, err := s.round(stream); err != nil {
			s.t.Fatal(err)
		}
	}
}

// clock is a time that the test sets.
type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

func newSpool(t *testing.T, change func(*Config)) (*Spool, *clock) {
	t.Helper()
	config, c := DefaultConfig(), &clock{time.Unix(1_700_000_000, 0)}
	if change != nil {
		change(&config)
	}
	s, err := New(config, model.BootIDFrom([16]byte{1}), c.now)
	if err != nil {
		t.Fatal(err)
	}
	return s, c
}

// TestWhatIsLeftCanBeDecoded does everything at random: streams of different
// rates, schema changes, events, outages, overflow, age, receivers that reconnect
// with and without their memory.
func TestWhatIsLeftCanBeDecoded(t *testing.T) {
	for seed := range uint64(40) {
		random := rand.New(rand.NewPCG(seed, 0))
		s, c := newSpool(t, func(c *Config) { c.MaxAge = time.Duration(1+random.IntN(20)) * time.Minute })
		s.config.MaxBytes = model.Bytes(8<<10 + random.IntN(64<<10)) // below what Validate allows
		from, to := newSampler(t, s, 2+random.IntN(20)), newReceiver(t, s)
		for stream := range model.StreamID(3) {
			from.define(stream, int(stream), 10)
		}
		to.connect(true)
		events := 0
		for range 3000 {
			c.t = c.t.Add(time.Second)
			switch n := random.IntN(100); {
			case n < 70:
				from.round(model.StreamID(random.IntN(3) * random.IntN(2)))
			case n < 75:
				if _, err := s.Append(frame.KindEvent, 0, false, []byte("an event")); err != nil {
					t.Fatal(err)
				}
				events++
			case n < 77:
				from.define(model.StreamID(random.IntN(3)), random.IntN(6), 10+random.IntN(4))
			case n < 90:
				to.pull(1 + random.IntN(4000))
			case n < 97:
				s.Acked(to.after)
			default:
				to.connect(random.IntN(2) == 0)
			}
			check(t, s)
		}
		for to.pull(1000) {
		}
		stats := s.Stats()
		for seq, got := range to.rows {
			if want := from.said[seq]; got != want {
				t.Fatalf("seed %d: frame %d decoded to %v, want %v", seed, seq, got, want)
			}
		}
		lost := stats.DroppedFull.Records + stats.DroppedOld.Records
		if missing := len(from.said) + events - received(to, from, events); uint64(missing) > lost {
			t.Errorf("seed %d: %d records did not arrive, %d counted as dropped", seed, missing, lost)
		}
	}
}

// received is how many frames arrived, plus all events, whose arrival the
// receiver does not note.
func received(to *receiver, from *sampler, events int) int {
	n := events
	for seq := range from.said {
		if _, arrived := to.rows[seq]; arrived {
			n++
		}
	}
	return n
}

// check compares the spool's figures with what it holds.
func check(t *testing.T, s *Spool) {
	t.Helper()
	var bytes, unacked uint64
	holes := 0
	for i, r := range s.records.all {
		if i > 0 && r.seq <= s.records.all[i-1].seq {
			t.Fatalf("record %d after %d", r.seq, s.records.all[i-1].seq)
		}
		if r.raw == nil {
			holes++
			continue
		}
		bytes += r.cost()
		if r.seq > s.acked {
			unacked++
		}
	}
	if bytes != s.records.bytes || holes != s.records.holes || unacked != s.stats.Unacked {
		t.Fatalf("%d bytes, %d holes, %d not acknowledged; the spool says %d, %d, %d", bytes, holes, unacked, s.records.bytes, s.records.holes, s.stats.Unacked)
	}
	if over := s.records.bytes > uint64(s.config.MaxBytes); over && len(s.groups) > 0 {
		t.Fatalf("%d bytes held of at most %d", s.records.bytes, s.config.MaxBytes)
	}
	for i, g := range s.groups {
		if i > 0 && g.first() <= s.groups[i-1].first() {
			t.Fatalf("group of %d after group of %d", g.first(), s.groups[i-1].first())
		}
		if g.closed && g.newest() <= s.acked {
			t.Fatalf("group %d to %d is closed, acknowledged up to %d, and still there", g.first(), g.newest(), s.acked)
		}
	}
}

var _ interface {
	Boot() model.BootID
	Range() (first, next uint64)
	Parts() []frame.PartID
	Context(after uint64, known func(frame.PartID) bool) ([]byte, error)
	Next(ctx context.Context, after uint64, dst []byte, most int) ([]byte, uint64, error)
	Acked(through uint64)
} = (*Spool)(nil)
