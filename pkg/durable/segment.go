package durable

import (
	"sync"
	"time"
)

// segment is what the log knows of a segment file.
type segment struct {
	header
	path string
	key  key
	// end is the index behind the last record that counts. 0 in the last
	// segment, which grows.
	end uint64
	// size is up to where the file holds records that count, in bytes. Not kept up
	// to date in the last segment: see Log.openSize.
	size int64
	last time.Time // about when its newest record came

	// What follows is for viewers. Log.mu guards it.
	indexed bool     // offsets are known, and kept up to date
	offsets []uint32 // where the record of a number begins; 0: lost
	lost    []*Damage
	mapped  *mapping // nil: none yet, or the segment is gone
	gone    bool     // dropped, or the log is closed: it takes no mapping
	// indexing is held by who finds offsets or makes a mapping. It is taken before
	// Log.mu.
	indexing sync.Mutex
}

// endAt is the index behind the segment's last record, when next would have been
// the next one: of a segment without records, that of the one before.
func (s *segment) endAt(next uint64) uint64 {
	switch {
	case s.end != 0:
		return s.end
	case next <= s.first:
		return s.follows
	}
	return next
}

// tail is the end of the last segment: the entries that are not known to be
// on disk. Readers are given them from here, and if a sync fails they are
// written again from here.
type tail struct {
	at   int64 // offset of the first one; everything before is on disk
	buf  []byte
	head int // what is before it in buf was synced
}

func (t *tail) bytes() []byte { return t.buf[t.head:] }
func (t *tail) end() int64    { return t.at + int64(len(t.buf)-t.head) }

// from returns the entries from an offset on. They stay where they are until tidy
// is called.
func (t *tail) from(off int64) []byte { return t.buf[t.head+int(off-t.at):] }

// drop forgets everything before off.
func (t *tail) drop(off int64) {
	t.head += int(off - t.at)
	t.at = off
}

// tidy gives the memory of what was dropped back for use. Nobody may hold what
// from returned.
func (t *tail) tidy() {
	if t.head == 0 || t.head < len(t.buf)/2 {
		return
	}
	t.buf = t.buf[:copy(t.buf, t.buf[t.head:])]
	t.head = 0
}
