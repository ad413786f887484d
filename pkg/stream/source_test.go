package stream

import (
	"context"
	"encoding/binary"
	"slices"
	"sync"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// testKeyEvery is after how many frames of a stream a key frame comes.
const testKeyEvery = 7

// testFrame is the payload of a frame in these tests: its place after its key
// frame, 0 for the key frame itself, and padding.
func testFrame(sinceKey, size int) []byte {
	payload := make([]byte, max(2, size))
	binary.LittleEndian.PutUint16(payload, uint16(sinceKey))
	return payload
}

// testSource is a worker's log of one part, one schema and frames of one
// stream. Unlike a spool it never forgets.
type testSource struct {
	boot model.BootID
	size int // of frames, in bytes

	mu     sync.Mutex
	raw    [][]byte // of record i+1
	acked  uint64
	lost   []reject // what was given up
	frames int
	grown  chan struct{}
}

func newTestSource(boot byte) *testSource {
	s := &testSource{boot: model.BootIDFrom([16]byte{boot}), size: 40, grown: make(chan struct{})}
	s.add(frame.KindPart, []byte("the part"))
	s.add(frame.KindSchema, []byte("the schema"))
	return s
}

var _ Source = (*testSource)(nil)

func (s *testSource) partID() frame.PartID { return frame.PartIDOf([]byte("the part")) }

func (s *testSource) add(kind frame.Kind, payload []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.raw = append(s.raw, frame.AppendRecord(nil, frame.Record{Seq: uint64(len(s.raw)) + 1, Kind: kind, Payload: payload}))
	close(s.grown)
	s.grown = make(chan struct{})
}

// sample adds n frames.
func (s *testSource) sample(n int) {
	for range n {
		s.add(frame.KindFrame, testFrame(s.frames%testKeyEvery, s.size))
		s.frames++
	}
}

// skip uses up n numbers, as a spool does that dropped records, and begins with
// a key frame again.
func (s *testSource) skip(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for range n {
		s.raw = append(s.raw, nil)
	}
	s.frames = 0
}

func (s *testSource) last() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return uint64(len(s.raw))
}

func (s *testSource) ackedSeq() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.acked
}

func (s *testSource) Boot() model.BootID { return s.boot }

func (s *testSource) Range() (first, next uint64) { return 1, s.last() + 1 }

func (s *testSource) Parts() []frame.PartID { return []frame.PartID{s.partID()} }

func (s *testSource) Context(after uint64, known func(frame.PartID) bool) (out []byte, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if after >= 1 && !known(s.partID()) {
		out = append(out, s.raw[0]...)
	}
	if after >= 2 {
		out = append(out, s.raw[1]...)
	}
	from := int(after) // from the last key frame up to after
	for from > 2 && !isKey(s.raw[from-1]) {
		from--
	}
	for i := from; i > 2 && i <= int(after); i++ {
		out = append(out, s.raw[i-1]...)
	}
	return out, nil
}

func isKey(raw []byte) bool {
	r, _, err := frame.ParseRecord(raw)
	return err == nil && binary.LittleEndian.Uint16(r.Payload) == 0
}

func (s *testSource) Next(ctx context.Context, after uint64, dst []byte, most int) ([]byte, uint64, error) {
	for {
		out, last, grown := s.take(after, dst, most)
		if last > after {
			return out, last, nil
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return dst, after, ctx.Err()
		}
	}
}

func (s *testSource) take(after uint64, dst []byte, most int) ([]byte, uint64, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	start, last := len(dst), after
	for i := int(after); i < len(s.raw); i++ {
		if len(dst) > start && len(dst)-start+len(s.raw[i]) > most {
			break
		}
		if s.raw[i] != nil {
			dst, last = append(dst, s.raw[i]...), uint64(i)+1
		}
	}
	return dst, last, s.grown
}

func (s *testSource) Acked(through uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.acked = max(s.acked, through)
}

func (s *testSource) Rejected(from, through uint64, records uint32, cause Cause, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lost = append(s.lost, reject{cause, from, through, records, text})
}

func (s *testSource) rejected() []reject {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.lost)
}

// singleOf is a supply of a source alone, of the process that it names.
func singleOf(s Source) Supply { return Single(s, s.Boot()) }
