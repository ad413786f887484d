package admission

import (
	"crypto/x509"
	"net/netip"

	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/enrol"
)

// Renewal gives a member whose certificate ran out another one, for the key that
// it was let in with, which it proves to have. A revoked one gets none.
func (d *Desk) Renewal(r *enrol.Renewal, from netip.Addr) Answer {
	answer := d.renewal(r, from.Unmap())
	d.count(answer, true)
	return answer
}

func (d *Desk) renewal(r *enrol.Renewal, from netip.Addr) Answer {
	now := d.now()
	if !d.allow(from, now) {
		return refusal(ReasonLimited)
	}
	var known enrol.Known
	d.mu.Lock()
	m := d.members[r.Worker]
	d.mu.Unlock()
	if m != nil {
		known = enrol.Known{Key: m.Fingerprint, Revoked: d.isRevoked(r.Worker, m.Fingerprint)}
	}
	verdict := r.Check(d.authority.Bundle().Fingerprints(), known, now)
	answer := refusal(verdict.Reason.String())
	if verdict.OK() {
		d.mu.Lock()
		d.renameLocked(m, r.Hostname)
		d.mu.Unlock()
		answer = d.certify(m, now)
	}
	answer.Offset = verdict.Offset
	return answer
}

// Renew gives a member another certificate for the key of leaf, by which it has
// proved itself on its connection: it must be the one that it was let in with.
func (d *Desk) Renew(id model.WorkerID, leaf *x509.Certificate) Answer {
	answer := d.renew(id, leaf)
	d.count(answer, true)
	return answer
}

func (d *Desk) renew(id model.WorkerID, leaf *x509.Certificate) Answer {
	key := trust.CertificateFingerprint(leaf)
	d.mu.Lock()
	m := d.members[id]
	d.mu.Unlock()
	switch {
	case m == nil:
		return refusal(enrol.UnknownWorker.String())
	case m.Fingerprint != key:
		return refusal(enrol.WrongKey.String())
	case d.isRevoked(id, key):
		return refusal(enrol.Revoked.String())
	}
	return d.certify(m, d.now())
}
