package coordinator

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/admission"
	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/api/member"
	"github.com/cloudless-fleet/cloudless/pkg/api/reply"
	"github.com/cloudless-fleet/cloudless/pkg/audit"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Session implements member.Fleet: it is a worker's open ear, from the moment when
// its process is let in until the connection ends.
func (m members) Session(ctx context.Context, peer member.Peer, s api.Session, send func(api.Directive) error) error {
	one := m.sessions.add(peer.Worker())
	defer m.sessions.remove(one)
	talk := &talk{members: m, peer: peer, send: send, bundle: s.Bundle, offset: m.offsetOf(s.Now)}
	attachment, err := talk.attach(s)
	if err != nil {
		return err
	}
	defer attachment.Detach()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case words := <-one.over:
			return errors.New(words)
		case <-one.poked:
			if one.stale.Swap(false) {
				talk.bundle = ""
			}
			err = talk.update()
		case news := <-attachment.Changes():
			err = talk.hear(news)
		}
		if err != nil || talk.ended {
			return err
		}
	}
}

// attach lets the desk know of the process. It can be cut already; what was
// revoked before has to be looked up.
func (t *talk) attach(s api.Session) (*admission.Attachment, error) {
	if err := t.revoked.Check(t.peer.Leaf, t.peer.Identity); err != nil {
		return nil, reply.Because(reply.ErrForbidden, "%v", err)
	}
	attachment, err := t.desk.Attach(t.process(t.peer.Worker(), s.Boot, s.Body, s.Bundle))
	if err != nil {
		return nil, notAttached(err)
	}
	return attachment, nil
}

func notAttached(err error) error {
	if errors.Is(err, admission.ErrUnknownMember) {
		return reply.Because(reply.ErrForbidden, "this worker is no member of the fleet: it has to be admitted again")
	}
	return err
}

// process names a process to the desk, with the lease that it has.
func (c *coordinator) process(id model.WorkerID, boot model.BootID, body bodyOf, bundle string) admission.Process {
	p := admission.Process{Worker: id, Boot: boot, Body: body, Bundle: bundle}
	if w, known := c.registry.Worker(id); known {
		p.Lease = w.KeepAlive
	}
	return p
}

// offsetOf is how far a clock is ahead that shows the given time now.
func (c *coordinator) offsetOf(shows model.Millis) time.Duration {
	return time.UnixMilli(int64(shows)).Sub(c.now())
}

// talk is what one session was told already. Of one goroutine.
type talk struct {
	members
	peer     member.Peer
	send     func(api.Directive) error
	offset   time.Duration // by which the worker's clock was ahead
	admitted bool
	ended    bool
	plan     *api.Plan         // last told
	bundle   string            // digest of what it trusts, as far as we know
	renewFor *x509.Certificate // the authority for which it was told to renew
}

// hear passes on what the desk has decided.
func (t *talk) hear(news admission.News) error {
	switch news.Kind {
	case admission.NewsAdmitted:
		t.admitted = true
		t.registry.KeepAlive(t.peer.Worker(), t.offset)
		return t.update()
	case admission.NewsWait:
		return t.tell(api.Directive{Wait: news.Text})
	case admission.NewsRebind:
		return t.tell(api.Directive{Rebind: true})
	case admission.NewsRekey:
		t.ended = true
		t.noteRekey(t.peer, news.Text)
		return t.tell(api.Directive{Rekey: news.Text})
	}
	return errors.New(news.Text) // replaced or forgotten: the last words
}

// update tells an admitted worker what has changed since it was told last.
func (t *talk) update() error {
	if !t.admitted {
		return nil
	}
	var d api.Directive
	if plan := t.planOf(t.peer.Worker()); t.plan == nil || !samePlan(t.plan, &plan) {
		plan.Revision = t.nextRevision()
		t.plan = &plan
		d.Plan = &plan
	}
	bundle := t.home.bundle()
	if bundle.digest != t.bundle {
		d.Bundle, t.bundle = bundle.pem, bundle.digest
	}
	if issuing := bundle.issuer; t.renewFor != issuing && !issuedBy(t.peer.Leaf, issuing) {
		d.Renew, t.renewFor = true, issuing
	}
	if d == (api.Directive{}) {
		return nil
	}
	return t.tell(d)
}

func (t *talk) tell(d api.Directive) error {
	d.Now = t.millis()
	return t.send(d)
}

// issuedBy reports whether a certificate, which TLS has verified, is of an
// authority.
func issuedBy(leaf, authority *x509.Certificate) bool {
	return len(leaf.AuthorityKeyId) > 0 && bytes.Equal(leaf.AuthorityKeyId, authority.SubjectKeyId)
}

// planOf says what a worker collects, and for whose sake.
func (c *coordinator) planOf(id model.WorkerID) api.Plan {
	const profile = "default"
	plan := api.Plan{Profile: profile, For: []string{profile + " profile"}, Collectors: c.collectors.addresses()}
	if w, known := c.registry.Worker(id); known {
		plan.Instance = w.Instance
	}
	if m, known := c.desk.Member(id); known {
		plan.Labels = m.Labels
	}
	return plan
}

func samePlan(a, b *api.Plan) bool {
	return a.Instance == b.Instance && a.Profile == b.Profile && maps.Equal(a.Labels, b.Labels) &&
		slices.Equal(a.For, b.For) && slices.Equal(a.Collectors, b.Collectors)
}

// nextRevision numbers plans. It follows the clock, so that it grows over a
// restart, and never goes back.
func (c *coordinator) nextRevision() uint64 {
	for {
		was := c.revision.Load()
		next := max(was+1, uint64(max(c.now().UnixMilli(), 0)))
		if c.revision.CompareAndSwap(was, next) {
			return next
		}
	}
}

// noteRekey writes down that a machine has a copied identity, once an hour for a
// worker: one that does not obey asks again and again.
func (c *coordinator) noteRekey(peer member.Peer, why string) {
	id := peer.Worker()
	if !c.rekeyed.first(id.String(), c.now(), false) {
		return
	}
	c.note(audit.Entry{What: audit.Rekey, Who: "worker " + id.String(), On: id.String(), From: peer.Addr.String(), OK: true, Detail: why})
}
