package spool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/event"
	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// fail ends a test from anywhere below a life or a t.Run that recovers.
func fail(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

// name is a record of any boot.
type name struct {
	boot model.BootID
	seq  uint64
}

// collector stores what spools of one worker give it, as the real one does, and
// fails when something cannot be decoded.
type collector struct {
	parts    map[frame.PartID]model.Part
	coverage map[model.BootID]*intervals
	rows     map[name]float64 // first column of every frame
	gaps     map[event.Gap]bool
	events   int // others
	again    int // frames that came more than once
}

func newCollector() *collector {
	return &collector{parts: map[frame.PartID]model.Part{}, coverage: map[model.BootID]*intervals{}, rows: map[name]float64{}, gaps: map[event.Gap]bool{}}
}

// link is a connection.
type link struct {
	*collector
	stretch  *Stretch
	covered  *intervals
	resume   uint64
	after    uint64
	latest   uint64
	decoders map[model.StreamID]*frame.Decoder
	ended    bool
	took     []string
}

// connect begins a connection with fresh decoders, behind what is stored of the
// stretch.
func (c *collector) connect(st *Stretch, ack bool) *link {
	first, next := st.Range()
	if first > next || first == 0 {
		fail("stretch from %d to %d", first, next)
	}
	covered := c.coverage[st.Boot()]
	if covered == nil {
		covered = new(intervals)
		c.coverage[st.Boot()] = covered
	}
	l := &link{collector: c, stretch: st, covered: covered, decoders: map[model.StreamID]*frame.Decoder{}}
	l.resume = min(covered.past(first)-1, max(next, 1)-1)
	l.after = l.resume
	if ack {
		st.Acked(l.resume)
	}
	offered := map[frame.PartID]bool{}
	for _, id := range st.Parts() {
		_, offered[id] = c.parts[id]
	}
	raw, err := st.Context(l.resume, func(id frame.PartID) bool { return offered[id] })
	if err != nil {
		fail("context of %d: %v", l.resume, err)
	}
	l.take(raw, l.resume)
	return l
}

// pull takes what there is now, about most bytes of it, and reports whether there
// was something.
func (l *link) pull(most int) bool {
	if l.ended {
		return false
	}
	raw, last, err := l.stretch.Next(done(), l.after, nil, most)
	switch {
	case errors.Is(err, io.EOF):
		l.ended = true
		return false
	case errors.Is(err, context.Canceled):
		return false
	case err != nil:
		fail("next after %d: %v", l.after, err)
	case len(raw) == 0 || last <= l.after || last >= l.stretch.end:
		fail("%d bytes from %d to %d of a stretch to %d", len(raw), l.after, last, l.stretch.end)
	}
	l.take(raw, last)
	l.covered.add(l.after+1, last) // what is missing between never comes
	l.after = last
	return true
}

func (l *link) ack() {
	if l.after >= l.stretch.first {
		l.stretch.Acked(l.after)
	}
}

// done is a context that has ended: Next then gives what is there and does not wait.
func done() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

func (l *link) take(raw []byte, upTo uint64) {
	for len(raw) > 0 {
		r, n, err := frame.ParseRecord(raw)
		if err != nil {
			fail("%v", err)
		}
		if r.Seq <= l.latest || r.Seq > upTo {
			fail("record %d after %d, want up to %d", r.Seq, l.latest, upTo)
		}
		l.latest = r.Seq
		l.took = append(l.took, fmt.Sprintf("%d %v %d", r.Seq, r.Kind, r.Stream))
		if err := l.decode(r); err != nil {
			fail("record %d (%v of stream %d) of boot %v: %v\nbefore: %v", r.Seq, r.Kind, r.Stream, l.stretch.Boot(), err, l.took)
		}
		raw = raw[n:]
	}
}

func (l *link) decode(r frame.Record) error {
	switch r.Kind {
	case frame.KindPart:
		part, err := frame.ParsePart(r.Payload)
		l.parts[frame.PartIDOf(r.Payload)] = part
		return err
	case frame.KindSchema:
		return l.follow(r)
	case frame.KindFrame:
		decoder := l.decoders[r.Stream]
		if decoder == nil {
			return errors.New("no schema")
		}
		if err := decoder.Decode(r.Payload); err != nil {
			return err
		}
		if r.Seq > l.resume {
			at := name{l.stretch.Boot(), r.Seq}
			if _, twice := l.rows[at]; twice {
				l.again++
			}
			l.rows[at] = decoder.Row()[0]
		}
	case frame.KindEvent:
		e, err := event.Parse(r.Payload)
		if err == nil && e.Gap != nil && r.Seq > l.resume {
			gap := *e.Gap
			gap.From, gap.To = 0, 0 // damage that is found a second time is not dated alike
			l.gaps[gap] = true
		} else if r.Seq > l.resume {
			l.events++
		}
		return err
	}
	return nil
}

func (l *link) follow(r frame.Record) error {
	schema, err := frame.ParseSchema(r.Payload)
	if err != nil {
		return err
	}
	var parts []model.Part
	for _, id := range schema.Parts {
		part, known := l.parts[id]
		if !known {
			return fmt.Errorf("part %v unknown", id)
		}
		parts = append(parts, part)
	}
	layout, err := frame.NewLayout(parts)
	if err != nil {
		return err
	}
	l.decoders[r.Stream] = frame.NewDecoder(layout, schema.ID())
	return nil
}

// sampler fills a spool as the worker's sampler does.
type sampler struct {
	spool    *Spool
	keyEvery int
	at       model.Millis
	vary     func() int // how many values of a row are absent
	encoders map[model.StreamID]*frame.Encoder
	columns  map[model.StreamID]int
	said     map[name]said
}

// said is a frame that was taken.
type said struct {
	first   float64
	samples uint64
	at      time.Time
}

func newSampler(s *Spool, keyEvery int) *sampler {
	f := &sampler{keyEvery: keyEvery, vary: func() int { return 0 }, said: map[name]said{}}
	f.use(s)
	return f
}

// use goes on with another spool, as a new process does.
func (f *sampler) use(s *Spool) {
	f.spool, f.encoders, f.columns = s, map[model.StreamID]*frame.Encoder{}, map[model.StreamID]int{}
}

// testPart is a part that differs from all others of another n.
func testPart(n int) model.Part {
	family := model.Family{Name: fmt.Sprintf("metric_%d", n), Type: model.Counter}
	for i := range 3 + n%5 {
		family.Series = append(family.Series, model.LabelsOf("i", fmt.Sprint(i)))
	}
	return model.Part{Collector: fmt.Sprintf("c%d", n), Families: []model.Family{family}}
}

func encodedPart(n int) []byte {
	encoded, err := frame.AppendPart(nil, testPart(n))
	if err != nil {
		fail("%v", err)
	}
	return encoded
}

// define gives a stream a schema of the numbered parts. It fails only for want of
// room.
func (f *sampler) define(stream model.StreamID, numbers ...int) error {
	var schema frame.Schema
	var parts []model.Part
	for _, n := range numbers {
		if _, err := f.spool.Append(frame.KindPart, 0, false, encodedPart(n), 0); err != nil {
			return err
		}
		parts = append(parts, testPart(n))
		schema.Parts = append(schema.Parts, frame.PartIDOf(encodedPart(n)))
	}
	layout, err := frame.NewLayout(parts)
	if err != nil {
		fail("%v", err)
	}
	if _, err := f.spool.Append(frame.KindSchema, stream, false, frame.AppendSchema(nil, schema), 0); err != nil {
		return err
	}
	f.encoders[stream] = frame.NewEncoder(layout, schema.ID(), f.keyEvery)
	f.columns[stream] = layout.Columns()
	return nil
}

// round appends a frame to a stream. When the spool asks for a key frame it gets
// one at once.
func (f *sampler) round(stream model.StreamID) (seq uint64) {
	f.at += 1000
	row := make([]float64, f.columns[stream])
	for i := range row {
		row[i] = float64(f.at) + float64(i)
	}
	absent := min(f.vary(), len(row)-1)
	for i := range absent {
		row[len(row)-1-i] = model.Absent()
	}
	samples := len(row) - absent
	payload, key := f.encoders[stream].Append(nil, f.at, row)
	seq, err := f.spool.Append(frame.KindFrame, stream, key, payload, samples)
	if errors.Is(err, ErrKeyNeeded) {
		f.encoders[stream].Restart()
		payload, key = f.encoders[stream].Append(nil, f.at, row)
		seq, err = f.spool.Append(frame.KindFrame, stream, key, payload, samples)
	}
	if err != nil {
		fail("round: %v", err)
	}
	f.said[name{f.spool.Boot(), seq}] = said{row[0], uint64(samples), f.spool.now()}
	return seq
}

func (f *sampler) rounds(stream model.StreamID, n int) {
	for range n {
		f.round(stream)
	}
}
