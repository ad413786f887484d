package spool

import (
	"fmt"
	"slices"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// part is a held part. users counts the held schemas that name it.
type part struct {
	id     frame.PartID
	record *record
	users  int
	fresh  bool // appended after the newest schema
}

// schema is a held schema record. users counts the groups that were encoded by
// it, plus one while it is the schema of its stream's next frame.
type schema struct {
	record *record
	parts  []*part
	users  int
}

// lane is what the log knows of a stream.
type lane struct {
	schema *schema
	open   *group // nil before the first key frame, or when it was dropped
}

func (s *Spool) addPartLocked(payload []byte) (uint64, error) {
	id := frame.PartIDOf(payload)
	if held := s.parts[id]; held != nil {
		held.fresh = true
		return held.record.seq, nil
	}
	if err := s.roomLocked(payload); err != nil {
		return 0, fmt.Errorf("append part %v: %w", id, err)
	}
	added := s.addLocked(frame.Record{Kind: frame.KindPart, Payload: payload})
	s.parts[id] = &part{id: id, record: added, fresh: true}
	s.stats.DefinitionBytes += added.cost()
	return added.seq, nil
}

func (s *Spool) addSchemaLocked(stream model.StreamID, payload []byte) (uint64, error) {
	parsed, err := frame.ParseSchema(payload)
	if err != nil {
		return 0, fmt.Errorf("append schema of stream %d: %w", stream, err)
	}
	made := &schema{users: 1}
	for _, id := range parsed.Parts {
		held := s.parts[id]
		if held == nil {
			return 0, fmt.Errorf("append schema of stream %d: %w: %v", stream, ErrPartNeeded, id)
		}
		held.fresh = true // making room below must not take it
		made.parts = append(made.parts, held)
	}
	if err := s.roomLocked(payload); err != nil {
		return 0, fmt.Errorf("append schema of stream %d: %w", stream, err)
	}
	l := s.lanes[stream]
	if l == nil {
		if len(s.lanes) >= maxStreams {
			return 0, fmt.Errorf("append schema of stream %d: more than %d streams", stream, maxStreams)
		}
		l = &lane{}
		s.lanes[stream] = l
	}
	for _, held := range made.parts {
		held.users++
	}
	for _, held := range s.parts {
		held.fresh = false
	}
	s.closeLocked(l)
	if l.schema != nil {
		s.releaseLocked(l.schema)
	}
	made.record = s.addLocked(frame.Record{Kind: frame.KindSchema, Stream: stream, Payload: payload})
	s.stats.DefinitionBytes += made.record.cost()
	l.schema = made
	return made.record.seq, nil
}

// roomLocked keeps definitions, which cannot be dropped while they are in use,
// from crowding out what they define. It drops groups of schemas that their
// streams have left, oldest first, if that is what it takes.
func (s *Spool) roomLocked(payload []byte) error {
	most, more := uint64(s.config.MaxBytes)/2, uint64(len(payload)+envelope+bookkeeping)
	if s.stats.DefinitionBytes+more <= most {
		return nil
	}
	s.dropPartsLocked()
	for s.stats.DefinitionBytes+more > most {
		at := slices.IndexFunc(s.groups, func(g *group) bool { return g.schema != nil && g.schema != s.lanes[g.stream].schema })
		if at < 0 {
			return fmt.Errorf("definitions fill half of the log: %w", ErrTooLarge)
		}
		s.stats.DroppedFull.add(s.dropGroupLocked(s.groups[at]))
		s.dropPartsLocked()
	}
	return nil
}

// releaseLocked takes one user from a schema; the last one takes it along.
func (s *Spool) releaseLocked(sc *schema) {
	if sc.users--; sc.users > 0 {
		return
	}
	for _, held := range sc.parts {
		held.users--
	}
	s.dropDefinitionLocked(sc.record)
}

// dropPartsLocked drops the parts that no held schema names. Until room is
// needed they wait here for a schema that names them again, as happens when a
// device comes back. Those appended after the newest schema are about to be
// named by the next one.
func (s *Spool) dropPartsLocked() {
	for id, held := range s.parts {
		if held.users == 0 && !held.fresh {
			delete(s.parts, id)
			s.dropDefinitionLocked(held.record)
		}
	}
}

func (s *Spool) dropDefinitionLocked(r *record) {
	s.stats.DefinitionBytes -= r.cost()
	s.dropLocked(r)
}
