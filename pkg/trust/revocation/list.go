// Package revocation keeps the list of who is out: it promises that once Add has
// returned, no handshake of a revoked identity succeeds, and that whoever watches
// learns of it at once, to cut the connections that are open.
//
// coordinatord owns the list and adds to it. Others hold a copy: they take whole
// snapshots (Adopt), ordered by a revision that grows with every change.
//
//	list, err := revocation.Open(path)
//	credentials.Refuse(list.Check)
//	for revision := uint64(0); ; {
//		fresh, now, changed := list.Since(revision)
//		cut(fresh)
//		revision = now
//		<-changed
//	}
package revocation

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/disk"
)

// Bounds of a list.
const (
	// MaxEntries: a full list refuses more (ErrFull) rather than to forget.
	MaxEntries = 50_000
	// MaxReason is in bytes.
	MaxReason = 200
)

// Errors that a caller decides on.
var (
	// ErrFull says that the list has MaxEntries.
	ErrFull = errors.New("revocation list is full: forget revoked workers that will not come back (cloudlessctl workers forget)")
	// ErrStale says that a snapshot is older than the copy. A coordinator whose
	// state was restored from a backup causes it: nobody comes back in by that.
	ErrStale = errors.New("older than the present revocation list")
)

// Entry is one that is out.
type Entry struct {
	Subject Subject   `json:"subject"`
	Reason  string    `json:"reason"` // for people
	At      time.Time `json:"at"`
	// Until is when the entry is no longer needed because what it revokes has
	// ended by itself; zero: never.
	Until time.Time `json:"until,omitzero"`
	// Revision of the list that brought it.
	Revision uint64 `json:"revision"`
}

// List is a revocation list with its file. Safe for concurrent use. Readers
// never wait, not even for a writer's disk.
type List struct {
	path    string
	writing sync.Mutex // one change at a time, disk included
	current atomic.Pointer[state]
}

// state is immutable but for changed, which is closed when there is a newer one.
type state struct {
	revision uint64
	entries  map[Subject]Entry
	changed  chan struct{}
}

// Open reads the list. A missing file is an empty list; a damaged one is an
// error, never an empty list.
func Open(path string) (*List, error) {
	l := &List{path: path}
	data, err := disk.Read(path, maxFile)
	if errors.Is(err, fs.ErrNotExist) {
		l.current.Store(&state{changed: make(chan struct{})})
		return l, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open revocation list: %w", err)
	}
	read, err := parse(data)
	if err != nil {
		return nil, fmt.Errorf("open revocation list %q: %w", path, err)
	}
	l.current.Store(read)
	return l, nil
}

// Add revokes. It returns when the list is on disk and in force. Those that are
// on it already stay as they are; added are the others.
func (l *List) Add(reason string, now, until time.Time, subjects ...Subject) (added []Entry, err error) {
	reason = model.Line(reason, MaxReason)
	l.writing.Lock()
	defer l.writing.Unlock()
	was := l.current.Load()
	next := was.successor()
	for _, subject := range subjects {
		if _, err := ParseSubject(subject.text); err != nil {
			return nil, fmt.Errorf("revoke: %w", err)
		}
		if _, known := next.entries[subject]; known {
			continue
		}
		entry := Entry{Subject: subject, Reason: reason, At: now.UTC().Truncate(time.Millisecond), Revision: next.revision}
		if !until.IsZero() {
			entry.Until = until.UTC().Truncate(time.Millisecond)
		}
		next.entries[subject] = entry
		added = append(added, entry)
	}
	if len(next.entries) > MaxEntries {
		return nil, fmt.Errorf("revoke %d: %w", len(subjects), ErrFull)
	}
	if len(added) == 0 {
		return nil, nil
	}
	return added, l.put(was, next)
}

// EndAt sets when the entries of subjects are no longer needed, so that Prune
// takes them off then. It reports whether there was one.
func (l *List) EndAt(until time.Time, subjects ...Subject) (found bool, err error) {
	until = until.UTC().Truncate(time.Millisecond)
	l.writing.Lock()
	defer l.writing.Unlock()
	was := l.current.Load()
	next := was.successor()
	for _, subject := range subjects {
		if entry, known := next.entries[subject]; known {
			entry.Until = until
			next.entries[subject] = entry
			found = true
		}
	}
	if !found {
		return false, nil
	}
	return true, l.put(was, next)
}

// Remove takes subjects off the list: an operator was wrong. It reports whether
// there was one.
func (l *List) Remove(subjects ...Subject) (removed bool, err error) {
	return l.drop(func(e Entry) bool { return slices.Contains(subjects, e.Subject) })
}

// Prune removes the entries that are no longer needed at the time now.
func (l *List) Prune(now time.Time) (removed bool, err error) {
	return l.drop(func(e Entry) bool { return !e.Until.IsZero() && now.After(e.Until) })
}

func (l *List) drop(gone func(Entry) bool) (bool, error) {
	l.writing.Lock()
	defer l.writing.Unlock()
	was := l.current.Load()
	next := was.successor()
	maps.DeleteFunc(next.entries, func(_ Subject, e Entry) bool { return gone(e) })
	if len(next.entries) == len(was.entries) {
		return false, nil
	}
	return true, l.put(was, next)
}

// put writes, then publishes: what is in force survives a crash. The lock is
// held.
func (l *List) put(was, next *state) error {
	data, err := next.marshal()
	if err != nil {
		return fmt.Errorf("write revocation list: %w", err)
	}
	if err := disk.Replace(l.path, data, disk.Private); err != nil {
		return err
	}
	l.current.Store(next)
	close(was.changed)
	return nil
}

func (s *state) successor() *state {
	entries := maps.Clone(s.entries)
	if entries == nil {
		entries = map[Subject]Entry{}
	}
	return &state{revision: s.revision + 1, entries: entries, changed: make(chan struct{})}
}

// Check is a trust.Refusal: whoever is on the list, by identity, serial number
// or key, gets an error wrapping trust.ErrRevoked.
func (l *List) Check(leaf *x509.Certificate, peer trust.Identity) error {
	entry, out := l.Find(Identity(peer.Role, peer.Name), Serial(leaf.SerialNumber), Key(trust.CertificateFingerprint(leaf)))
	if out {
		return fmt.Errorf("%w: %s", trust.ErrRevoked, entry.Subject)
	}
	return nil
}

// Find returns the first entry for any of the subjects.
func (l *List) Find(subjects ...Subject) (Entry, bool) {
	entries := l.current.Load().entries
	for _, subject := range subjects {
		if entry, out := entries[subject]; out {
			return entry, true
		}
	}
	return Entry{}, false
}

// Since returns the entries that came after a revision (0: all of them), oldest
// first, the present revision, and a channel that is closed at the next change.
func (l *List) Since(revision uint64) (fresh []Entry, now uint64, changed <-chan struct{}) {
	s := l.current.Load()
	for _, entry := range s.sorted() {
		if entry.Revision > revision {
			fresh = append(fresh, entry)
		}
	}
	return fresh, s.revision, s.changed
}

// Len is the number of entries.
func (l *List) Len() int { return len(l.current.Load().entries) }

// Snapshot is the whole list as its file has it, for Adopt elsewhere.
func (l *List) Snapshot() ([]byte, error) { return l.current.Load().marshal() }

// Adopt replaces a copy by a snapshot of the owner's list, whose revision it
// keeps. The same revision again changes nothing; an older one is ErrStale.
func (l *List) Adopt(snapshot []byte) error {
	next, err := parse(snapshot)
	if err != nil {
		return fmt.Errorf("adopt revocation list: %w", err)
	}
	l.writing.Lock()
	defer l.writing.Unlock()
	was := l.current.Load()
	if next.revision < was.revision {
		return fmt.Errorf("adopt revocation list: revision %d: %w, %d", next.revision, ErrStale, was.revision)
	}
	if next.revision == was.revision {
		return nil
	}
	return l.put(was, next)
}

func (s *state) sorted() []Entry {
	return slices.SortedFunc(maps.Values(s.entries), func(a, b Entry) int {
		if a.Revision != b.Revision {
			if a.Revision < b.Revision {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Subject.text, b.Subject.text)
	})
}
