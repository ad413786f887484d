package spool

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Errors of Append. None of them is final for the log: the caller goes on with
// what the error asks for.
var (
	// ErrKeyNeeded: the group that this delta frame belongs to is gone. It was
	// counted as dropped; the stream's next frame should be a key frame.
	ErrKeyNeeded = errors.New("key frame needed")
	// ErrSchemaNeeded: a frame of a stream that has no schema yet.
	ErrSchemaNeeded = errors.New("schema needed")
	// ErrPartNeeded: a schema names a part that the log does not hold: append
	// the parts of the schema, then the schema.
	ErrPartNeeded = errors.New("part needed")
	// ErrTooLarge: a record larger than frame.MaxPayload, or definitions that
	// would take more than half of the log.
	ErrTooLarge = errors.New("too large")
)

// maxStreams bounds the streams of one worker.
const maxStreams = 1024

// Spool is the log. One goroutine appends; any number may read and acknowledge
// meanwhile.
type Spool struct {
	config Config
	boot   model.BootID
	now    func() time.Time

	mu      sync.Mutex
	records log
	parts   map[frame.PartID]*part
	lanes   map[model.StreamID]*lane
	groups  []*group      // in the order of their first records
	next    uint64        // sequence number of the next record
	acked   uint64        // everything up to it is the collector's
	grown   chan struct{} // closed by the next record; nil while nobody waits
	stats   Stats
}

// New makes an empty log. boot names this run of sequence numbers, which begin
// with 1; now gives the time by which records age.
func New(config Config, boot model.BootID, now func() time.Time) (*Spool, error) {
	if err := config.Validate(); err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	if boot.IsZero() {
		return nil, errors.New("spool: no boot id")
	}
	return &Spool{config: config, boot: boot, now: now, next: 1,
		parts: map[frame.PartID]*part{}, lanes: map[model.StreamID]*lane{}}, nil
}

// Boot names the run of sequence numbers.
func (s *Spool) Boot() model.BootID { return s.boot }

// Append gives the payload the next sequence number and keeps a copy of it as a
// record. key says of a frame whether it is a key frame. A part that is held
// already is not kept twice: its first number is returned. Append may drop
// older records to make room; it never blocks.
func (s *Spool) Append(kind frame.Kind, stream model.StreamID, key bool, payload []byte) (seq uint64, err error) {
	if len(payload) > frame.MaxPayload {
		err = fmt.Errorf("append %v of %d bytes: %w", kind, len(payload), ErrTooLarge)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		seq, err = s.appendLocked(kind, stream, key, payload)
	}
	if err != nil && !errors.Is(err, ErrKeyNeeded) {
		s.stats.Refused++
	}
	s.expireLocked()
	s.shrinkLocked()
	return seq, err
}

func (s *Spool) appendLocked(kind frame.Kind, stream model.StreamID, key bool, payload []byte) (uint64, error) {
	switch kind {
	case frame.KindPart:
		return s.addPartLocked(payload)
	case frame.KindSchema:
		return s.addSchemaLocked(stream, payload)
	case frame.KindFrame:
		return s.addFrameLocked(stream, key, payload)
	case frame.KindEvent:
		event := s.addLocked(frame.Record{Kind: kind, Stream: stream, Payload: payload})
		s.groups = append(s.groups, &group{records: []*record{event}, closed: true, last: event.at})
		return event.seq, nil
	}
	return 0, fmt.Errorf("append %v: no kind of record", kind)
}

func (s *Spool) addFrameLocked(stream model.StreamID, key bool, payload []byte) (uint64, error) {
	l := s.lanes[stream]
	if l == nil {
		return 0, fmt.Errorf("append frame of stream %d: %w", stream, ErrSchemaNeeded)
	}
	if key {
		s.closeLocked(l)
		l.open = &group{stream: stream, schema: l.schema}
		l.schema.users++
	}
	if l.open == nil {
		// The number is used up, so that the collector sees how many are missing.
		s.next++
		s.stats.DroppedKeyless++
		return 0, fmt.Errorf("append frame of stream %d: %w", stream, ErrKeyNeeded)
	}
	added := s.addLocked(frame.Record{Kind: frame.KindFrame, Stream: stream, Payload: payload})
	if key {
		s.groups = append(s.groups, l.open)
	}
	l.open.records = append(l.open.records, added)
	l.open.last = added.at
	return added.seq, nil
}

// addLocked numbers a record, keeps it and wakes the readers.
func (s *Spool) addLocked(r frame.Record) *record {
	r.Seq = s.next
	s.next++
	added := &record{seq: r.Seq, at: s.now(), raw: frame.AppendRecord(make([]byte, 0, len(r.Payload)+envelope), r)}
	s.records.add(added)
	s.stats.Appended++
	s.stats.AppendedBytes += uint64(len(added.raw))
	s.stats.Unacked++
	if s.grown != nil {
		close(s.grown)
		s.grown = nil
	}
	return added
}
