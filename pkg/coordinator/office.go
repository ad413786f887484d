package coordinator

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/admission"
	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/api/admin"
	"github.com/cloudless-fleet/cloudless/pkg/api/reply"
	"github.com/cloudless-fleet/cloudless/pkg/audit"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/registry"
	"github.com/cloudless-fleet/cloudless/pkg/trust/token"
)

// office is the administration of the fleet. Whatever changes something is in the
// audit log before it is answered.
type office struct{ *coordinator }

var _ admin.Office = office{}

// officeError says which kind of answer an error of the desk is.
func officeError(err error) error {
	if err == nil {
		return nil
	}
	for _, known := range []struct{ err, kind error }{
		{admission.ErrUnknownToken, reply.ErrNotFound}, {admission.ErrNotPending, reply.ErrNotFound},
		{admission.ErrManyTokens, reply.ErrConflict}, {admission.ErrAmbiguous, reply.ErrConflict}, {admission.ErrFull, reply.ErrConflict},
		{admission.ErrIdentityInUse, reply.ErrConflict}, {admission.ErrRevoked, reply.ErrConflict}, {admission.ErrWho, reply.ErrInvalid},
	} {
		if errors.Is(err, known.err) {
			return reply.Because(known.kind, "%v", err)
		}
	}
	return reply.Because(reply.ErrUnavailable, "%v", err) // the disk
}

// personOf is how a member's record names who has let it in.
func personOf(by admin.Actor) string {
	for _, kind := range []string{"operator ", "user "} {
		if name, ok := strings.CutPrefix(by.Who, kind); ok {
			return name
		}
	}
	return by.Who
}

// entry begins an entry of the audit log.
func entry(by admin.Actor, what, on string, err error) audit.Entry {
	return audit.Entry{Who: by.Who, From: by.From, What: what, On: on, OK: err == nil, Detail: detail("", err)}
}

// done writes down what was done or was not, and returns what to answer. more are
// names and values; empty ones are left out.
func (o office) done(by admin.Actor, what, on string, err error, more ...string) error {
	e := entry(by, what, on, err)
	for i := 0; i+1 < len(more); i += 2 {
		if more[i+1] == "" {
			continue
		}
		if e.More == nil {
			e.More = map[string]string{}
		}
		e.More[more[i]] = more[i+1]
	}
	return errors.Join(err, o.write(e))
}

// Tokens implements admin.Office.
func (o office) Tokens(context.Context, admin.Actor) (api.TokenList, error) {
	records := o.desk.Tokens()
	list := api.TokenList{Tokens: make([]api.TokenRow, len(records))}
	for i, record := range records {
		list.Tokens[i] = tokenRow(record, o.now())
	}
	return list, nil
}

func tokenRow(r token.Record, now time.Time) api.TokenRow {
	row := api.TokenRow{ID: r.ID.String(), Created: r.Created, Expires: r.Expires, UsesLeft: r.UsesLeft, Used: len(r.Uses), Labels: r.Labels, State: "valid"}
	switch {
	case r.Revoked != nil:
		row.State = "revoked"
	case !now.Before(r.Expires):
		row.State = "expired"
	case r.UsesLeft <= 0:
		row.State = "used_up"
	}
	return row
}

// CreateToken implements admin.Office.
func (o office) CreateToken(_ context.Context, by admin.Actor, r api.TokenRequest) (api.TokenCreated, error) {
	if err := token.CheckLabels(r.Labels); err != nil {
		return api.TokenCreated{}, reply.Because(reply.ErrInvalid, "%v", err)
	}
	addresses := r.Addresses
	if len(addresses) == 0 {
		addresses = o.dialAddresses()
	}
	made, record, err := o.desk.CreateToken(admission.TokenSpec{TTL: time.Duration(r.TTL) * time.Millisecond, Uses: r.Uses, Labels: r.Labels, Addresses: addresses})
	if err != nil {
		return api.TokenCreated{}, officeError(err)
	}
	if err := o.done(by, audit.TokenCreate, record.ID.String(), nil); err != nil {
		_ = o.desk.RevokeToken(record.ID) // what nobody can account for does not serve
		return api.TokenCreated{}, err
	}
	return api.TokenCreated{Token: made.Reveal(), TokenRow: tokenRow(record, o.now())}, nil
}

// RevokeToken implements admin.Office.
func (o office) RevokeToken(_ context.Context, by admin.Actor, id token.ID) error {
	return o.done(by, audit.TokenRevoke, id.String(), officeError(o.desk.RevokeToken(id)))
}

// Pending implements admin.Office.
func (o office) Pending(context.Context, admin.Actor) (api.PendingList, error) {
	waiting := o.desk.Pending()
	list := api.PendingList{Pending: make([]api.PendingRow, len(waiting))}
	for i, p := range waiting {
		list.Pending[i] = api.PendingRow{ID: p.ID, Code: p.Code.String(), Hostname: p.Hostname, Address: p.From, Labels: p.Labels,
			Since: model.Millis(p.Since.UnixMilli()), Seen: model.Millis(p.Seen.UnixMilli()), Rejected: p.Rejected}
	}
	return list, nil
}

// Approve implements admin.Office.
func (o office) Approve(_ context.Context, by admin.Actor, a api.Approval) (api.Member, error) {
	if err := token.CheckLabels(a.Labels); err != nil {
		return api.Member{}, reply.Because(reply.ErrInvalid, "%v", err)
	}
	m, err := o.desk.Approve(a.Who, a.Labels, personOf(by))
	if err != nil {
		return api.Member{}, o.done(by, audit.Approve, a.Who, officeError(err))
	}
	return o.row(m), o.done(by, audit.Approve, m.ID.String(), nil, "hostname", m.Hostname)
}

// Reject implements admin.Office.
func (o office) Reject(_ context.Context, by admin.Actor, r api.Rejection) error {
	p, err := o.desk.Reject(r.Who, r.Reason, personOf(by))
	if err != nil {
		return o.done(by, audit.Reject, r.Who, officeError(err))
	}
	return o.done(by, audit.Reject, p.ID.String(), nil, "hostname", p.Hostname, "reason", r.Reason)
}

// Audit implements admin.Office.
func (o office) Audit(_ context.Context, _ admin.Actor, since time.Time, limit int) (api.AuditLog, error) {
	entries, err := o.diary.Read(since, limit)
	return api.AuditLog{Entries: entries}, err
}

// CheckSecret implements admin.Office.
func (o office) CheckSecret(_ context.Context, _ admin.Actor, secret string) (bool, error) {
	return o.home.CheckAdmin(secret), nil
}

// workerNamed finds a worker by its id or its instance name; one that has not
// registered yet has none, and is found by its host name.
func (o office) workerNamed(name string) (model.WorkerID, error) {
	if id, err := model.ParseWorkerID(name); err == nil {
		return id, nil
	}
	for _, w := range o.registry.Workers() {
		if strings.EqualFold(w.Instance, name) {
			return w.ID, nil
		}
	}
	var found []model.WorkerID
	for _, m := range o.desk.Members() {
		if strings.EqualFold(m.Hostname, name) {
			found = append(found, m.ID)
		}
	}
	switch len(found) {
	case 0:
		// Whoever pastes a token here must not find it in logs.
		return model.WorkerID{}, reply.Because(reply.ErrNotFound, "there is no worker %.20q", name)
	case 1:
		return found[0], nil
	}
	return model.WorkerID{}, reply.Because(reply.ErrConflict, "%d members have the host name %q: name the one by its id", len(found), name)
}

// row is a member as the API shows it.
func (o office) row(m admission.Member) api.Member {
	w, _ := o.registry.Worker(m.ID)
	return o.rowOf(m, w)
}

func (o office) rowOf(m admission.Member, w registry.Worker) api.Member {
	return api.Member{ID: m.ID, Instance: w.Instance, Hostname: m.Hostname, Key: m.Fingerprint, Labels: m.Labels, At: m.At, By: m.By,
		CloneOf: m.CloneOf, CertificateEnds: m.CertificateEnds, Revoked: o.isRevoked(m.ID, m.Fingerprint)}
}
