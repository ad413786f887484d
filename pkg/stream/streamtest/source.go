// Package streamtest has what tests of a collector need to be a worker: a log
// that holds what it is given.
package streamtest

import (
	"context"
	"sync"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/stream"
)

// Source is a stream.Source that never forgets. Its context is all that went
// before: the most that a receiver can need. Safe for concurrent use.
type Source struct {
	boot model.BootID

	mu    sync.Mutex
	raw   [][]byte // of record i+1, encoded
	parts []frame.PartID
	ofNo  map[int]frame.PartID // of records that are parts
	acked uint64
	grown chan struct{} // closed when a record comes
}

var _ stream.Source = (*Source)(nil)

// NewSource makes a log of a boot that holds records; they are numbered from 1.
func NewSource(boot model.BootID, records ...frame.Record) *Source {
	s := &Source{boot: boot, ofNo: map[int]frame.PartID{}, grown: make(chan struct{})}
	s.Add(records...)
	return s
}

// Supply makes of the log all that a worker has, without any backlog.
func (s *Source) Supply() stream.Supply { return stream.Single(s, s.boot) }

// Add appends records, whose numbers go on.
func (s *Source) Add(records ...frame.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range records {
		if r.Kind == frame.KindPart {
			s.ofNo[len(s.raw)] = frame.PartIDOf(r.Payload)
			s.parts = append(s.parts, frame.PartIDOf(r.Payload))
		}
		r.Seq = uint64(len(s.raw)) + 1
		s.raw = append(s.raw, frame.AppendRecord(nil, r))
	}
	close(s.grown)
	s.grown = make(chan struct{})
}

// AckedSeq is up to where the collector has everything.
func (s *Source) AckedSeq() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.acked
}

// Boot implements stream.Source.
func (s *Source) Boot() model.BootID { return s.boot }

// Range implements stream.Source.
func (s *Source) Range() (first, next uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return 1, uint64(len(s.raw)) + 1
}

// Parts implements stream.Source.
func (s *Source) Parts() []frame.PartID {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]frame.PartID(nil), s.parts...)
}

// Context implements stream.Source.
func (s *Source) Context(after uint64, known func(frame.PartID) bool) (out []byte, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, raw := range s.raw[:after] {
		if id, is := s.ofNo[i]; !is || !known(id) {
			out = append(out, raw...)
		}
	}
	return out, nil
}

// Next implements stream.Source.
func (s *Source) Next(ctx context.Context, after uint64, dst []byte, most int) ([]byte, uint64, error) {
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

func (s *Source) take(after uint64, dst []byte, most int) (out []byte, last uint64, grown <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	start, last := len(dst), after
	for _, raw := range s.raw[after:] {
		if len(dst) > start && len(dst)-start+len(raw) > most {
			break
		}
		dst, last = append(dst, raw...), last+1
	}
	return dst, last, s.grown
}

// Acked implements stream.Source.
func (s *Source) Acked(through uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.acked = max(s.acked, through)
}

// Rejected implements stream.Source: nobody asks.
func (s *Source) Rejected(uint64, uint64, uint32, stream.Cause, string) {}
