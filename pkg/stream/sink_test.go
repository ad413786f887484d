package stream

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// testSink keeps what becomes durable of one worker, over any number of
// sessions, and complains about everything that a store could not bear.
type testSink struct {
	// commitEvery is after how many records they become durable; 0: when the
	// test calls commit.
	commitEvery int
	refuseOpen  error
	refuse      func(seq uint64) error // what Append answers, if not nil
	holdOpen    chan struct{}          // if not nil, Open waits for it

	mu       sync.Mutex
	stored   []uint64 // durable, in the order of arrival
	parts    map[frame.PartID]bool
	session  *testSession
	sessions int
	peers    []Peer
	faults   []string
	context  int // records that were context
}

var _ Sink = (*testSink)(nil)

func newTestSink() *testSink { return &testSink{commitEvery: 1, parts: map[frame.PartID]bool{}} }

func (s *testSink) Open(ctx context.Context, p Peer) (Session, error) {
	if s.holdOpen != nil {
		select {
		case <-s.holdOpen:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.peers = append(s.peers, p)
	if s.refuseOpen != nil {
		return nil, s.refuseOpen
	}
	if s.session != nil {
		s.faultLocked("a session was opened while another one was open")
	}
	resume := uint64(0)
	if len(s.stored) > 0 {
		resume = s.stored[len(s.stored)-1]
	}
	resume = max(resume, p.First-1)
	s.session = &testSession{sink: s, resume: resume, durable: resume, changed: make(chan struct{}), sinceKey: -1}
	s.sessions++
	return s.session, nil
}

func (s *testSink) faultLocked(format string, args ...any) {
	s.faults = append(s.faults, fmt.Sprintf(format, args...))
}

// commit makes durable what the open session took.
func (s *testSink) commit() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.session != nil {
		s.session.commitLocked()
	}
}

// snapshot returns what is stored, and the faults.
func (s *testSink) snapshot() (stored []uint64, faults []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.stored), slices.Clone(s.faults)
}

func (s *testSink) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.stored)
}

// testSession is a testSink's session. Its decoder is new: a delta frame without
// the frame before it is a fault.
type testSession struct {
	sink     *testSink
	resume   uint64
	last     uint64
	pending  []uint64
	passed   uint64 // given up last
	durable  uint64
	changed  chan struct{}
	schema   bool
	sinceKey int // of the newest frame; -1: none
	closed   bool
}

func (t *testSession) Resume() uint64 { return t.resume }

func (t *testSession) Wanted(offered []frame.PartID) []bool {
	t.sink.mu.Lock()
	defer t.sink.mu.Unlock()
	wanted := make([]bool, len(offered))
	for i, id := range offered {
		wanted[i] = !t.sink.parts[id]
	}
	return wanted
}

func (t *testSession) Append(r frame.Record, raw []byte) error {
	s := t.sink
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.closed {
		s.faultLocked("record %d after Close", r.Seq)
	}
	if again, _, err := frame.ParseRecord(raw); err != nil || again.Seq != r.Seq {
		s.faultLocked("record %d: raw bytes are of %d, %v", r.Seq, again.Seq, err)
	}
	if s.refuse != nil {
		if err := s.refuse(r.Seq); err != nil {
			if refusal := refusalIn(err); refusal != nil && refusal.Permanent && r.Seq > t.resume {
				t.passed = r.Seq
				if s.commitEvery > 0 && len(t.pending)+1 >= s.commitEvery {
					t.commitLocked()
				}
			}
			return err
		}
	}
	if r.Seq <= t.last {
		s.faultLocked("record %d after %d", r.Seq, t.last)
	}
	t.last = r.Seq
	t.followLocked(r)
	if r.Seq <= t.resume {
		s.context++
		return nil
	}
	t.pending = append(t.pending, r.Seq)
	if s.commitEvery > 0 && len(t.pending) >= s.commitEvery {
		t.commitLocked()
	}
	return nil
}

// followLocked is the decoder.
func (t *testSession) followLocked(r frame.Record) {
	switch r.Kind {
	case frame.KindPart:
		t.sink.parts[frame.PartIDOf(r.Payload)] = true
	case frame.KindSchema:
		if len(t.sink.parts) == 0 {
			t.sink.faultLocked("schema %d without its part", r.Seq)
		}
		t.schema = true
	case frame.KindFrame:
		sinceKey := int(binary.LittleEndian.Uint16(r.Payload))
		if !t.schema || sinceKey != 0 && sinceKey != t.sinceKey+1 {
			t.sink.faultLocked("frame %d (%d after its key frame) follows %d, schema known: %v", r.Seq, sinceKey, t.sinceKey, t.schema)
		}
		t.sinceKey = sinceKey
	}
}

func (t *testSession) commitLocked() {
	through := t.passed
	if n := len(t.pending); n > 0 {
		through = max(through, t.pending[n-1])
	}
	if through <= t.durable {
		return
	}
	t.sink.stored = append(t.sink.stored, t.pending...)
	t.durable = through
	t.pending = nil
	close(t.changed)
	t.changed = make(chan struct{})
}

func (t *testSession) Durable() (uint64, <-chan struct{}) {
	t.sink.mu.Lock()
	defer t.sink.mu.Unlock()
	return t.durable, t.changed
}

// Close loses what is not durable, as a crash would.
func (t *testSession) Close() error {
	t.sink.mu.Lock()
	defer t.sink.mu.Unlock()
	if t.closed || t.sink.session != t {
		t.sink.faultLocked("closed twice")
		return errors.New("closed twice")
	}
	t.closed = true
	t.sink.session = nil
	return nil
}

var testWorker = model.WorkerIDFrom([16]byte{7})

// sinks gives some workers a sink that lasts, and others one for each session.
type sinks map[model.WorkerID]*testSink

func (s sinks) Open(ctx context.Context, p Peer) (Session, error) {
	if sink := s[p.Worker]; sink != nil {
		return sink.Open(ctx, p)
	}
	return newTestSink().Open(ctx, p)
}
