package spool

import (
	"sort"
	"time"
)

// record is one encoded record. raw is nil once it is dropped; otherwise it is
// never written to again.
type record struct {
	seq uint64
	at  time.Time
	raw []byte
}

const (
	// envelope is about what a record's encoding adds to its payload, in bytes.
	envelope = 20
	// bookkeeping is what a kept record costs besides its bytes: the struct
	// and the pointers to it.
	bookkeeping = 96
)

func (r *record) cost() uint64 { return uint64(cap(r.raw)) + bookkeeping }

// log holds records in the order of their sequence numbers. Dropped ones stay
// as holes until half of the log is holes.
type log struct {
	all   []*record
	holes int
	bytes uint64 // cost of the records that are there
}

func (l *log) add(r *record) {
	l.all = append(l.all, r)
	l.bytes += r.cost()
}

// drop forgets the bytes of a record that is there.
func (l *log) drop(r *record) {
	l.bytes -= r.cost()
	r.raw = nil
	l.holes++
}

// tidy removes the holes if that is worth while. Called after a bout of drops,
// never between finding a position and using it.
func (l *log) tidy() {
	if l.holes < 64 || l.holes < len(l.all)/2 {
		return
	}
	kept := make([]*record, 0, len(l.all)-l.holes)
	for _, r := range l.all {
		if r.raw != nil {
			kept = append(kept, r)
		}
	}
	l.all, l.holes = kept, 0
}

// after returns the records with sequence numbers above seq, holes included.
func (l *log) after(seq uint64) []*record {
	from := sort.Search(len(l.all), func(i int) bool { return l.all[i].seq > seq })
	return l.all[from:]
}

// first returns the oldest record above seq that is there, or nil.
func (l *log) first(seq uint64) *record {
	for _, r := range l.after(seq) {
		if r.raw != nil {
			return r
		}
	}
	return nil
}

func (l *log) count() int { return len(l.all) - l.holes }
