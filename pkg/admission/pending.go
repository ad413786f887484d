package admission

import (
	"container/list"
	"crypto/ed25519"
	"net/netip"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust/pairing"
)

// Pending is a machine that waits for approval, or was turned away. What its
// fields refer to is shared and must not be changed.
type Pending struct {
	ID       model.WorkerID
	Key      ed25519.PublicKey
	Code     pairing.Code // of Key
	Hostname string
	From     netip.Addr
	Labels   map[string]string // its own claims
	// CloneOf is the member whose former certificate it came with; zero: none.
	CloneOf model.WorkerID
	Since   time.Time
	Seen    time.Time // when it asked last
	// Rejected says that an operator has turned it away: RejectedBy, for Reason.
	Rejected   bool
	RejectedBy string
	Reason     string
}

// perSource is how many machines of one network may wait at a time.
const perSource = 16

// staleAfter is how long a machine may be silent before another one of its own
// network takes its place: several times of what it was told to ask again after.
const staleAfter = 2 * time.Minute

type keyBytes [ed25519.PublicKeySize]byte

// applicant is one Pending in the book.
type applicant struct {
	Pending
	key    keyBytes
	place  *list.Element // in book.waiting or book.rejected
	onDisk bool
}

// book keeps those who wait and those who were rejected. It is not safe for
// concurrent use.
type book struct {
	byKey    map[keyBytes]*applicant
	sources  map[netip.Prefix]int // of those who wait
	waiting  list.List            // of *applicant, the one heard last in front
	rejected list.List            // of *applicant, the one rejected last in front
}

func newBook() book {
	return book{byKey: make(map[keyBytes]*applicant), sources: make(map[netip.Prefix]int)}
}

// sourceOf is the network that counts as one source.
func sourceOf(addr netip.Addr) netip.Prefix {
	addr = addr.Unmap().WithZone("")
	bits := 64
	if addr.Is4() {
		bits = 24
	}
	prefix, _ := addr.Prefix(bits) // the zero prefix for the zero address
	return prefix
}

func (b *book) find(key ed25519.PublicKey) *applicant {
	if len(key) != ed25519.PublicKeySize {
		return nil
	}
	return b.byKey[keyBytes(key)]
}

// room returns who has to go before another one from a source may wait; nil and
// true: there is room. false: there is none, as all of its network are there.
func (b *book) room(from netip.Addr, most int, now time.Time) (out *applicant, ok bool) {
	source := sourceOf(from)
	if b.sources[source] >= perSource {
		for e := b.waiting.Back(); e != nil; e = e.Prev() {
			if a := e.Value.(*applicant); sourceOf(a.From) == source {
				return a, now.Sub(a.Seen) >= staleAfter
			}
		}
	}
	if b.waiting.Len() >= most {
		return b.waiting.Back().Value.(*applicant), true
	}
	return nil, true
}

// add puts a in front.
func (b *book) add(a *applicant) {
	b.byKey[a.key] = a
	if a.Rejected {
		a.place = b.rejected.PushFront(a)
		return
	}
	a.place = b.waiting.PushFront(a)
	b.sources[sourceOf(a.From)]++
}

func (b *book) remove(a *applicant) {
	delete(b.byKey, a.key)
	if a.Rejected {
		b.rejected.Remove(a.place)
		return
	}
	b.waiting.Remove(a.place)
	source := sourceOf(a.From)
	if b.sources[source]--; b.sources[source] <= 0 {
		delete(b.sources, source)
	}
}

// named finds those whom an operator may mean.
func (b *book) named(fits func(*applicant) bool) (found []*applicant) {
	for _, a := range b.byKey {
		if fits(a) {
			found = append(found, a)
		}
	}
	return found
}
