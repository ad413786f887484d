package stream

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// testStretch is a part of a testSource: records first to next-1, or with next 0
// all from first on.
type testStretch struct {
	*testSource
	first, next uint64
	acked       func(through uint64)
}

func (s testStretch) Range() (first, next uint64) {
	if s.next > 0 {
		return s.first, s.next
	}
	return s.first, s.last() + 1
}

func (s testStretch) Next(ctx context.Context, after uint64, dst []byte, most int) ([]byte, uint64, error) {
	if s.next == 0 {
		return s.testSource.Next(ctx, after, dst, most)
	}
	start, last := len(dst), after
	for {
		more, next, _ := s.take(last, dst, 1)
		if next == last || next >= s.next || len(dst) > start && len(more)-start > most {
			break
		}
		dst, last = more, next
	}
	if last == after {
		return dst, after, io.EOF
	}
	return dst, last, nil
}

func (s testStretch) Acked(through uint64) {
	s.testSource.Acked(through)
	s.acked(through)
}

// testSupply has one live source, and stretches of that and others to make up for,
// the first ones first.
type testSupply struct {
	live *testSource
	from uint64 // where the live stretch begins
	// inOrder lets the live stretch wait for the others.
	inOrder bool

	mu      sync.Mutex
	behind  []testStretch
	acked   uint64 // of the live one
	asked   int    // calls of Backlog
	trouble error  // what Backlog answers, if not nil
	changed chan struct{}
}

func newTestSupply(live *testSource) *testSupply {
	return &testSupply{live: live, from: 1, changed: make(chan struct{})}
}

func (s *testSupply) changedLocked() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// leave puts a stretch behind.
func (s *testSupply) leave(of *testSource, first, next uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.behind = append(s.behind, testStretch{testSource: of, first: first, next: next})
	s.changedLocked()
}

func (s *testSupply) left() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.behind)
}

func (s *testSupply) Session() model.BootID { return s.live.boot }

func (s *testSupply) Live(ctx context.Context) (Source, error) {
	for s.inOrder {
		s.mu.Lock()
		left, changed := len(s.behind), s.changed
		s.mu.Unlock()
		if left == 0 {
			break
		}
		if !wait(ctx, changed) {
			return nil, ctx.Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return testStretch{testSource: s.live, first: max(s.from, s.acked+1), acked: func(through uint64) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.acked = max(s.acked, through)
	}}, nil
}

func (s *testSupply) Backlog(ctx context.Context) (Source, error) {
	s.mu.Lock()
	s.asked++
	s.mu.Unlock()
	for {
		s.mu.Lock()
		first, trouble, changed := testStretch{}, s.trouble, s.changed
		if len(s.behind) > 0 {
			first = s.behind[0]
		}
		s.mu.Unlock()
		if trouble != nil {
			return nil, trouble
		}
		if first.testSource != nil {
			first.acked = func(through uint64) { s.advance(first, through) }
			return first, nil
		}
		if !wait(ctx, changed) {
			return nil, ctx.Err()
		}
	}
}

// advance takes off the front stretch what is acknowledged of it.
func (s *testSupply) advance(of testStretch, through uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := slices.IndexFunc(s.behind, func(b testStretch) bool { return b.testSource == of.testSource && b.next == of.next })
	if at < 0 {
		return
	}
	s.behind[at].first = through + 1
	if s.behind[at].first >= s.behind[at].next {
		s.behind = slices.Delete(s.behind, at, at+1)
		s.changedLocked()
	}
}

// coverSink stores the records of one worker's boots as a store does that keeps
// which numbers it has, whichever connection brought them.
type coverSink struct {
	// commitEvery is after how many records they become durable; 0: when commit
	// is called.
	commitEvery int
	refuse      func(p Peer, seq uint64) error // of a session (seq 0) or a record

	mu       sync.Mutex
	stored   map[model.BootID]map[uint64]int // number, how often it was stored
	open     map[role]*coverSession
	peers    []Peer
	arrivals []arrival
	context  int
	repeats  int // records that were stored before
	faults   []string
}

// arrival is a record that was stored.
type arrival struct {
	boot     model.BootID
	seq      uint64
	backfill bool
}

func newCoverSink() *coverSink {
	return &coverSink{commitEvery: 1, stored: map[model.BootID]map[uint64]int{}, open: map[role]*coverSession{}}
}

func (s *coverSink) Open(_ context.Context, p Peer) (Session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.peers = append(s.peers, p)
	if s.refuse != nil {
		if err := s.refuse(p, 0); err != nil {
			return nil, err
		}
	}
	if s.stored[p.Boot] == nil {
		s.stored[p.Boot] = map[uint64]int{}
	}
	t := &coverSession{sink: s, peer: p, role: roleLive, resume: p.First - 1, changed: make(chan struct{}), sinceKey: -1}
	if p.Backfill {
		t.role = roleBackfill
	}
	for s.stored[p.Boot][t.resume+1] > 0 {
		t.resume++
	}
	t.durable = t.resume
	if s.open[t.role] != nil {
		s.faultLocked("a %v session was opened while another one was open", t.role)
	}
	s.open[t.role] = t
	return t, nil
}

func (s *coverSink) faultLocked(format string, args ...any) {
	s.faults = append(s.faults, fmt.Sprintf(format, args...))
}

// commit makes durable what the open sessions took.
func (s *coverSink) commit() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.open {
		t.commitLocked()
	}
}

// missing lists the numbers of a boot up to last that are not stored, and those
// stored twice.
func (s *coverSink) missing(boot model.BootID, last uint64) (missing, twice []uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for n := uint64(1); n <= last; n++ {
		switch s.stored[boot][n] {
		case 0:
			missing = append(missing, n)
		case 1:
		default:
			twice = append(twice, n)
		}
	}
	return missing, twice
}

func (s *coverSink) has(boot model.BootID, last uint64) bool {
	missing, _ := s.missing(boot, last)
	return len(missing) == 0
}

func (s *coverSink) seen() (arrivals []arrival, peers []Peer, faults []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.arrivals), slices.Clone(s.peers), slices.Clone(s.faults)
}

type coverSession struct {
	sink     *coverSink
	peer     Peer
	role     role
	resume   uint64
	pending  []uint64
	durable  uint64
	changed  chan struct{}
	schema   bool
	sinceKey int
}

func (t *coverSession) Resume() uint64 { return t.resume }

func (t *coverSession) Wanted(offered []frame.PartID) []bool {
	wanted := make([]bool, len(offered))
	for i := range wanted {
		wanted[i] = true
	}
	return wanted
}

func (t *coverSession) Append(r frame.Record, _ []byte) error {
	s := t.sink
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuse != nil {
		if err := s.refuse(t.peer, r.Seq); err != nil {
			return err
		}
	}
	switch r.Kind {
	case frame.KindSchema:
		t.schema = true
	case frame.KindFrame:
		sinceKey := int(binary.LittleEndian.Uint16(r.Payload))
		if !t.schema || sinceKey != 0 && sinceKey != t.sinceKey+1 {
			s.faultLocked("%v frame %d of %v (%d after its key frame) follows %d, schema known: %v",
				t.role, r.Seq, t.peer.Boot, sinceKey, t.sinceKey, t.schema)
		}
		t.sinceKey = sinceKey
	}
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

func (t *coverSession) commitLocked() {
	if len(t.pending) == 0 {
		return
	}
	boot := t.peer.Boot
	for _, seq := range t.pending {
		if t.sink.stored[boot][seq] > 0 {
			t.sink.repeats++
			continue
		}
		t.sink.stored[boot][seq]++
		t.sink.arrivals = append(t.sink.arrivals, arrival{boot, seq, t.peer.Backfill})
	}
	t.durable = t.pending[len(t.pending)-1]
	t.pending = nil
	close(t.changed)
	t.changed = make(chan struct{})
}

func (t *coverSession) Durable() (uint64, <-chan struct{}) {
	t.sink.mu.Lock()
	defer t.sink.mu.Unlock()
	return t.durable, t.changed
}

// Close loses what is not durable, as a crash would.
func (t *coverSession) Close() error {
	t.sink.mu.Lock()
	defer t.sink.mu.Unlock()
	if t.sink.open[t.role] != t {
		t.sink.faultLocked("closed twice")
	}
	delete(t.sink.open, t.role)
	return nil
}
