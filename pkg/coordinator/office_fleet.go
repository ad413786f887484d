package coordinator

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/api/admin"
	"github.com/cloudless-fleet/cloudless/pkg/api/reply"
	"github.com/cloudless-fleet/cloudless/pkg/audit"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/authority"
	"github.com/cloudless-fleet/cloudless/pkg/trust/revocation"
)

// Status implements admin.Office.
func (o office) Status(context.Context, admin.Actor) (api.FleetStatus, error) {
	bundle := o.home.Bundle()
	ends := map[trust.Fingerprint]time.Time{}
	for _, cert := range bundle.Authorities {
		ends[trust.CertificateFingerprint(cert)] = cert.NotAfter
	}
	web := sha256.Sum256(o.home.Web().Raw)
	status := api.FleetStatus{Fleet: o.home.Fleet(), Created: o.home.Created(), Bundle: string(bundle.PEM()),
		Pending: o.desk.Stats().Pending, Revoked: o.revoked.Len(),
		Web: string(o.home.WebPEM()), WebFingerprint: hex.EncodeToString(web[:]), AdminSecretFile: authority.AdminSecretFile(o.home.dir)}
	for _, g := range o.home.Generations() {
		status.Authorities = append(status.Authorities, api.AuthorityStatus{Fingerprint: g.Fingerprint, Phase: string(g.Phase),
			Since: g.Since, NotAfter: ends[g.Fingerprint], DropAfter: g.DropAfter})
	}
	digest := o.home.bundle().digest
	for _, m := range o.desk.Members() {
		status.Members++
		if m.Bundle == digest {
			status.Updated++
		}
	}
	return status, nil
}

// Authority implements admin.Office.
func (o office) Authority(ctx context.Context, by admin.Actor, step admin.Step) (api.FleetStatus, error) {
	o.stepping.Lock()
	defer o.stepping.Unlock()
	err := o.take(step, callerIn(ctx).force)
	if errors.Is(err, authority.ErrPhase) {
		err = reply.Because(reply.ErrConflict, "%v", err)
	}
	if err == nil {
		// The step is taken; what hangs on it follows at the latest with the next
		// look.
		o.home.note("follow the step of the authority", o.home.stepped())
		o.sessions.pokeAll()
		if step == admin.Drop {
			o.connections.cutIf(func(leaf *x509.Certificate, _ trust.Identity) bool { return leaf != nil && !o.home.issued(leaf) })
		}
	}
	if err := o.done(by, "authority."+string(step), o.home.Fingerprint().String(), err); err != nil {
		return api.FleetStatus{}, err
	}
	return o.Status(ctx, by)
}

func (o office) take(step admin.Step, force bool) error {
	now := o.now()
	switch step {
	case admin.Prepare:
		return o.home.Prepare(rand.Reader, now)
	case admin.Switch:
		if err := o.readyToSwitch(); err != nil && !force {
			return err
		}
		return o.home.Switch(o.enrol.CertificateTTL, now)
	case admin.Drop:
		return o.home.Drop(now)
	case admin.Abandon:
		return o.home.Abandon(now)
	}
	return reply.Because(reply.ErrInvalid, "there is no step %q", step)
}

// readyToSwitch lists those who are at work and have not said yet that they trust
// the next authority: they would lose contact.
func (o office) readyToSwitch() error {
	digest := o.home.bundle().digest
	var behind []string
	for _, name := range o.collectors.behind(digest) {
		behind = append(behind, string(trust.RoleCollector)+" "+name)
	}
	for _, m := range o.desk.Members() {
		w, known := o.registry.Worker(m.ID)
		if known && (w.State == model.Registered || w.State == model.Suspect) && m.Bundle != digest && !o.isRevoked(m.ID, m.Fingerprint) {
			behind = append(behind, string(trust.RoleWorker)+" "+w.Instance)
		}
	}
	if len(behind) == 0 {
		return nil
	}
	const most = 5
	names, more := behind, ""
	if len(names) > most {
		more = fmt.Sprintf(" and %d more", len(names)-most)
		names = names[:most]
	}
	return reply.Because(reply.ErrConflict, "not all have said yet that they trust the next authority: %s%s; wait a minute, or force it and admit them anew",
		strings.Join(names, ", "), more)
}

// Issue implements admin.Office.
func (o office) Issue(ctx context.Context, by admin.Actor, r api.IssueRequest) (api.Enrolment, error) {
	subject := revocation.Identity(r.Role, r.Name)
	enrolment, err := o.issueFor(callerIn(ctx), by, r, subject)
	if err := o.done(by, audit.Issue, subject.String(), err, "hosts", strings.Join(r.Hosts, " ")); err != nil {
		return api.Enrolment{}, err
	}
	return enrolment, nil
}

func (o office) issueFor(who caller, by admin.Actor, r api.IssueRequest, subject revocation.Subject) (api.Enrolment, error) {
	if by.Collector && (r.Role != trust.RoleCollector || who.leaf != nil && r.Name != who.identity.Name) {
		return api.Enrolment{}, reply.Because(reply.ErrForbidden, "a collectord gets a certificate in its own name only")
	}
	if r.Role != trust.RoleCollector && r.Role != trust.RoleOperator {
		return api.Enrolment{}, reply.Because(reply.ErrInvalid, "role %q: want collectord or operator", r.Role)
	}
	public, err := x509.ParsePKIXPublicKey(r.PublicKey)
	if err != nil {
		return api.Enrolment{}, reply.Because(reply.ErrInvalid, "public key: want PKIX in DER")
	}
	key, err := trust.FingerprintOf(public)
	if err != nil {
		return api.Enrolment{}, reply.Because(reply.ErrInvalid, "%v", err)
	}
	if _, out := o.revoked.Find(subject, revocation.Key(key)); out {
		return api.Enrolment{}, reply.Because(reply.ErrForbidden, "%s is revoked", subject)
	}
	ttl := time.Duration(r.TTL) * time.Millisecond
	if by.Collector {
		ttl = 0 // as short as the fleet's are
	}
	enrolment, err := o.issue(trust.Request{Role: r.Role, Name: r.Name, Hosts: r.Hosts, TTL: ttl}, public)
	if err != nil {
		return api.Enrolment{}, reply.Because(reply.ErrInvalid, "%v", err)
	}
	return enrolment, nil
}

// ResetSecret implements admin.Office.
func (o office) ResetSecret(_ context.Context, by admin.Actor) error {
	return o.done(by, audit.SecretReset, "", o.home.ResetAdmin(rand.Reader))
}

// Web implements admin.Office.
func (o office) Web(_ context.Context, by admin.Actor, r api.WebRequest) (api.WebCertificate, error) {
	public, err := x509.ParsePKIXPublicKey(r.PublicKey)
	key, ok := public.(*ecdsa.PublicKey)
	if err != nil || !ok {
		return api.WebCertificate{}, reply.Because(reply.ErrInvalid, "public key: want ECDSA P-256, PKIX in DER")
	}
	cert, ends, err := o.home.IssueWeb(key, r.Hosts, rand.Reader, o.now())
	if err != nil {
		err = reply.Because(reply.ErrInvalid, "%v", err)
	}
	if err := o.done(by, audit.Issue, "web", err, "hosts", strings.Join(r.Hosts, " ")); err != nil {
		return api.WebCertificate{}, err
	}
	return api.WebCertificate{Certificate: string(cert), Authority: string(o.home.WebPEM()), NotAfter: ends}, nil
}
