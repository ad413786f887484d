package spool

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/cloudless-fleet/cloudless/pkg/durable"
	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Context returns the encoded records, in the order of their numbers, which a receiver
// that has stored everything up to after, but has forgotten its decoder's state, needs
// before the next record: parts that are not known, the schemas in force, and of each
// group that may go on behind after the frames up to there.
func (st *Stretch) Context(after uint64, known func(frame.PartID) bool) ([]byte, error) {
	frames, damage, err := st.openGroups(after)
	if damage != nil && err == nil {
		// Once is enough: what needed the damaged records is not sent from now on.
		err = st.spool.damaged(damage.Lost, damage)
	}
	if err != nil {
		return nil, fmt.Errorf("read the frames before record %d: %w", after+1, err)
	}
	return st.context(after, known, frames), nil
}

// encoded is a record.
type encoded struct {
	seq uint64
	raw []byte
}

// context puts definitions and frames in their order.
func (st *Stretch) context(after uint64, known func(frame.PartID) bool, frames []encoded) (out []byte) {
	s := st.spool
	all := frames
	s.mu.Lock()
	for _, m := range st.boot.mentions {
		c := s.defs.givenLocked(m)
		if m.seq > after || c == nil || m.kind == frame.KindPart && known(m.id) {
			continue
		}
		all = append(all, encoded{m.seq, frame.AppendRecord(nil, frame.Record{Seq: m.seq, Kind: m.kind, Stream: m.stream, Payload: c.payload})})
	}
	s.mu.Unlock()
	slices.SortFunc(all, func(a, b encoded) int { return cmp.Compare(a.seq, b.seq) })
	for _, one := range all {
		out = append(out, one.raw...)
	}
	return out
}

// group is the open group of a stream on the way to a record.
type group struct {
	chain  chain
	schema frame.SchemaID
	frames []encoded
}

// openGroups returns the frames of the groups that may go on behind a record, and
// damage that nobody knew of.
func (st *Stretch) openGroups(after uint64) (frames []encoded, damage *durable.Damage, err error) {
	s, groups := st.spool, map[model.StreamID]*group{}
	err = s.eachRecord(st.boot, st.begin(after), after, func(seq uint64, raw []byte) error {
		r, _, err := frame.ParseRecord(raw)
		if err != nil || r.Kind != frame.KindFrame {
			return err
		}
		h, err := frame.Peek(r.Payload)
		if err != nil {
			return err
		}
		g := groups[r.Stream]
		if g == nil {
			g = &group{}
			groups[r.Stream] = g
		}
		g.take(seq, h, raw)
		return nil
	}, func(d *durable.Damage) {
		if !s.counted(d.Lost) {
			damage = d
		}
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	for stream, g := range groups {
		l := st.boot.lanes[stream]
		if g.chain.state != linked || st.boot != s.cur && (l == nil || l.last <= after) {
			continue // it is not whole, or nothing follows
		}
		if schema, since, whole := st.boot.schemaAt(stream, after); !whole || schema != g.schema || since > g.frames[0].seq || st.boot.lost.has(g.frames[len(g.frames)-1].seq) {
			continue // the stream goes on with a key frame
		}
		frames = append(frames, g.frames...)
	}
	return frames, damage, err
}

func (g *group) take(seq uint64, h frame.Header, raw []byte) {
	switch {
	case h.Key:
		g.frames, g.schema, g.chain.state = nil, h.Schema, linked
	case g.chain.state != linked || h.SinceKey != g.chain.sinceKey+1 || h.Base != g.chain.at:
		g.frames, g.chain.state = nil, broken
		return
	}
	g.chain.at, g.chain.sinceKey = h.At, h.SinceKey
	g.frames = append(g.frames, encoded{seq, slices.Clone(raw)})
}

// begin returns the record from which on the groups are whole that may go on behind
// after.
func (st *Stretch) begin(after uint64) uint64 {
	s, b := st.spool, st.boot
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(b.chunks) == 0 {
		return after + 1
	}
	c := b.chunks[b.chunkOf(after)]
	from := c.seq
	for _, m := range c.lanes {
		l := b.lanes[m.stream]
		over := l.last <= after && (b != s.cur || b.bytes-l.mark > uint64(s.limits.idle))
		if m.key > 0 && !over && s.thereLocked(b, m.key) {
			from = min(from, m.key)
		}
	}
	return from
}

// thereLocked says whether a record is in the log or in memory.
func (s *Spool) thereLocked(b *boot, seq uint64) bool {
	if first, _, ok := b.logged(seq); ok {
		return first == seq
	}
	it, ok := s.pendingLocked(b, seq)
	return ok && it.seq == seq
}

// counted says whether records of a range of indexes are known to be lost.
func (s *Spool) counted(r durable.Range) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.boots {
		for _, one := range b.runs {
			from, to := max(one.index, r.First), min(one.index+one.n, max(r.End, r.First+1))
			if from >= to {
				continue
			}
			first := one.seq + from - one.index
			if last := first + to - from - 1; b.unread.count(first, last) < last-first+1 {
				return false
			}
		}
	}
	return true
}

// eachRecord calls visit with the records of a boot from first to last that are
// there, sent or not, and bad with what cannot be read.
func (s *Spool) eachRecord(b *boot, first, last uint64, visit func(seq uint64, raw []byte) error, bad func(*durable.Damage)) error {
	for seq := first; seq <= last; {
		s.mu.Lock()
		at, index, ok := b.logged(seq)
		if !ok || at > last {
			var items []item
			if b == s.cur {
				items = s.pending.items
			}
			s.mu.Unlock()
			return eachItem(items, seq, last, visit)
		}
		r := b.runs[b.runOf(at)]
		end, log := min(r.seq+r.n, last+1), s.records
		s.mu.Unlock()
		if err := eachInLog(log, at, index, end, visit, bad); err != nil {
			return err
		}
		seq = end
	}
	return nil
}

func eachItem(items []item, first, last uint64, visit func(seq uint64, raw []byte) error) error {
	for i := range items {
		if items[i].seq >= first && items[i].seq <= last {
			if err := visit(items[i].seq, items[i].raw); err != nil {
				return err
			}
		}
	}
	return nil
}

// eachInLog reads the records of indexes from index on, which have the numbers from
// seq up to, not including, end.
func eachInLog(log *durable.Log, seq, index, end uint64, visit func(seq uint64, raw []byte) error, bad func(*durable.Damage)) error {
	r := log.Read(index)
	defer r.Close()
	for behind := index + end - seq; ; {
		for r.Next() {
			found := r.Record()
			if found.Index >= behind {
				return nil
			}
			e, err := parseEntry(found.Data)
			if err == nil {
				err = visit(seq+found.Index-index, e.raw)
			}
			if err != nil {
				return err
			}
		}
		damage, ok := errors.AsType[*durable.Damage](r.Err())
		if !ok {
			return r.Err()
		}
		if damage.Lost.First >= behind {
			return nil
		}
		bad(damage)
		r.Resume()
	}
}
