package admission

import (
	"fmt"
	"maps"
	"net/netip"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/daemon/logkey"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/enrol"
	"github.com/cloudless-fleet/cloudless/pkg/trust/token"
)

// Enrol judges a machine's wish to be let in. from is where it asks from. former
// is the worker whose certificate it has shown, if any: that of a machine which
// was told to make itself a new identity. The machine may ask as often as it
// likes: who is a member gets another certificate.
func (d *Desk) Enrol(req *enrol.Request, from netip.Addr, former model.WorkerID) Answer {
	answer := d.enrol(req, from.Unmap(), former)
	d.count(answer, false)
	return answer
}

func (d *Desk) enrol(req *enrol.Request, from netip.Addr, former model.WorkerID) Answer {
	now := d.now()
	if !d.allow(from, now) {
		return refusal(ReasonLimited)
	}
	verdict := req.Check(d.authority.Bundle().Fingerprints(), now)
	answer := d.judge(wish{req, from, former, now}, verdict)
	answer.Offset = verdict.Offset
	return answer
}

func (d *Desk) allow(from netip.Addr, now time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.limits.allow(from, now)
}

// wish is a request with its circumstances.
type wish struct {
	*enrol.Request
	from   netip.Addr
	former model.WorkerID
	now    time.Time
}

func (d *Desk) judge(w wish, verdict enrol.Verdict) Answer {
	key, err := trust.FingerprintOf(w.PublicKey)
	switch {
	case !verdict.OK():
		return refusal(verdict.Reason.String())
	case err != nil:
		return refusal(enrol.Malformed.String())
	case d.isRevoked(w.Worker, key):
		return refusal(enrol.Revoked.String())
	}
	if w.former == w.Worker || d.isOut(w.former) {
		w.former = model.WorkerID{}
	}
	d.mu.Lock()
	decision := d.decideLocked(w, key)
	d.mu.Unlock()
	switch {
	case decision.member != nil:
		return d.certify(decision.member, w.now)
	case decision.refused != nil:
		return *decision.refused
	}
	return d.pend(w, decision.because)
}

// isOut reports whether a worker is no member in good standing.
func (d *Desk) isOut(id model.WorkerID) bool {
	if id.IsZero() {
		return true
	}
	m, known := d.Member(id)
	return !known || d.isRevoked(id, m.Fingerprint)
}

// decision is what is to be done about a wish: admit member, refuse, or else let
// an operator decide.
type decision struct {
	member  *member
	refused *Answer
	because string // why an operator has to; empty: because nobody else does
}

func refuse(reason string) decision {
	a := refusal(reason)
	return decision{refused: &a}
}

func (d *Desk) decideLocked(w wish, key trust.Fingerprint) decision {
	if m := d.members[w.Worker]; m != nil {
		if m.Fingerprint != key {
			return refuse(ReasonIdentityInUse)
		}
		d.renameLocked(m, w.Hostname)
		return decision{member: m}
	}
	if a := d.book.find(w.PublicKey); a != nil && a.Rejected {
		a.Seen = w.now
		d.book.rejected.MoveToFront(a.place)
		answer := rejection(a)
		return decision{refused: &answer}
	}
	origin := d.members[w.former]
	full := len(d.members) >= d.cfg.MaxMembers
	if claim, has := w.Claim(); has {
		record, verdict := token.Redeem(d.tokens[claim.Token], claim, w.now)
		switch {
		case verdict.OK() && full:
			return refuse(ReasonFull)
		case verdict.OK():
			d.redeemedLocked(record, verdict)
			return d.admitLocked(w, key, grant{byToken(record.ID), "token", record.Labels, origin})
		case origin == nil: // a clone has another way in
			return refuse(verdict.String())
		}
	}
	because := ""
	if origin != nil && d.cfg.Clones == ClonesAdmit {
		switch {
		case d.clonesLocked(origin.family, w.now) >= maxClones:
			because = ReasonCloneLimit
		case full:
			return refuse(ReasonFull)
		default:
			return d.admitLocked(w, key, grant{byClone(origin.ID), "clone", origin.Labels, origin})
		}
	}
	for i, policy := range d.cfg.AutoApprove {
		if !policy.fits(w.from, w.Labels) {
			continue
		}
		if full {
			return refuse(ReasonFull)
		}
		return d.admitLocked(w, key, grant{byPolicy(i + 1), "policy", policy.Assign, origin})
	}
	return decision{because: because}
}

// grant is why somebody is let in.
type grant struct {
	by     string
	way    string // for counters
	labels map[string]string
	origin *member // whose clone it is; nil: nobody's
}

func (d *Desk) admitLocked(w wish, key trust.Fingerprint, g grant) decision {
	return decision{member: d.addLocked(Member{ID: w.Worker, Key: w.PublicKey, Fingerprint: key, Hostname: w.Hostname}, g, w.now)}
}

// addLocked makes somebody a member. Nobody may be told before it is saved.
func (d *Desk) addLocked(who Member, g grant, now time.Time) *member {
	who.Labels, who.At, who.By = maps.Clone(g.labels), now.UTC().Truncate(time.Millisecond), g.by
	m := &member{Member: who, family: who.ID}
	if g.origin != nil {
		m.CloneOf, m.family = g.origin.ID, g.origin.family
	}
	d.members[m.ID] = m
	d.keys.put(m.ID, m.Key)
	d.countCloneLocked(m, now)
	// Whoever waits under this id has no more to wait for: it is taken.
	for _, a := range d.book.named(func(a *applicant) bool { return a.key == keyBytes(m.Key) || a.ID == m.ID && !a.Rejected }) {
		d.dropLocked(a)
	}
	d.saveLocked(m)
	d.stats.NewMembers[g.way]++
	d.log.Info("member admitted", logkey.Worker, m.ID, "hostname", m.Hostname, "by", m.By)
	return m
}

func (d *Desk) renameLocked(m *member, hostname string) {
	if hostname != m.Hostname {
		m.Hostname = hostname
		d.saveLocked(m)
	}
}

// certify signs a certificate for a member, once it is on disk, and the use of
// the token that it has spent with it. One that has been there for long needs no
// disk to renew its certificate.
func (d *Desk) certify(m *member, now time.Time) Answer {
	if err := d.ensure(m); err != nil {
		d.log.Error("member not admitted: admission not saved", logkey.Worker, m.ID, logkey.Err, err)
		return refusal(ReasonUnavailable)
	}
	issued, err := d.authority.Sign(trust.Request{Role: trust.RoleWorker, Name: m.ID.String(), TTL: d.cfg.CertificateTTL}, m.Key, d.random, now)
	if err != nil {
		d.log.Error("no certificate for a member", logkey.Worker, m.ID, logkey.Err, err)
		return refusal(ReasonUnavailable)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.members[m.ID] != m { // forgotten meanwhile
		return refusal(enrol.UnknownWorker.String())
	}
	fresh := m.CertificateEnds.IsZero() && !m.approved()
	m.CertificateEnds = issued.NotAfter.UTC()
	d.saveLocked(m)
	return Answer{Outcome: OutcomeAdmitted, Text: "admitted by " + m.By, Certificate: issued.Cert, Bundle: d.authority.Bundle().PEM(),
		Member: m.view(), New: fresh}
}

func (d *Desk) ensure(m *member) error {
	d.mu.Lock()
	onDisk := m.onDisk
	d.mu.Unlock()
	if onDisk {
		return nil
	}
	return d.save(false)
}

// pend lets a machine wait for an operator.
func (d *Desk) pend(w wish, because string) Answer {
	d.mu.Lock()
	defer d.mu.Unlock()
	a := d.book.find(w.PublicKey)
	if a == nil {
		if !d.newcomers.AllowN(w.now, 1) {
			return refusal(ReasonLimited)
		}
		if _, ok := d.book.room(w.from, d.cfg.MaxPending, w.now); !ok {
			return refusal(ReasonFull)
		}
		d.mu.Unlock()
		code := d.codeOf(w.PublicKey) // takes its time
		d.mu.Lock()
		if a = d.book.find(w.PublicKey); a == nil {
			out, ok := d.book.room(w.from, d.cfg.MaxPending, w.now)
			if !ok {
				return refusal(ReasonFull)
			}
			if out != nil {
				d.stats.Evicted++
				d.dropLocked(out)
			}
			a = &applicant{Pending: Pending{Key: w.PublicKey, Code: code, From: w.from, Since: w.now, Seen: w.now}, key: keyBytes(w.PublicKey)}
			d.book.add(a)
			d.log.Info("machine waits for approval", logkey.Worker, w.Worker, "hostname", w.Hostname, logkey.Addr, w.from, "code", code.String())
		}
	}
	if a.Rejected { // while the code was computed
		return rejection(a)
	}
	d.heardLocked(a, w)
	text := "an operator has to approve this machine: compare the pairing code"
	if because != "" {
		text = refusals[because].text
	}
	return Answer{Outcome: OutcomePending, Reason: because, Text: text, Code: a.Code,
		RetryAfter: retryPending + time.Duration(d.book.waiting.Len())*retryPerPending}
}

// heardLocked takes over what a machine that waits says of itself now.
func (d *Desk) heardLocked(a *applicant, w wish) {
	d.book.remove(a)
	a.ID, a.Hostname, a.From, a.Labels, a.Seen = w.Worker, w.Hostname, w.from, maps.Clone(w.Labels), w.now
	if !w.former.IsZero() {
		a.CloneOf = w.former
	}
	d.book.add(a)
	d.dirty.pending[a] = struct{}{}
}

func rejection(a *applicant) Answer {
	answer := refusal(ReasonRejected)
	if a.Reason != "" {
		answer.Text = fmt.Sprintf("%s (%s)", answer.Text, a.Reason)
	}
	return answer
}

// count notes an answer for the figures.
func (d *Desk) count(a Answer, renewal bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	by := a.Reason
	if by == "" {
		by = string(a.Outcome)
	}
	if renewal {
		d.stats.Renewals[by]++
	} else {
		d.stats.Enrolments[by]++
	}
}

// maxClones is how many machines of one family get in as clones within
// cloneSpan. More than that is no slip of the hand any more, or a stolen key.
const (
	maxClones = 8
	cloneSpan = 24 * time.Hour
)

// clonesLocked is how many clones of a family got in within cloneSpan.
func (d *Desk) clonesLocked(family model.WorkerID, now time.Time) (n int) {
	for _, at := range d.families[family] {
		if now.Sub(at) < cloneSpan {
			n++
		}
	}
	return n
}

func (d *Desk) countCloneLocked(m *member, now time.Time) {
	if m.CloneOf.IsZero() || m.By != byClone(m.CloneOf) || now.Sub(m.At) >= cloneSpan {
		return
	}
	d.families[m.family] = append(d.families[m.family], m.At)
}
