package spool

import (
	"fmt"
	"slices"

	"github.com/cloudless-fleet/cloudless/pkg/durable"
	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// definitions are the parts and schemas that records need, each once, whatever
// boots have mentioned it. They are in memory; the log is there to bring them back.
// contents and bytes are guarded by Spool.mu, the rest by Spool.writer.
type definitions struct {
	contents map[[16]byte]*content
	bytes    uint64 // of contents

	log   *durable.Log // nil: not open
	queue []entry      // not yet in the log; of the present boot
	buf   []byte
}

// content is a part or schema.
type content struct {
	kind    frame.Kind
	payload []byte
	parts   []frame.PartID // of a schema
}

// overhead is about what a content takes besides its bytes.
const overhead = 128

func (d *definitions) add(kind frame.Kind, id [16]byte, payload []byte) error {
	c := &content{kind: kind, payload: slices.Clone(payload)}
	if kind == frame.KindSchema {
		parsed, err := frame.ParseSchema(payload)
		if err != nil {
			return err
		}
		c.parts = parsed.Parts
	}
	if d.contents[id] == nil {
		d.contents[id] = c
		d.bytes += uint64(len(payload)) + overhead
	}
	return nil
}

// knows says whether a schema and all its parts are there.
func (d *definitions) knows(id frame.SchemaID) bool {
	c := d.contents[id]
	if c == nil || c.kind != frame.KindSchema {
		return false
	}
	for _, part := range c.parts {
		if p := d.contents[part]; p == nil || p.kind != frame.KindPart {
			return false
		}
	}
	return true
}

// givenLocked is what a receiver is given for a mention: nil if it is not there any
// more, or is a schema of parts that are not.
func (d *definitions) givenLocked(m mention) *content {
	if m.kind == frame.KindSchema && (m.torn || !d.knows(m.id)) {
		return nil
	}
	return d.contents[m.id]
}

// flush writes what is new. The caller holds writer.
func (d *definitions) flush(number uint32) error {
	if d.log == nil {
		return errNotOpen
	}
	if len(d.queue) == 0 {
		return nil
	}
	for len(d.queue) > 0 {
		e := d.queue[0]
		e.boot = number
		if _, err := d.log.Append(appendEntry(d.buf[:0], e)); err != nil {
			return err
		}
		d.queue = d.queue[1:]
	}
	d.queue = nil
	return d.log.Flush()
}

// addPart gives a part a number, unless it has one. mu and writer are held.
func (s *Spool) addPartLocked(payload []byte) (seq uint64, err error) {
	id := frame.PartIDOf(payload)
	for _, m := range s.cur.mentions {
		if m.kind == frame.KindPart && m.id == id {
			return m.seq, nil
		}
	}
	if err := s.defineLocked(frame.KindPart, 0, id, payload); err != nil {
		return 0, fmt.Errorf("append part %v: %w", id, err)
	}
	return s.cur.next - 1, nil
}

func (s *Spool) addSchemaLocked(stream model.StreamID, payload []byte) (seq uint64, err error) {
	parsed, err := frame.ParseSchema(payload)
	if err != nil {
		return 0, fmt.Errorf("append schema of stream %d: %w", stream, err)
	}
	have := map[[16]byte]bool{}
	for _, m := range s.cur.mentions {
		have[m.id] = have[m.id] || m.kind == frame.KindPart
	}
	for _, id := range parsed.Parts {
		if !have[id] {
			return 0, fmt.Errorf("append schema of stream %d: %w: %v", stream, ErrPartNeeded, id)
		}
	}
	l := s.cur.lanes[stream]
	if l == nil && len(s.cur.lanes) >= maxStreams {
		return 0, fmt.Errorf("append schema of stream %d: more than %d streams", stream, maxStreams)
	}
	id := parsed.ID()
	if err := s.defineLocked(frame.KindSchema, stream, id, payload); err != nil {
		return 0, fmt.Errorf("append schema of stream %d: %w", stream, err)
	}
	if l == nil {
		l = &lane{}
		s.cur.lanes[stream] = l
	}
	l.schema, l.key = id, 0
	return s.cur.next - 1, nil
}

func (s *Spool) defineLocked(kind frame.Kind, stream model.StreamID, id [16]byte, payload []byte) error {
	if s.defs.contents[id] == nil {
		if s.defs.bytes+uint64(len(payload))+overhead > uint64(s.limits.definitions) {
			s.pruneLocked()
		}
		if s.defs.bytes+uint64(len(payload))+overhead > uint64(s.limits.definitions) {
			return fmt.Errorf("definitions in use take %d bytes: %w", s.defs.bytes, ErrTooLarge)
		}
		if err := s.defs.add(kind, id, payload); err != nil {
			return err
		}
		s.defs.queue = append(s.defs.queue, entry{kind: kindContent, def: definition{kind: kind, payload: s.defs.contents[id].payload}})
	}
	m := mention{seq: s.cur.next, kind: kind, stream: stream, id: id}
	s.cur.next++
	s.cur.mentions = append(s.cur.mentions, m)
	s.defs.queue = append(s.defs.queue, mentionEntry(s.cur, m))
	s.stats.Appended++
	s.stats.AppendedBytes += uint64(len(payload))
	s.wakeLocked()
	return nil
}

func mentionEntry(b *boot, m mention) entry {
	return entry{kind: kindMention, boot: b.number, def: definition{kind: m.kind, seq: m.seq, stream: m.stream, id: m.id}}
}

// pruneLocked forgets mentions and contents that no record needs any more: of
// those before the first record that is to be sent, all but the schemas in force
// there and their parts.
func (s *Spool) pruneLocked() {
	used := map[[16]byte]bool{}
	for _, b := range s.boots {
		s.pruneBootLocked(b)
		for _, m := range b.mentions {
			used[m.id] = true
		}
	}
	for id, c := range s.defs.contents {
		if !used[id] {
			delete(s.defs.contents, id)
			s.defs.bytes -= uint64(len(c.payload)) + overhead
		}
	}
}

func (s *Spool) pruneBootLocked(b *boot) {
	first := b.first()
	parts, schemas, newest := map[[16]byte]bool{}, map[uint64]bool{}, uint64(0)
	inForce := map[model.StreamID]bool{}
	for _, m := range slices.Backward(b.mentions) {
		if m.kind != frame.KindSchema {
			continue
		}
		newest = max(newest, m.seq)
		if m.seq < first {
			l := b.lanes[m.stream]
			if inForce[m.stream] || l == nil || b != s.cur && l.last < first {
				continue
			}
			inForce[m.stream] = true
		}
		schemas[m.seq] = true
		if c := s.defs.contents[m.id]; c != nil {
			for _, id := range c.parts {
				parts[id] = true
			}
		}
	}
	b.mentions = slices.DeleteFunc(b.mentions, func(m mention) bool {
		switch {
		case m.seq >= first, schemas[m.seq]:
			return false
		case m.kind == frame.KindPart && (parts[m.id] || b == s.cur && m.seq > newest):
			return false
		}
		return true
	})
}

// compact writes the log of definitions anew when most of it is not needed any
// more. The caller holds writer, not mu.
func (s *Spool) compact() error {
	d := &s.defs
	if d.log == nil || len(d.queue) > 0 {
		return nil
	}
	size, slack := uint64(d.log.Size()), uint64(s.limits.definitions)/16
	s.mu.Lock()
	if size > 2*d.bytes+slack {
		s.pruneLocked()
	}
	enough := size <= 2*d.bytes+slack
	s.mu.Unlock()
	if enough {
		return nil
	}
	if err := d.log.Rotate(); err != nil {
		return err
	}
	first := d.log.Next()
	s.mu.Lock()
	all := s.definitionEntriesLocked()
	s.mu.Unlock()
	for _, e := range all {
		if _, err := d.log.Append(appendEntry(d.buf[:0], e)); err != nil {
			return err
		}
	}
	if err := d.log.Sync(); err != nil {
		return err
	}
	return d.log.DropThrough(first - 1)
}

// definitionEntriesLocked is all that the log of definitions has to hold.
func (s *Spool) definitionEntriesLocked() (all []entry) {
	for _, b := range s.boots {
		all = append(all, entry{kind: kindBoot, boot: b.number, start: b.start})
	}
	for _, c := range s.defs.contents {
		all = append(all, entry{kind: kindContent, def: definition{kind: c.kind, payload: c.payload}})
	}
	for _, b := range s.boots {
		for _, m := range b.mentions {
			all = append(all, mentionEntry(b, m))
		}
	}
	return all
}
