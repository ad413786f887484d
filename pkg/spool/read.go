package spool

import (
	"cmp"
	"context"
	"slices"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
)

// Range tells which records are there: first to next-1, with holes where groups
// were dropped; first equals next when there is none.
func (s *Spool) Range() (first, next uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if oldest := s.records.first(0); oldest != nil {
		return oldest.seq, s.next
	}
	return s.next, s.next
}

// Parts returns the parts that are held, oldest first: those that records need,
// and those that the next schema may name again.
func (s *Spool) Parts() []frame.PartID {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*part, 0, len(s.parts))
	for _, held := range s.parts {
		all = append(all, held)
	}
	slices.SortFunc(all, func(a, b *part) int { return cmp.Compare(a.record.seq, b.record.seq) })
	ids := make([]frame.PartID, len(all))
	for i, held := range all {
		ids[i] = held.id
	}
	return ids
}

// Context returns the encoded records, oldest first, which a receiver that has
// stored everything up to after, but has forgotten its decoder's state, needs
// before the next record: parts that are not known, schemas, and of each group
// that goes on beyond after the frames up to there. The result is as large as
// those records are.
func (s *Spool) Context(after uint64, known func(frame.PartID) bool) ([]byte, error) {
	var out []byte
	for _, r := range s.contextOf(after) {
		if r.part == nil || !known(*r.part) {
			out = append(out, r.raw...)
		}
	}
	return out, nil
}

// contextRecord is a record as it was when the lock was held.
type contextRecord struct {
	seq  uint64
	raw  []byte
	part *frame.PartID // of a part, which it is
}

// contextOf collects what Context may need, in the order of sequence numbers.
func (s *Spool) contextOf(after uint64) (found []contextRecord) {
	s.mu.Lock()
	defer s.mu.Unlock()
	add := func(r *record, id *frame.PartID) {
		if r.seq <= after {
			found = append(found, contextRecord{r.seq, r.raw, id})
		}
	}
	// Parts that nothing refers to are among them: a schema that comes later may
	// name one, and its own number is behind the receiver already.
	for id, held := range s.parts {
		add(held.record, &id)
	}
	for _, sc := range s.schemasLocked() {
		add(sc.record, nil)
	}
	for _, g := range s.groups {
		if g.first() > after {
			break
		}
		if g.schema == nil || g.closed && g.newest() <= after {
			continue
		}
		for _, r := range g.records {
			add(r, nil)
		}
	}
	slices.SortFunc(found, func(a, b contextRecord) int { return cmp.Compare(a.seq, b.seq) })
	return found
}

// schemasLocked returns every held schema once.
func (s *Spool) schemasLocked() []*schema {
	seen := map[*schema]bool{}
	var all []*schema
	add := func(sc *schema) {
		if sc != nil && !seen[sc] {
			seen[sc] = true
			all = append(all, sc)
		}
	}
	for _, l := range s.lanes {
		add(l.schema)
	}
	for _, g := range s.groups {
		add(g.schema)
	}
	return all
}

// Next appends to dst the encoded records after the number after, whole and in
// order, until the next one would make more than most bytes of them, but at
// least one. It waits until there is one or the context ends. last is the
// number of the last record it appended. dst is the caller's.
func (s *Spool) Next(ctx context.Context, after uint64, dst []byte, most int) (out []byte, last uint64, err error) {
	for {
		out, last, grown := s.take(after, dst, most)
		if grown == nil {
			return out, last, nil
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return dst, after, context.Cause(ctx)
		}
	}
}

// take is Next without waiting: if there is nothing, it returns the channel that
// the next record closes.
func (s *Spool) take(after uint64, dst []byte, most int) (out []byte, last uint64, grown <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	start := len(dst)
	for _, r := range s.records.after(after) {
		if len(dst) > start && len(dst)-start+len(r.raw) > most {
			break
		}
		if r.raw != nil {
			dst, last = append(dst, r.raw...), r.seq
		}
	}
	if len(dst) > start {
		return dst, last, nil
	}
	if s.grown == nil {
		s.grown = make(chan struct{})
	}
	return dst, after, s.grown
}
