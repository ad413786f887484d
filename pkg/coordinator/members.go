package coordinator

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/admission"
	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/api/member"
	"github.com/cloudless-fleet/cloudless/pkg/api/reply"
	"github.com/cloudless-fleet/cloudless/pkg/audit"
	"github.com/cloudless-fleet/cloudless/pkg/crm"
	"github.com/cloudless-fleet/cloudless/pkg/daemon/logkey"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/enrol"
)

// bodyOf is a machine's body.
type bodyOf = trust.Body

// members puts the desk behind the control channel.
type members struct{ *coordinator }

var _ member.Fleet = members{}

// Enrol implements member.Fleet.
func (m members) Enrol(_ context.Context, r *enrol.Request, peer member.Peer) api.Enrolment {
	answer := m.desk.Enrol(r, peer.Addr, peer.Worker())
	return m.answered(answer, applicant{id: r.Worker, hostname: r.Hostname, addr: peer.Addr, former: peer.Worker()}, audit.Enrol)
}

// Renewal implements member.Fleet.
func (m members) Renewal(_ context.Context, r *enrol.Renewal, peer member.Peer) api.Enrolment {
	answer := m.desk.Renewal(r, peer.Addr)
	return m.answered(answer, applicant{id: r.Worker, hostname: r.Hostname, addr: peer.Addr}, "")
}

// Renew implements member.Fleet.
func (m members) Renew(_ context.Context, peer member.Peer) api.Enrolment {
	if id := peer.Worker(); !id.IsZero() {
		return m.answered(m.desk.Renew(id, peer.Leaf), applicant{id: id, addr: peer.Addr}, "")
	}
	if peer.Identity.Role != trust.RoleCollector {
		return refused("policy", fmt.Sprintf("the certificate of a %s is made by hand", peer.Identity.Role))
	}
	enrolment, err := m.issue(trust.Request{Role: peer.Identity.Role, Name: peer.Identity.Name, Hosts: trust.CertificateHosts(peer.Leaf)}, peer.Leaf.PublicKey)
	m.note(audit.Entry{What: audit.Issue, Who: string(peer.Identity.Role) + " " + peer.Identity.Name, On: subjectOf(peer.Identity), From: peer.Addr.String(),
		OK: err == nil, Detail: detail("renewed", err)})
	if err != nil {
		m.log.Error("certificate not renewed", "identity", peer.Identity, logkey.Err, err)
		return refused(admission.ReasonUnavailable, "the coordinator cannot sign at the moment")
	}
	return enrolment
}

// issue signs a certificate for a server or an operator.
func (c *coordinator) issue(request trust.Request, public any) (api.Enrolment, error) {
	if request.TTL == 0 {
		request.TTL = c.enrol.CertificateTTL
		if request.Role == trust.RoleOperator {
			request.TTL = trust.DefaultTTL // nobody renews it
		}
	}
	issued, err := c.home.Sign(request, public, rand.Reader, c.now())
	if err != nil {
		return api.Enrolment{}, err
	}
	return api.Enrolment{Outcome: api.Admitted, Fleet: c.home.Fleet(), Certificate: string(issued.Cert), Bundle: c.home.bundle().pem}, nil
}

func refused(reason, text string) api.Enrolment {
	return api.Enrolment{Outcome: api.Refused, Reason: reason, Text: text}
}

// applicant is who asked to be let in, for the log.
type applicant struct {
	id       model.WorkerID
	hostname string
	addr     netip.Addr
	former   model.WorkerID
}

// answered writes down what the desk has decided, and then says it. what is the
// audit log's word when somebody was let in who was not before, or is let in
// again; empty: only the desk's New counts.
func (m members) answered(a admission.Answer, who applicant, what string) api.Enrolment {
	if err := m.noteAnswer(a, who, what); err != nil {
		// Nobody gets in unseen. Asking again is safe: he is a member by then.
		answer := refused(admission.ReasonUnavailable, "the coordinator cannot write its audit log")
		answer.RetryAfter = (10 * time.Second).Milliseconds()
		return answer
	}
	out := api.Enrolment{Outcome: api.Outcome(a.Outcome), Reason: a.Reason, Text: a.Text, Fleet: m.home.Fleet(),
		Certificate: string(a.Certificate), Bundle: string(a.Bundle), RetryAfter: a.RetryAfter.Milliseconds()}
	if a.Outcome == admission.OutcomePending {
		out.Code = a.Code.String()
	}
	return out
}

func (m members) noteAnswer(a admission.Answer, who applicant, what string) error {
	e := audit.Entry{On: who.id.String(), From: who.addr.String(), Detail: a.Reason, More: map[string]string{}}
	if who.hostname != "" {
		e.More["hostname"] = who.hostname
	}
	if !who.former.IsZero() {
		e.More["clone_of"] = who.former.String()
	}
	e.Who = "worker " + who.id.String()
	switch a.Outcome {
	case admission.OutcomeAdmitted:
		if !a.New || what == "" {
			m.log.Debug("certificate issued", logkey.Worker, who.id, logkey.Addr, who.addr)
			return nil
		}
		e.What, e.OK, e.Who = what, true, a.Member.By
	case admission.OutcomePending:
		if !m.waiting.first(a.Code.String(), m.now(), true) {
			return nil
		}
		e.What, e.OK = audit.EnrolPending, true
	default:
		e.What = audit.EnrolRefused
		m.log.Warn("machine refused", logkey.Worker, who.id, "hostname", who.hostname, logkey.Addr, who.addr, logkey.Reason, a.Reason)
		m.note(e)
		return nil
	}
	return m.write(e)
}

// Register implements member.Fleet.
func (m members) Register(_ context.Context, peer member.Peer, ack *crm.ProbeAck) (*crm.RegisterAck, error) {
	if ack.Ext == nil || ack.Ext.WorkerID != peer.Worker() {
		return nil, reply.Because(reply.ErrForbidden, "%s may register itself only", peer.Identity)
	}
	answer := m.registerAck(ack, peer.Addr, false)
	answer.ID, answer.Dialect = ack.ID, ack.Dialect
	return answer, nil
}

// KeepAlive implements member.Fleet. Only the process that has the session renews
// the lease: a copy of the identity does not keep the original alive.
func (m members) KeepAlive(_ context.Context, peer member.Peer, k api.KeepAlive) (api.KeepAliveResult, error) {
	id := peer.Worker()
	admitted, err := m.desk.KeepAlive(m.process(id, k.Boot, k.Body, k.Bundle))
	if err != nil {
		return api.KeepAliveResult{}, notAttached(err)
	}
	if admitted && k.Bundle != m.home.bundle().digest {
		m.sessions.retell(id)
	}
	result := api.KeepAliveResult{Now: m.millis(), Session: admitted}
	if admitted {
		result.Renewed = m.registry.KeepAlive(id, m.offsetOf(k.Now))
	}
	return result, nil
}

// Leave implements member.Fleet. The goodbye of a process that has not the session
// says nothing about the worker.
func (m members) Leave(_ context.Context, peer member.Peer, l api.Leave) error {
	id := peer.Worker()
	has := m.desk.Admitted(id) == l.Boot
	m.desk.Leave(id, l.Boot)
	if has {
		m.registry.Leave(id)
	}
	return nil
}

func (c *coordinator) millis() model.Millis { return model.Millis(c.now().UnixMilli()) }

// subjectOf spells an identity as the revocation list does.
func subjectOf(id trust.Identity) string { return string(id.Role) + "/" + id.Name }

func detail(good string, err error) string {
	if err != nil {
		return err.Error()
	}
	return good
}

// sortedIDs are the ids of members, for answers that are the same each time.
func sortedIDs(all []admission.Member) []model.WorkerID {
	ids := make([]model.WorkerID, len(all))
	for i, one := range all {
		ids[i] = one.ID
	}
	slices.SortFunc(ids, func(a, b model.WorkerID) int { return slices.Compare(a[:], b[:]) })
	return ids
}
