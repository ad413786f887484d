package people

import (
	"net/netip"
	"time"
)

// Bounds of what is remembered of failures.
const (
	maxSources      = 8192 // addresses, and names of nobody each; when full, the one silent for longest is forgotten
	sourceTolerance = 4    // times LockAfter: several people share an address
	maxLock         = time.Hour
	forgetUser      = 24 * time.Hour // after the last failure, or the end of its lock
	forgetSource    = time.Hour
	maxGood         = 4 // addresses that a user has logged in from
)

// ledger counts failures by key. Pure but for its memory; not safe for
// concurrent use. Every method takes the time.
type ledger[K comparable] struct {
	entries map[K]*failures
	room    int           // entries; when full, the one silent for longest makes room
	after   int           // failures until the first lock
	first   time.Duration // length of the first lock
	forget  time.Duration
}

type failures struct {
	n     int
	last  time.Time
	until time.Time // locked until then; zero: not
}

func newLedger[K comparable](room, after int, first, forget time.Duration) *ledger[K] {
	return &ledger[K]{entries: map[K]*failures{}, room: room, after: after, first: first, forget: forget}
}

// locked returns until when key is locked; zero: it is not.
func (l *ledger[K]) locked(key K, now time.Time) time.Time {
	if f := l.entries[key]; f != nil && now.Before(f.until) {
		return f.until
	}
	return time.Time{}
}

// fail counts one failure, and locks for twice as long as the one before.
func (l *ledger[K]) fail(key K, now time.Time) {
	f := l.entries[key]
	if f != nil && l.over(f, now) {
		*f = failures{}
	}
	if f == nil {
		if len(l.entries) >= l.room {
			l.makeRoom(now)
		}
		f = &failures{}
		l.entries[key] = f
	}
	f.n++
	f.last = now
	if f.n >= l.after {
		f.until = now.Add(l.length(f.n - l.after))
	}
}

// length of a lock after so many locks before it.
func (l *ledger[K]) length(before int) time.Duration {
	most := max(maxLock, l.first)
	length := l.first
	for ; before > 0 && length < most; before-- {
		length *= 2
	}
	return min(length, most)
}

func (l *ledger[K]) over(f *failures, now time.Time) bool {
	end := f.last
	if f.until.After(end) {
		end = f.until
	}
	return now.Sub(end) >= l.forget
}

// makeRoom forgets what is over, or else the one that is silent for longest: an
// attacker with more sources than there is room for does not need to be forgotten.
func (l *ledger[K]) makeRoom(now time.Time) {
	l.prune(now)
	if len(l.entries) < l.room {
		return
	}
	var oldest K
	var least time.Time
	for key, f := range l.entries {
		if least.IsZero() || f.last.Before(least) {
			oldest, least = key, f.last
		}
	}
	delete(l.entries, oldest)
}

func (l *ledger[K]) prune(now time.Time) {
	for key, f := range l.entries {
		if l.over(f, now) {
			delete(l.entries, key)
		}
	}
}

// guard decides who may try a password. Not safe for concurrent use.
type guard struct {
	users     *ledger[string] // of the file: as many as there are users, never forgotten for room
	strangers *ledger[string] // names of nobody are locked in the same way, or a lock would tell who exists
	sources   *ledger[netip.Prefix]
	good      map[string][]netip.Prefix // where a user has logged in from, newest first
}

func newGuard(cfg Config) *guard {
	return &guard{
		users:     newLedger[string](MaxUsers, cfg.LockAfter, cfg.LockFor, forgetUser),
		strangers: newLedger[string](maxSources, cfg.LockAfter, cfg.LockFor, forgetUser),
		sources:   newLedger[netip.Prefix](maxSources, sourceTolerance*cfg.LockAfter, cfg.LockFor, forgetSource),
		good:      map[string][]netip.Prefix{},
	}
}

// attempt is one try.
type attempt struct {
	name     string
	known    bool // a user of the file
	external bool // judged by the External hook; its secret cannot be guessed, so its name is never locked
	source   netip.Prefix
}

func (g *guard) ledgerOf(a attempt) *ledger[string] {
	if a.known {
		return g.users
	}
	return g.strangers
}

// check returns a *LockedError or nil.
func (g *guard) check(a attempt, now time.Time) error {
	if until := g.sources.locked(a.source, now); !until.IsZero() {
		return &LockedError{Until: until, Source: true}
	}
	if a.external || g.trusted(a) {
		return nil
	}
	if until := g.ledgerOf(a).locked(a.name, now); !until.IsZero() {
		return &LockedError{Until: until}
	}
	return nil
}

// failed counts. An address that the user has come from before loses its place
// when it fails as often as a user may: it may be a neighbour behind the same one.
func (g *guard) failed(a attempt, now time.Time) {
	g.sources.fail(a.source, now)
	if g.trusted(a) && g.sources.entries[a.source].n >= g.users.after {
		g.distrust(a)
	}
	if !a.external {
		g.ledgerOf(a).fail(a.name, now)
	}
}

// succeeded forgets the user's failures, and not those of the address: whoever has
// an account could otherwise guess at others between his own logins.
func (g *guard) succeeded(a attempt) {
	if !a.known {
		return
	}
	delete(g.users.entries, a.name)
	g.distrust(a)
	good := append([]netip.Prefix{a.source}, g.good[a.name]...)
	g.good[a.name] = good[:min(len(good), maxGood)]
}

func (g *guard) trusted(a attempt) bool {
	for _, source := range g.good[a.name] {
		if a.known && source == a.source {
			return true
		}
	}
	return false
}

func (g *guard) distrust(a attempt) {
	var others []netip.Prefix
	for _, source := range g.good[a.name] {
		if source != a.source {
			others = append(others, source)
		}
	}
	g.good[a.name] = others
}

// forget removes what is known of a user.
func (g *guard) forget(name string) {
	delete(g.users.entries, name)
	delete(g.good, name)
}

func (g *guard) prune(now time.Time) {
	g.users.prune(now)
	g.strangers.prune(now)
	g.sources.prune(now)
}

// sourceOf is what failures are counted under: an IPv4 address, or the /64 of an
// IPv6 one, of which a single host has all. No address is a source as well.
func sourceOf(from netip.Addr) netip.Prefix {
	from = from.Unmap().WithZone("")
	bits := 32
	switch {
	case !from.IsValid():
		from, bits = netip.IPv6Unspecified(), 128
	case from.Is6():
		bits = 64
	}
	prefix, _ := from.Prefix(bits)
	return prefix
}
