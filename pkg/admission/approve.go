package admission

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cloudless-fleet/cloudless/pkg/daemon/logkey"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/pairing"
	"github.com/cloudless-fleet/cloudless/pkg/trust/token"
)

// Errors of operators' wishes about machines.
var (
	// ErrNotPending says that nobody with the code or id waits.
	ErrNotPending = errors.New("no machine with this pairing code or id waits")
	// ErrAmbiguous says that several do: the pairing code tells them apart.
	ErrAmbiguous = errors.New("several machines claim this id: use the pairing code")
	// ErrFull says that there are Config.MaxMembers.
	ErrFull = errors.New("the fleet is full: forget members, or raise max_members")
	// ErrIdentityInUse says that the id belongs to a member with another key.
	ErrIdentityInUse = errors.New("this worker id belongs to a member with another key")
	// ErrRevoked says that the machine is on the revocation list.
	ErrRevoked = errors.New("this machine was revoked: readmit it first")
	// ErrWho says that a text is neither a pairing code nor an id.
	ErrWho = errors.New("want a pairing code or a worker id")
)

// Pending returns those who wait for approval, the newest first, and behind them
// those who were rejected, the last one first.
func (d *Desk) Pending() []Pending {
	d.mu.Lock()
	waiting := make([]Pending, 0, len(d.book.byKey))
	for e := d.book.waiting.Front(); e != nil; e = e.Next() {
		waiting = append(waiting, e.Value.(*applicant).Pending)
	}
	var rejected []Pending
	for e := d.book.rejected.Front(); e != nil; e = e.Next() {
		rejected = append(rejected, e.Value.(*applicant).Pending)
	}
	d.mu.Unlock()
	slices.SortStableFunc(waiting, func(a, b Pending) int { return b.Since.Compare(a.Since) })
	return append(waiting, rejected...)
}

// Approve makes a machine a member that waits or was rejected. who is its pairing
// code, or its id; labels are the fleet's for it, by is the operator's name. It
// gets its certificate when it asks again. A clone has the labels of the member
// whose copy it came with, too. Errors wrap one of those above, or are that of
// the disk: then it is tried again in the background.
func (d *Desk) Approve(who string, labels map[string]string, by string) (Member, error) {
	if err := token.CheckLabels(labels); err != nil {
		return Member{}, err
	}
	a, err := d.pendingNamed(who)
	if err != nil {
		return Member{}, err
	}
	key, err := trust.FingerprintOf(a.Key)
	if err != nil {
		return Member{}, err
	}
	if d.isRevoked(a.ID, key) {
		return Member{}, fmt.Errorf("approve %s: %w", a.ID, ErrRevoked)
	}
	m, err := d.approve(a, key, labels, by)
	if err != nil {
		return Member{}, fmt.Errorf("approve %s: %w", a.ID, err)
	}
	return m, d.save(false)
}

func (d *Desk) approve(p Pending, key trust.Fingerprint, labels map[string]string, by string) (Member, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	a := d.book.find(p.Key)
	switch {
	case a == nil || a.ID != p.ID:
		return Member{}, ErrNotPending // changed in the last moment
	case d.members[a.ID] != nil:
		return Member{}, ErrIdentityInUse
	case len(d.members) >= d.cfg.MaxMembers:
		return Member{}, ErrFull
	}
	g := grant{byOperator(by), "operator", labels, d.members[a.CloneOf]}
	if g.origin != nil {
		g.labels = maps.Clone(g.origin.Labels)
		if g.labels == nil {
			g.labels = make(map[string]string)
		}
		maps.Copy(g.labels, labels)
	}
	m := d.addLocked(Member{ID: a.ID, Key: a.Key, Fingerprint: key, Hostname: a.Hostname}, g, d.now())
	d.stats.Approved++
	return m.view(), nil
}

// Reject turns a machine away that waits: who is its pairing code or id, reason
// is for people, by the operator's name. It stays away until it is approved or
// forgotten. Errors are those of Approve.
func (d *Desk) Reject(who, reason, by string) (Pending, error) {
	p, err := d.pendingNamed(who)
	if err != nil {
		return Pending{}, err
	}
	d.mu.Lock()
	a := d.book.find(p.Key)
	if a == nil {
		d.mu.Unlock()
		return Pending{}, fmt.Errorf("reject %s: %w", p.ID, ErrNotPending)
	}
	d.book.remove(a)
	a.Rejected, a.Reason, a.RejectedBy = true, clip(reason), clip(by)
	d.book.add(a)
	d.dirty.pending[a] = struct{}{}
	d.trimLocked()
	rejected := a.Pending
	d.log.Info("machine rejected", logkey.Worker, a.ID, "hostname", a.Hostname, "code", a.Code.String(), "by", a.RejectedBy)
	d.mu.Unlock()
	return rejected, d.save(true)
}

// pendingNamed finds whom an operator means.
func (d *Desk) pendingNamed(who string) (Pending, error) {
	who = strings.TrimSpace(who)
	var fits func(*applicant) bool
	if id, err := model.ParseWorkerID(who); err == nil {
		fits = func(a *applicant) bool { return a.ID == id }
	} else if code, err := pairing.Parse(who); err == nil {
		fits = func(a *applicant) bool { return a.Code == code }
	} else {
		return Pending{}, fmt.Errorf("%.20q: %w", who, ErrWho) // it may be a token that was pasted
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	switch found := d.book.named(fits); len(found) {
	case 0:
		return Pending{}, fmt.Errorf("%.80q: %w", who, ErrNotPending)
	case 1:
		return found[0].Pending, nil
	default:
		return Pending{}, fmt.Errorf("%.80q: %w", who, ErrAmbiguous)
	}
}

// dropLocked takes a off the list.
func (d *Desk) dropLocked(a *applicant) {
	if d.book.byKey[a.key] == a {
		d.book.remove(a)
	}
	delete(d.dirty.pending, a)
	if a.onDisk {
		d.dirty.gonePending[a.key] = struct{}{}
	}
}

// trimLocked forgets those silent for longest where there are too many.
func (d *Desk) trimLocked() {
	for d.book.waiting.Len() > d.cfg.MaxPending {
		d.stats.Evicted++
		d.dropLocked(d.book.waiting.Back().Value.(*applicant))
	}
	for d.book.rejected.Len() > d.cfg.MaxPending {
		d.stats.Evicted++
		d.dropLocked(d.book.rejected.Back().Value.(*applicant))
	}
}

// Forget removes a member, or the machines with the id that wait or were
// rejected. Its open connections are told. A certificate that it has stays good
// until it ends: revoke it first. known is false when there was nobody.
func (d *Desk) Forget(id model.WorkerID) (known bool, err error) {
	d.mu.Lock()
	if m := d.members[id]; m != nil {
		known = true
		d.removeLocked(m)
	}
	for _, a := range d.book.named(func(a *applicant) bool { return a.ID == id }) {
		known = true
		d.dropLocked(a)
	}
	if known {
		d.stats.Forgotten++
	}
	d.unlock()
	if !known {
		return false, nil
	}
	return true, d.save(true)
}

func (d *Desk) removeLocked(m *member) {
	for s, a := range m.seats {
		d.tellLocked(m, sessionAction{a.seat, News{NewsForgotten, "the fleet has forgotten this worker: it has to enrol"}})
		d.leaveSeatLocked(m, s)
	}
	if m.session.link == linkOpen {
		d.stats.Sessions--
	}
	d.stats.Waiting -= len(m.session.wait)
	delete(d.crowded, m)
	delete(d.members, m.ID)
	d.keys.put(m.ID, nil)
	delete(d.dirty.members, m)
	d.dirty.goneMembers[m.ID] = struct{}{}
	if !m.session.boot.IsZero() {
		d.changes = append(d.changes, bootChange{m.ID, model.BootID{}})
	}
	d.log.Info("member forgotten", logkey.Worker, m.ID, "hostname", m.Hostname)
}
