package store

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"time"
	"weak"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// recentBytes bounds the encoded size of the parsed parts that are kept although
// no stream uses them: those between their arrival and their schema's.
const recentBytes = 16 << 20

// catalog knows all parts and shares what is parsed of them: hosts of one kind
// have the same parts and schemas in memory once. Safe for concurrent use.
type catalog struct {
	index *index
	limit int64 // bytes of encoded parts
	now   func() time.Time
	meta  *metadata

	mu      sync.Mutex // guards everything below; not held during disk access
	known   map[frame.PartID]*entry
	bytes   int64
	pending []pendingPart  // not yet in the index
	touched []frame.PartID // used on a later day than the index says
	dropped []frame.PartID // to be deleted from the index
	recent  []*part        // newest last
	schemas map[frame.SchemaID]weak.Pointer[schema]
}

// entry is one known part. parsed is empty while nobody uses the part.
type entry struct {
	size    int
	used    uint32 // day
	pending bool
	parsed  weak.Pointer[part]
}

// openCatalog reads which parts are known, and their metadata.
func openCatalog(x *index, limit model.Bytes, now func() time.Time, meta *metadata) (*catalog, error) {
	c := &catalog{index: x, limit: int64(limit), now: now, meta: meta,
		known: map[frame.PartID]*entry{}, schemas: map[frame.SchemaID]weak.Pointer[schema]{}}
	err := x.eachPart(func(id frame.PartID, used uint32, encoded []byte) {
		parsed, err := frame.ParsePart(encoded)
		if err != nil || frame.PartIDOf(encoded) != id {
			return // a part of an older format: it will be asked for again
		}
		c.known[id] = &entry{size: len(encoded), used: used}
		c.bytes += int64(len(encoded))
		meta.add(parsed)
	})
	if err != nil {
		return nil, fmt.Errorf("store: read parts: %w", err)
	}
	return c, nil
}

// add takes an encoded part. It is known at once, and durable with the next
// group commit, before any sequence number behind it.
func (c *catalog) add(encoded []byte) error {
	id := frame.PartIDOf(encoded)
	if c.has(id) {
		return nil
	}
	parsed, err := frame.ParsePart(encoded)
	if err != nil {
		return skips(CauseBadPart, "part %s: %v", id, err)
	}
	p := newPart(id, len(encoded), parsed)
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, twice := c.known[id]; twice {
		return nil
	}
	if c.bytes+int64(p.size) > c.limit && !c.evictLocked(int64(p.size)) {
		return later(CausePartsFull, "all %d bytes of the part dictionary are in use", c.limit)
	}
	c.known[id] = &entry{size: p.size, used: dayOf(c.now()), pending: true, parsed: weak.Make(p)}
	c.bytes += int64(p.size)
	c.pending = append(c.pending, pendingPart{id, slices.Clone(encoded)})
	c.keepLocked(p)
	c.meta.add(parsed)
	return nil
}

// has says whether a part is known, and notes that it is used.
func (c *catalog) has(id frame.PartID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, known := c.known[id]
	if known {
		c.touchLocked(id, e)
	}
	return known
}

func (c *catalog) touchLocked(id frame.PartID, e *entry) {
	if today := dayOf(c.now()); e.used != today {
		e.used = today
		if !e.pending {
			c.touched = append(c.touched, id)
		}
	}
}

// keepLocked holds p for a while, whether or not somebody uses it.
func (c *catalog) keepLocked(p *part) {
	c.recent = append(c.recent, p)
	total := 0
	for i := len(c.recent) - 1; i >= 0; i-- {
		if total += c.recent[i].size; total > recentBytes && i < len(c.recent)-1 {
			c.recent = slices.Delete(c.recent, 0, i+1)
			return
		}
	}
}

// evictLocked forgets parts that nobody uses, unused for longest first, down to
// nine tenths of the limit. It reports whether need bytes fit now.
func (c *catalog) evictLocked(need int64) bool {
	type candidate struct {
		id frame.PartID
		e  *entry
	}
	var idle []candidate
	for id, e := range c.known {
		if !e.pending && e.parsed.Value() == nil {
			idle = append(idle, candidate{id, e})
		}
	}
	slices.SortFunc(idle, func(a, b candidate) int { return cmp.Compare(a.e.used, b.e.used) })
	for _, x := range idle {
		if c.bytes+need <= c.limit-c.limit/10 {
			break
		}
		delete(c.known, x.id)
		c.bytes -= int64(x.e.size)
		c.dropped = append(c.dropped, x.id)
	}
	return c.bytes+need <= c.limit
}

// part returns a known part parsed; nil when it is not known.
func (c *catalog) part(id frame.PartID) (*part, error) {
	c.mu.Lock()
	e := c.known[id]
	if e == nil {
		c.mu.Unlock()
		return nil, nil
	}
	c.touchLocked(id, e)
	if p := e.parsed.Value(); p != nil {
		c.mu.Unlock()
		return p, nil
	}
	var encoded []byte
	for _, p := range c.pending {
		if p.id == id {
			encoded = p.encoded
		}
	}
	c.mu.Unlock()
	if encoded == nil {
		var err error
		if encoded, err = c.index.part(id); err != nil || encoded == nil {
			return nil, err
		}
	}
	parsed, err := frame.ParsePart(encoded)
	if err != nil {
		return nil, fmt.Errorf("part %s from the index: %w", id, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := e.parsed.Value(); p != nil {
		return p, nil // somebody else was quicker
	}
	p := newPart(id, len(encoded), parsed)
	e.parsed = weak.Make(p)
	c.keepLocked(p)
	return p, nil
}

// schema lays out an encoded schema; all of its parts must be known.
func (c *catalog) schema(encoded []byte) (*schema, error) {
	named, err := frame.ParseSchema(encoded)
	if err != nil {
		return nil, skips(CauseBadSchema, "schema: %v", err)
	}
	id := named.ID()
	c.mu.Lock()
	shared := c.schemas[id].Value()
	c.mu.Unlock()
	if shared != nil {
		return shared, nil
	}
	parts := make([]*part, len(named.Parts))
	for i, partID := range named.Parts {
		if parts[i], err = c.part(partID); err != nil {
			return nil, later(CauseFailed, "%v", err)
		}
		if parts[i] == nil {
			return nil, later(CauseUnknownPart, "schema %s names part %s, which was never sent", id, partID)
		}
	}
	made, err := newSchema(id, parts)
	if err != nil {
		return nil, skips(CauseBadSchema, "schema %s: %v", id, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.schemas[id] = weak.Make(made)
	return made, nil
}

// tidy forgets schemas that no stream has any more.
func (c *catalog) tidy() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, s := range c.schemas {
		if s.Value() == nil {
			delete(c.schemas, id)
		}
	}
}

// take moves what is to be written into b.
func (c *catalog) take(b *batch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b.parts, b.touched, b.dropped = c.pending, c.touched, c.dropped
	c.pending, c.touched, c.dropped = nil, nil, nil
}

// settle says what became of b: written, or to be tried again.
func (c *catalog) settle(b batch, written bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !written {
		c.pending = append(b.parts, c.pending...)
		c.touched = append(b.touched, c.touched...)
		c.dropped = append(b.dropped, c.dropped...)
		return
	}
	for _, p := range b.parts {
		if e := c.known[p.id]; e != nil {
			e.pending = false
		}
	}
}

// size returns how many parts there are, and their bytes.
func (c *catalog) size() (parts int, bytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.known), c.bytes
}
