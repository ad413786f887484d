package admission

import (
	"errors"
	"slices"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/daemon/logkey"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

// DefaultLease is used for processes that tell none.
const DefaultLease = 30 * time.Second

// ErrUnknownMember says that a worker is no member: it was never let in, or was
// forgotten.
var ErrUnknownMember = errors.New("no such member")

// ErrManyConnections says that a worker has as many open as it may.
var ErrManyConnections = errors.New("too many connections of one worker")

// maxSeats bounds the open connections of one worker. Those that were replaced
// count until they are closed.
const maxSeats = 16

// Process is which process of a worker speaks, on which machine.
type Process struct {
	Worker model.WorkerID
	Boot   model.BootID
	Body   trust.Body
	// Bundle is the digest of the authorities that it trusts. Of all its members
	// the fleet wants to know this before it gives one up.
	Bundle string
	// Lease is for how long it may be silent; it is heard every third of that.
	// Zero: DefaultLease.
	Lease time.Duration
}

// NewsKind is what a connection is told.
type NewsKind uint8

const (
	// NewsAdmitted: the process has the session.
	NewsAdmitted NewsKind = iota + 1
	// NewsWait: another process seems to be alive. More news will come.
	NewsWait
	// NewsRekey: this machine is to make itself a new identity. Nothing else will
	// come.
	NewsRekey
	// NewsRebind: the fleet takes this machine for the worker's own from now on.
	// NewsAdmitted follows.
	NewsRebind
	// NewsReplaced: another connection has taken over. Nothing else will come.
	NewsReplaced
	// NewsForgotten: the worker is no member any more. Nothing else will come.
	NewsForgotten
)

func (k NewsKind) String() string {
	names := [...]string{"", "admitted", "wait", "rekey", "rebind", "replaced", "forgotten"}
	if int(k) < len(names) {
		return names[k]
	}
	return "unknown"
}

// Final reports whether nothing else will come.
func (k NewsKind) Final() bool { return k == NewsRekey || k == NewsReplaced || k == NewsForgotten }

// News is what a connection is told about its session.
type News struct {
	Kind NewsKind
	Text string // for people
}

// Attachment is one open connection of a process.
type Attachment struct {
	desk   *Desk
	worker model.WorkerID
	seat   seat
	news   chan News
}

// newsRoom is more than a connection is ever told: waiting, rebound, admitted,
// replaced or forgotten.
const newsRoom = 8

// Attach says that a process has opened a connection. It does not block; what
// becomes of it comes by Changes, the first thing at once. Call Detach when the
// connection has ended. The error is ErrUnknownMember or ErrManyConnections, or
// tells that there is no boot.
func (d *Desk) Attach(p Process) (*Attachment, error) {
	if p.Boot.IsZero() {
		return nil, errors.New("session without a boot")
	}
	d.mu.Lock()
	defer d.unlock()
	m := d.members[p.Worker]
	if m == nil {
		return nil, ErrUnknownMember
	}
	if len(m.seats) >= maxSeats {
		return nil, ErrManyConnections
	}
	d.lastSeat++
	a := &Attachment{desk: d, worker: p.Worker, seat: d.lastSeat, news: make(chan News, newsRoom)}
	if m.seats == nil {
		m.seats = make(map[seat]*Attachment)
	}
	m.seats[a.seat] = a
	d.stats.Attachments++
	d.noteBundleLocked(m, p.Bundle)
	d.sessionLocked(m, sessionEvent{attached, p.newcomer(a.seat)})
	return a, nil
}

func (p Process) newcomer(at seat) newcomer {
	if p.Lease <= 0 {
		p.Lease = DefaultLease
	}
	return newcomer{seat: at, boot: p.Boot, body: p.Body, lease: p.Lease}
}

// Changes is where news come. It is never closed.
func (a *Attachment) Changes() <-chan News { return a.news }

// Detach says that the connection has ended. Further calls do nothing.
func (a *Attachment) Detach() {
	d := a.desk
	d.mu.Lock()
	defer d.unlock()
	m := d.members[a.worker]
	if m == nil || m.seats[a.seat] != a {
		return
	}
	d.leaveSeatLocked(m, a.seat)
	d.sessionLocked(m, sessionEvent{detached, newcomer{seat: a.seat}})
}

func (d *Desk) leaveSeatLocked(m *member, s seat) {
	if _, sits := m.seats[s]; !sits {
		return
	}
	delete(m.seats, s)
	d.stats.Attachments--
	if len(m.seats) == 0 {
		m.seats = nil
	}
}

// KeepAlive says that a process was heard. It is false when it has not the
// session: then it is to open one, and renews no lease. The error is
// ErrUnknownMember.
func (d *Desk) KeepAlive(p Process) (admitted bool, err error) {
	d.mu.Lock()
	defer d.unlock()
	m := d.members[p.Worker]
	if m == nil {
		return false, ErrUnknownMember
	}
	if !m.session.has(p.Boot, p.Body) {
		return false, nil
	}
	d.noteBundleLocked(m, p.Bundle)
	d.sessionLocked(m, sessionEvent{keptAlive, p.newcomer(0)})
	return true, nil
}

// Leave is a process's goodbye: the next one gets the session at once.
func (d *Desk) Leave(id model.WorkerID, boot model.BootID) {
	d.mu.Lock()
	defer d.unlock()
	if m := d.members[id]; m != nil {
		d.sessionLocked(m, sessionEvent{goodbye, newcomer{boot: boot}})
	}
}

// Admitted is the process that has the session of a worker, or had it last; zero
// when there was none.
func (d *Desk) Admitted(id model.WorkerID) model.BootID {
	d.mu.Lock()
	defer d.mu.Unlock()
	if m := d.members[id]; m != nil {
		return m.session.boot
	}
	return model.BootID{}
}

// maxBundle is the length of a digest that is kept, in bytes.
const maxBundle = 64

func (d *Desk) noteBundleLocked(m *member, digest string) {
	if digest != m.Bundle && len(digest) <= maxBundle {
		m.Bundle = digest
		d.saveLocked(m)
	}
}

// sessionLocked lets an event happen and carries out what comes of it.
func (d *Desk) sessionLocked(m *member, e sessionEvent) {
	was := m.session
	next, actions := nextSession(was, e, d.now())
	m.session = next
	for _, action := range actions {
		d.tellLocked(m, action)
	}
	if was.link != linkOpen && next.link == linkOpen {
		d.stats.Sessions++
	} else if was.link == linkOpen && next.link != linkOpen {
		d.stats.Sessions--
	}
	if was.boot != next.boot || was.bound != next.bound || was.left != next.left || !slices.Equal(was.past, next.past) {
		d.saveLocked(m)
	}
	if was.boot != next.boot {
		d.changes = append(d.changes, bootChange{m.ID, next.boot})
	}
	d.stats.Waiting += len(next.wait) - len(was.wait)
	if len(next.wait) == 0 {
		delete(d.crowded, m)
		return
	}
	d.crowded[m] = struct{}{}
	signal(d.wake)
}

func (d *Desk) tellLocked(m *member, action sessionAction) {
	d.stats.News[action.Kind]++
	if a := m.seats[action.seat]; a != nil {
		select {
		case a.news <- action.News:
		default: // more than a connection is ever told
		}
	}
	switch action.Kind {
	case NewsRekey:
		d.log.Warn("second machine with one identity is to make itself a new one", logkey.Worker, m.ID, "hostname", m.Hostname)
	case NewsRebind:
		d.log.Info("identity bound to another machine", logkey.Worker, m.ID, "hostname", m.Hostname)
	}
}

// letIn lets in all those whose waiting has an end now, and returns when the
// next one is due; ok is false when nobody waits.
func (d *Desk) letIn() (wait time.Duration, ok bool) {
	d.mu.Lock()
	defer d.unlock()
	now := d.now()
	for m := range d.crowded {
		due, _ := m.session.deadline()
		if !now.Before(due) {
			d.sessionLocked(m, sessionEvent{what: timePassed})
			if due, ok = m.session.deadline(); !ok {
				continue
			}
		}
		if left := max(due.Sub(now), time.Millisecond); wait == 0 || left < wait {
			wait = left
		}
	}
	return wait, wait > 0
}

// bootChange is one call of Deps.OnSession to come.
type bootChange struct {
	worker model.WorkerID
	boot   model.BootID
}

// unlock releases mu and then tells about the sessions that have changed, in
// their order.
func (d *Desk) unlock() {
	pending := len(d.changes) > 0
	d.mu.Unlock()
	if !pending {
		return
	}
	d.telling.Lock()
	defer d.telling.Unlock()
	d.mu.Lock()
	changes := d.changes
	d.changes = nil
	d.mu.Unlock()
	for _, c := range changes {
		if d.onSession != nil {
			d.onSession(c.worker, c.boot)
		}
	}
}
