package coordinator

import (
	"context"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/api/admin"
	"github.com/cloudless-fleet/cloudless/pkg/api/reply"
	"github.com/cloudless-fleet/cloudless/pkg/audit"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/revocation"
)

// Members implements admin.Office.
func (o office) Members(context.Context, admin.Actor) (api.MemberList, error) {
	all := o.desk.Members()
	list := api.MemberList{Members: make([]api.Member, len(all))}
	for i, m := range all {
		list.Members[i] = o.row(m)
	}
	return list, nil
}

// Revoke implements admin.Office. Whoever watches the list cuts the connections.
func (o office) Revoke(_ context.Context, by admin.Actor, r api.Revocation) (api.Revoked, error) {
	id, err := o.workerNamed(r.Worker)
	if err != nil {
		return api.Revoked{}, err
	}
	_, isMember := o.desk.Member(id)
	_, isKnown := o.registry.Worker(id)
	clones := sortedIDs(o.desk.Clones(id))
	if !isMember && !isKnown && len(clones) == 0 {
		return api.Revoked{}, reply.Because(reply.ErrNotFound, "worker %s was never admitted", id)
	}
	out := []model.WorkerID{id}
	if r.Clones {
		out = append(out, clones...)
	}
	var answer api.Revoked
	for _, one := range out {
		if err := o.done(by, audit.Revoke, one.String(), o.revokeOne(one, r.Reason), "reason", r.Reason); err != nil {
			return answer, err
		}
		answer.Revoked = append(answer.Revoked, one)
	}
	for _, one := range clones {
		if !o.isRevoked(one, o.fingerprintOf(one)) {
			answer.Clones = append(answer.Clones, one)
		}
	}
	return answer, nil
}

// revokeOne shuts out a worker and its key, and ends its series.
func (o office) revokeOne(id model.WorkerID, reason string) error {
	if reason == "" {
		reason = "revoked by an operator"
	}
	if _, err := o.revoked.Add(reason, o.now(), time.Time{}, o.subjects(id)...); err != nil {
		return reply.Because(reply.ErrUnavailable, "%v", err)
	}
	o.registry.Leave(id)
	return nil
}

// subjects are a worker's on the revocation list.
func (o office) subjects(id model.WorkerID) []revocation.Subject {
	subjects := []revocation.Subject{revocation.Worker(id)}
	if key := o.fingerprintOf(id); !key.IsZero() {
		subjects = append(subjects, revocation.Key(key))
	}
	return subjects
}

// Readmit implements admin.Office.
func (o office) Readmit(_ context.Context, by admin.Actor, w api.WorkerRef) error {
	id, err := o.workerNamed(w.Worker)
	if err != nil {
		return err
	}
	removed, err := o.revoked.Remove(o.subjects(id)...)
	switch {
	case err != nil:
		return o.done(by, audit.Readmit, id.String(), reply.Because(reply.ErrUnavailable, "%v", err))
	case !removed:
		return reply.Because(reply.ErrConflict, "worker %s is not revoked", id)
	}
	return o.done(by, audit.Readmit, id.String(), nil)
}

// Forget implements admin.Office. Who might still be at work is not forgotten: it
// would come back as a stranger.
func (o office) Forget(_ context.Context, by admin.Actor, w api.WorkerRef) error {
	id, err := o.workerNamed(w.Worker)
	if err != nil {
		return err
	}
	known, isKnown := o.registry.Worker(id)
	m, _ := o.desk.Member(id)
	lives := isKnown && (known.State == model.Registered || known.State == model.Suspect) || m.Attached
	if lives && !o.isRevoked(id, m.Fingerprint) {
		return reply.Because(reply.ErrConflict, "worker %s is at work: only those are forgotten that have expired, left or were revoked", id)
	}
	// What it holds is worth nothing when its certificate has ended: the list need
	// not remember it for longer.
	if _, err := o.revoked.EndAt(m.CertificateEnds, o.subjects(id)...); err != nil { // zero: never
		return o.done(by, audit.Forget, id.String(), reply.Because(reply.ErrUnavailable, "%v", err))
	}
	wasMember, err := o.desk.Forget(id)
	if !o.registry.Forget(id) && !wasMember {
		return reply.Because(reply.ErrNotFound, "worker %s is not known", id)
	}
	return o.done(by, audit.Forget, id.String(), officeError(err), "instance", known.Instance)
}

// fingerprintOf is that of the key that a worker was admitted with; zero when it is
// no member.
func (o office) fingerprintOf(id model.WorkerID) trust.Fingerprint {
	m, _ := o.desk.Member(id)
	return m.Fingerprint
}

// Revoked implements admin.Office.
func (o office) Revoked(context.Context, admin.Actor) (api.RevokedList, error) {
	entries, _, _ := o.revoked.Since(0)
	list := api.RevokedList{Revoked: make([]api.RevokedRow, len(entries))}
	for i, e := range entries {
		list.Revoked[i] = api.RevokedRow{Subject: e.Subject.String(), Reason: e.Reason, At: e.At}
	}
	return list, nil
}
