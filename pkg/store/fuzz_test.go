package store

import (
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// FuzzAppend feeds a session with arbitrary payloads between valid records: the
// store may refuse them, but neither panics nor stops, and a pass seals what was taken.
func FuzzAppend(f *testing.F) {
	s := open(f, testConfig(f.TempDir()))
	sp := newSpooler(f)
	sp.schema(1, gauge("g", "a", "b"))
	sp.frame(1, after(0), 1, 2)
	sp.frame(1, after(1), 3, model.Absent())
	valid := sp.drain()
	for _, r := range valid {
		f.Add(uint8(r.Kind), uint32(r.Stream), r.Payload)
	}
	f.Add(uint8(frame.KindEvent), uint32(0), []byte("event"))
	f.Add(uint8(0), uint32(9), []byte{})
	boot := uint64(0)
	f.Fuzz(func(t *testing.T, kind uint8, stream uint32, payload []byte) {
		source := testSource(1, 1)
		boot++
		for i := range 8 {
			source.Boot[15-i] = byte(boot >> (8 * i))
		}
		session, err := s.OpenSession(source)
		if err != nil {
			t.Fatal(err)
		}
		defer session.Close()
		seq := session.Resume()
		for _, r := range append(valid[:3:3], frame.Record{Kind: frame.Kind(kind), Stream: model.StreamID(stream), Payload: payload}, valid[3]) {
			if r.Kind < frame.KindPart || len(r.Payload) > frame.MaxPayload {
				continue // no record
			}
			seq++
			r.Seq = seq
			if err := trySend(session, r); err != nil {
				causeOf(t, err) // any other error fails the test
			}
		}
		s.Live(workerID(1))
		pass(t, s)
	})
}
