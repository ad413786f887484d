package admission

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/cloudless-fleet/cloudless/pkg/boltfile"
	"github.com/cloudless-fleet/cloudless/pkg/daemon/logkey"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/pairing"
	"github.com/cloudless-fleet/cloudless/pkg/trust/token"
)

// ErrClosed is returned after Close.
var ErrClosed = errors.New("admission is closed")

// Authority signs certificates: *authority.Authority.
type Authority interface {
	Fleet() string
	Bundle() trust.Bundle
	// Fingerprint is that of the authority that signs, for join tokens.
	Fingerprint() trust.Fingerprint
	Sign(req trust.Request, public crypto.PublicKey, random io.Reader, now time.Time) (trust.Issued, error)
}

// Deps are what a Desk needs from outside.
type Deps struct {
	Logger *slog.Logger     // nil: no logs
	Now    func() time.Time // nil: time.Now. Its times should carry a monotonic reading
	Random io.Reader        // nil: crypto/rand. Must be safe for concurrent use
	// Authority must be there.
	Authority Authority
	// Revoked reports who is out, by id or by key. nil: nobody. It is called
	// without locks and must not block.
	Revoked func(model.WorkerID, trust.Fingerprint) bool
	// OnSession is told which process has a worker's session, whenever that
	// changes; nil: nobody is. One call at a time, in order, without Desk.mu: it
	// may read from the Desk, but must not call Attach, Detach, KeepAlive, Leave
	// or Forget. What was there at Open is not told: see Members.
	OnSession func(model.WorkerID, model.BootID)
}

// Desk decides who may join, and which process of a member has its session. All
// methods are safe for concurrent use. Key never waits; the session methods wait
// for nobody's disk. Enrol, Renewal, the methods of operators and Close wait for
// the disk.
type Desk struct {
	cfg       Config
	log       *slog.Logger
	now       func() time.Time
	random    io.Reader
	authority Authority
	isRevoked func(model.WorkerID, trust.Fingerprint) bool
	onSession func(model.WorkerID, model.BootID)
	codeOf    func(ed25519.PublicKey) pairing.Code
	disk      *boltfile.File
	keys      keys

	wake    chan struct{} // somebody waits for a session; capacity 1
	unsaved chan struct{} // something is dirty; capacity 1
	closed  chan struct{}
	runs    sync.WaitGroup
	saving  sync.Mutex // held while the file is written, taken before mu
	telling sync.Mutex // held while OnSession is called, taken before mu

	mu        sync.Mutex
	isClosed  bool
	isRunning bool
	limits    *limits
	newcomers *rate.Limiter // machines that begin to wait: each costs a pairing code
	members   map[model.WorkerID]*member
	families  map[model.WorkerID][]time.Time // when clones of a family were let in, the last ones
	tokens    map[token.ID]token.Record
	book      book
	lastSeat  seat
	crowded   map[*member]struct{} // where somebody waits for the session
	changes   []bootChange
	dirty     dirt
	stats     Stats
}

// Open reads what is kept in dir, or begins anew there. Nothing is written slowly
// and nobody who waits for a session gets it until Run is called. Errors wrap
// ErrLocked, ErrDamaged or ErrNewerFormat when those are the cause.
func Open(dir string, cfg Config, deps Deps) (*Desk, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("admission config: %w", err)
	}
	if deps.Authority == nil {
		return nil, errors.New("admission: no authority")
	}
	if deps.Logger == nil {
		deps.Logger = slog.New(slog.DiscardHandler)
	}
	if deps.Now == nil {
		deps.Now = time.Now
	}
	if deps.Random == nil {
		deps.Random = rand.Reader
	}
	if deps.Revoked == nil {
		deps.Revoked = func(model.WorkerID, trust.Fingerprint) bool { return false }
	}
	file, l, err := openDisk(dir, lockTimeout)
	if err != nil {
		return nil, err
	}
	d := &Desk{
		cfg: cfg, log: deps.Logger, now: deps.Now, random: deps.Random, authority: deps.Authority,
		isRevoked: deps.Revoked, onSession: deps.OnSession, codeOf: pairing.Of, disk: file,
		wake: make(chan struct{}, 1), unsaved: make(chan struct{}, 1), closed: make(chan struct{}),
		limits: newLimits(cfg.EnrolRate, cfg.EnrolRatePerAddress), newcomers: rate.NewLimiter(newcomerRate, newcomerBurst),
		members: make(map[model.WorkerID]*member), families: make(map[model.WorkerID][]time.Time),
		tokens: make(map[token.ID]token.Record), book: newBook(), crowded: make(map[*member]struct{}), dirty: newDirt(),
		stats: Stats{Enrolments: make(map[string]uint64), Renewals: make(map[string]uint64), NewMembers: make(map[string]uint64)},
	}
	d.adopt(l)
	return d, nil
}

// adopt takes over what was on disk.
func (d *Desk) adopt(l loaded) {
	for _, bad := range l.damaged {
		d.stats.Quarantined++
		d.log.Warn("damaged admission entry set aside", "bucket", bad.Bucket, logkey.Key, fmt.Sprintf("%x", bad.Key), logkey.Err, bad.Err)
	}
	now := d.now()
	for i := range l.members {
		m := l.members[i].member()
		m.onDisk = true
		m.session.heard = now // nobody knows for how long it was silent
		d.members[m.ID] = m
		d.countCloneLocked(m, now)
	}
	d.keys.fill(d.members)
	for _, record := range l.tokens {
		d.tokens[record.ID] = record
	}
	slices.SortFunc(l.pending, func(a, b *applicant) int { return a.Seen.Compare(b.Seen) })
	for _, a := range l.pending {
		a.onDisk = true
		if m := d.members[a.ID]; m != nil && m.Key.Equal(a.Key) { // approved in the last moment
			d.dropLocked(a)
			continue
		}
		d.book.add(a)
	}
	d.trimLocked()
	d.log.Info("admission opened", logkey.Path, d.disk.Path(), "members", len(d.members), "tokens", len(d.tokens),
		"pending", d.book.waiting.Len(), "rejected", d.book.rejected.Len(), "damaged", len(l.damaged))
}

// Close writes what is not on disk yet and releases the file. It ends Run and
// waits for it. Further calls return nil.
func (d *Desk) Close() error {
	d.mu.Lock()
	first := !d.isClosed
	if first {
		d.isClosed = true
		close(d.closed)
	}
	d.mu.Unlock()
	d.runs.Wait()
	if !first {
		return nil
	}
	return errors.Join(d.save(true), d.disk.Close())
}

// Key is the key that a member was let in with; nil: no such member. It must not
// be changed. Key takes no lock and allocates nothing.
func (d *Desk) Key(id model.WorkerID) ed25519.PublicKey { return d.keys.get(id) }

// Member returns one member.
func (d *Desk) Member(id model.WorkerID) (Member, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if m := d.members[id]; m != nil {
		return m.view(), true
	}
	return Member{}, false
}

// Members returns them all, by id.
func (d *Desk) Members() []Member {
	d.mu.Lock()
	all := make([]Member, 0, len(d.members))
	for _, m := range d.members {
		all = append(all, m.view())
	}
	d.mu.Unlock()
	slices.SortFunc(all, func(a, b Member) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	return all
}

// Clones returns the members that came with copies of a worker's state folder, or
// with copies of a copy, by id. The worker itself need not be a member any more.
func (d *Desk) Clones(of model.WorkerID) []Member {
	d.mu.Lock()
	children := make(map[model.WorkerID][]*member)
	for _, m := range d.members {
		if !m.CloneOf.IsZero() {
			children[m.CloneOf] = append(children[m.CloneOf], m)
		}
	}
	var found []Member
	seen := map[model.WorkerID]bool{of: true}
	for next := []model.WorkerID{of}; len(next) > 0; next = next[1:] {
		for _, m := range children[next[0]] {
			if !seen[m.ID] {
				seen[m.ID] = true
				found = append(found, m.view())
				next = append(next, m.ID)
			}
		}
	}
	d.mu.Unlock()
	slices.SortFunc(found, func(a, b Member) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	return found
}

// clip bounds a person's words: one line of at most 200 bytes.
func clip(text string) string { return model.Line(strings.Join(strings.Fields(text), " "), 200) }
