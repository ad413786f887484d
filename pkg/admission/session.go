package admission

import (
	"fmt"
	"slices"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

// Bounds of what is kept for one identity.
const (
	maxPast    = 4 // processes that must not come back
	maxWaiting = 4 // processes that wait
)

// seat numbers the connections, so that the end of an old one is not taken for
// the end of its successor.
type seat uint64

// link is what is known of the connection of the process that has the session.
type link uint8

const (
	// linkUnknown: not seen yet since the coordinator was started, or heard by a
	// keep-alive only.
	linkUnknown link = iota
	linkOpen
	linkEnded
)

// session is what is known of the processes of one identity. A value; its slices
// are never changed in place.
type session struct {
	bound trust.Body     // the machine that boot runs on
	boot  model.BootID   // the process that has the session; zero: none yet
	left  bool           // it has said goodbye
	link  link           // its connection
	seat  seat           // of its connection, while that is open
	heard time.Time      // its last sign of life; after a restart: the restart
	lease time.Duration  // as it said; 0: not known yet
	past  []model.BootID // processes that had the session, or were told to re-key, newest last
	wait  []newcomer     // in the order they came
}

// newcomer is a process that waits for the session.
type newcomer struct {
	seat  seat
	boot  model.BootID
	body  trust.Body
	lease time.Duration
	since time.Time
}

// happening is a kind of event.
type happening uint8

const (
	attached  happening = iota // a connection of boot on body was opened
	detached                   // the connection seat has ended
	keptAlive                  // boot on body was heard
	goodbye                    // boot has said goodbye
	timePassed
)

type sessionEvent struct {
	what happening
	newcomer
}

// sessionAction is news for a connection.
type sessionAction struct {
	seat seat
	News
}

// nextSession decides what an event at the time now makes of a session. It is
// pure.
//
// What it holds to:
//   - One process has the session, and it runs on the machine that the identity
//     is bound to.
//   - A process that comes back by another connection has it again. So after a
//     restart of the coordinator.
//   - On the same machine a new process gets it at once when the former one has
//     said goodbye or its connection has ended: a process is gone when its
//     connection is. Otherwise it waits until the former one is silent for its
//     lease; after a restart of the coordinator, half of it.
//   - When the former one is heard while a new one has waited for longer than a
//     third of the lease, both live: these are two machines that look alike, and
//     the new one has to re-key.
//   - A process that was superseded by one that lives, and comes back, proves the
//     same and has to re-key.
//   - On another machine a process has to re-key while the bound machine is
//     connected. When its connection has ended, the newcomer waits whether it
//     comes back within its lease. When it was silent for a lease, the newcomer's
//     machine becomes the bound one.
//   - Time that runs backwards starts leases anew; it ends none.
func nextSession(s session, e sessionEvent, now time.Time) (session, []sessionAction) {
	t := turn{session: s, now: now}
	if now.Before(t.heard) {
		t.heard = now
	}
	switch e.what {
	case attached:
		t.attach(e.newcomer)
	case detached:
		t.detach(e.seat)
	case keptAlive:
		t.keepAlive(e.newcomer)
	case goodbye:
		t.leave(e.boot)
	}
	t.seatWaiting()
	return t.session, t.out
}

// has reports whether the session is that of a process on a machine.
func (s *session) has(boot model.BootID, body trust.Body) bool {
	return s.boot == boot && s.bound == body && !s.left && !boot.IsZero()
}

// silent reports whether the one who has the session was not heard for a span.
func (s *session) silentFor(span time.Duration, now time.Time) bool { return now.Sub(s.heard) >= span }

// patience is for how long the former process may be silent before one that
// waits on the same machine gets the session.
func (s *session) patience() time.Duration {
	switch {
	case s.boot.IsZero() || s.left || s.link == linkEnded:
		return 0
	case s.link == linkOpen:
		return s.lease
	}
	return s.lease / 2
}

// deadline is when somebody who waits gets in without further events.
func (s *session) deadline() (at time.Time, ok bool) {
	for _, w := range s.wait {
		patience := s.lease
		if w.body == s.bound {
			patience = s.patience()
		}
		if due := s.heard.Add(patience); !ok || due.Before(at) {
			at, ok = due, true
		}
	}
	return at, ok
}

// turn is one call of nextSession at work.
type turn struct {
	session
	now time.Time
	out []sessionAction
}

func (t *turn) tell(to seat, kind NewsKind, text string) {
	t.out = append(t.out, sessionAction{to, News{kind, text}})
}

func (t *turn) attach(n newcomer) {
	n.since = t.now
	if old, waits := t.dropWaiting(func(w newcomer) bool { return w.boot == n.boot && w.body == n.body }); waits {
		t.tell(old.seat, NewsReplaced, textReplaced)
		n.since = old.since
	}
	if t.lease == 0 {
		t.lease = n.lease
	}
	switch {
	case t.boot.IsZero():
		t.take(n)
	case t.boot == n.boot && t.bound == n.body:
		t.reattach(n)
	case t.bound == n.body:
		t.sameMachine(n)
	default:
		t.otherMachine(n)
	}
}

func (t *turn) reattach(n newcomer) {
	if t.link == linkOpen {
		t.tell(t.seat, NewsReplaced, textReplaced)
	}
	t.left, t.link, t.seat, t.heard, t.lease = false, linkOpen, n.seat, t.now, n.lease
	t.tell(n.seat, NewsAdmitted, "")
	t.outlive()
}

func (t *turn) sameMachine(n newcomer) {
	switch {
	case t.silentFor(t.patience(), t.now):
		t.take(n)
	case slices.Contains(t.past, n.boot):
		t.rekey(n)
	default:
		t.letWait(n, fmt.Sprintf("another process of this worker was heard %v ago; if it is gone, this one is let in within %v",
			t.ago(), t.remaining(t.patience())))
	}
}

func (t *turn) otherMachine(n newcomer) {
	switch {
	case t.silentFor(t.lease, t.now):
		t.take(n)
	case t.link == linkOpen:
		t.rekey(n)
	default:
		t.letWait(n, fmt.Sprintf("this worker was heard from another machine %v ago; if that one is gone, this one takes its place within %v",
			t.ago(), t.remaining(t.lease)))
	}
}

func (t *turn) ago() time.Duration { return t.now.Sub(t.heard).Round(time.Second) }

func (t *turn) remaining(span time.Duration) time.Duration {
	return max(span-t.now.Sub(t.heard), 0).Round(time.Second)
}

// take gives the session to n.
func (t *turn) take(n newcomer) {
	if t.link == linkOpen {
		t.tell(t.seat, NewsReplaced, textSuperseded)
	}
	former, rebound := t.boot, !t.boot.IsZero() && t.bound != n.body
	t.boot, t.bound, t.left = n.boot, n.body, false
	t.link, t.seat, t.heard, t.lease = linkOpen, n.seat, t.now, n.lease
	t.past = slices.DeleteFunc(slices.Clone(t.past), func(b model.BootID) bool { return b == n.boot })
	t.remember(former)
	if rebound {
		t.tell(n.seat, NewsRebind, "the machine that this worker ran on is silent: this one takes its place")
	}
	t.tell(n.seat, NewsAdmitted, "")
	// Those who still wait now wait for this one to end.
	still := t.wait
	t.wait = nil
	for _, w := range still {
		if w.body != t.bound {
			t.rekey(w)
			continue
		}
		w.since = t.now
		t.wait = append(t.wait, w)
	}
}

// rekey sends n away.
func (t *turn) rekey(n newcomer) {
	if n.body == t.bound {
		t.remember(n.boot)
	}
	t.tell(n.seat, NewsRekey, textRekey)
}

// remember notes a process that must not come back while another one lives.
func (t *turn) remember(boot model.BootID) {
	if boot.IsZero() || boot == t.boot {
		return
	}
	past := slices.DeleteFunc(slices.Clone(t.past), func(b model.BootID) bool { return b == boot })
	t.past = append(past[max(0, len(past)-maxPast+1):], boot)
}

func (t *turn) letWait(n newcomer, text string) {
	if len(t.wait) >= maxWaiting {
		oldest, _ := t.dropWaiting(func(newcomer) bool { return true })
		t.tell(oldest.seat, NewsReplaced, "too many processes of this worker wait")
	}
	t.wait = append(slices.Clone(t.wait), n)
	t.tell(n.seat, NewsWait, text)
}

// dropWaiting takes the first one that fits off the list.
func (t *turn) dropWaiting(fits func(newcomer) bool) (newcomer, bool) {
	i := slices.IndexFunc(t.wait, fits)
	if i < 0 {
		return newcomer{}, false
	}
	dropped := t.wait[i]
	t.wait = slices.Delete(slices.Clone(t.wait), i, i+1)
	return dropped, true
}

// outlive is called when the one who has the session was heard: whoever waits
// for its end for long enough waits in vain.
func (t *turn) outlive() {
	for {
		vain, found := t.dropWaiting(func(w newcomer) bool { return t.now.Sub(w.since) > t.lease/3 })
		if !found {
			return
		}
		t.rekey(vain)
	}
}

func (t *turn) detach(ended seat) {
	if t.link == linkOpen && t.seat == ended {
		t.link, t.seat = linkEnded, 0
		return
	}
	t.dropWaiting(func(w newcomer) bool { return w.seat == ended })
}

func (t *turn) keepAlive(n newcomer) {
	if !t.has(n.boot, n.body) {
		return
	}
	if t.link == linkEnded { // it lives without its connection
		t.link = linkUnknown
	}
	t.heard, t.lease = t.now, n.lease
	t.outlive()
}

func (t *turn) leave(boot model.BootID) {
	if boot == t.boot && !boot.IsZero() {
		t.left, t.link, t.seat, t.heard = true, linkEnded, 0, t.now
		return
	}
	t.dropWaiting(func(w newcomer) bool { return w.boot == boot })
}

// seatWaiting lets in whoever has waited for long enough: first those on the
// same machine.
func (t *turn) seatWaiting() {
	next, found := t.dropWaiting(func(w newcomer) bool { return w.body == t.bound && t.silentFor(t.patience(), t.now) })
	if !found {
		next, found = t.dropWaiting(func(w newcomer) bool { return w.body != t.bound && t.silentFor(t.lease, t.now) })
	}
	if found {
		t.take(next)
	}
}

const (
	textReplaced   = "another connection of this process has taken over"
	textSuperseded = "another process of this worker has taken over"
	textRekey      = "another machine with this identity is at work: a copied disk or state folder. This one has to make itself a new identity"
)
