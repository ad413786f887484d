package head

import (
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// gauge is a part of one family with a series for each value of label dev.
func gauge(name string, devices ...string) model.Part {
	f := model.Family{Name: name, Type: model.Gauge, Help: "Help of " + name + "."}
	for _, d := range devices {
		f.Series = append(f.Series, model.LabelsOf("dev", d))
	}
	return model.Part{Collector: name, Families: []model.Family{f}}
}

// spooler makes the records of one boot, as its spool would number them.
type spooler struct {
	t        testing.TB
	seq      uint64
	keyEvery int
	streams  map[model.StreamID]*frame.Encoder
	columns  map[model.StreamID]int
	records  []frame.Record
}

func newSpooler(t testing.TB) *spooler {
	return &spooler{t: t, keyEvery: 10, streams: map[model.StreamID]*frame.Encoder{}, columns: map[model.StreamID]int{}}
}

func (s *spooler) add(kind frame.Kind, stream model.StreamID, payload []byte) frame.Record {
	s.seq++
	r := frame.Record{Seq: s.seq, Kind: kind, Stream: stream, Payload: payload}
	s.records = append(s.records, r)
	return r
}

// schema adds the parts and the schema of a stream.
func (s *spooler) schema(stream model.StreamID, parts ...model.Part) {
	s.t.Helper()
	var named frame.Schema
	for _, p := range parts {
		encoded, err := frame.AppendPart(nil, p)
		if err != nil {
			s.t.Fatal(err)
		}
		named.Parts = append(named.Parts, frame.PartIDOf(encoded))
		s.add(frame.KindPart, 0, encoded)
	}
	layout, err := frame.NewLayout(parts)
	if err != nil {
		s.t.Fatal(err)
	}
	s.add(frame.KindSchema, stream, frame.AppendSchema(nil, named))
	s.streams[stream], s.columns[stream] = frame.NewEncoder(layout, named.ID(), s.keyEvery), layout.Columns()
}

func (s *spooler) frame(stream model.StreamID, at model.Millis, row ...float64) frame.Record {
	payload, _ := s.streams[stream].Append(nil, at, row)
	return s.add(frame.KindFrame, stream, payload)
}

// drain returns the records made since the last call.
func (s *spooler) drain() []frame.Record {
	out := s.records
	s.records = nil
	return out
}

// send appends records, which must all be taken.
func send(t testing.TB, session *Session, records ...frame.Record) {
	t.Helper()
	for _, r := range records {
		if refusal := try(session, r); refusal != nil {
			t.Fatalf("record %d (%v): %v", r.Seq, r.Kind, refusal)
		}
	}
}

func try(session *Session, r frame.Record) *Refusal {
	if r.Kind < frame.KindPart || r.Kind > frame.KindEvent {
		return session.Append(r, nil)
	}
	return session.Append(r, frame.AppendRecord(nil, r))
}

// cause is that of a refusal, CauseNone for none.
func cause(r *Refusal) Cause {
	if r == nil {
		return CauseNone
	}
	return r.Cause
}
