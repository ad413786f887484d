package admission

import (
	"crypto/ed25519"
	"strings"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

// Member is a worker that was let in. What its fields refer to is shared and must
// not be changed.
type Member struct {
	ID          model.WorkerID
	Key         ed25519.PublicKey
	Fingerprint trust.Fingerprint // of Key
	Hostname    string            // as it last said
	Labels      map[string]string // the fleet's own for it
	At          time.Time         // when it was let in
	// By is who has let it in: "token ID", "operator NAME", "policy N" (counted
	// from 1) or "clone ID".
	By string
	// CloneOf is the worker whose copied state folder it came with; zero: none.
	CloneOf model.WorkerID
	// Body is the machine that the identity is bound to; zero before its first
	// session.
	Body trust.Body
	// Boot is the process that has the session, or had it last; zero before its
	// first session.
	Boot model.BootID
	// Attached says that the process's session is open now.
	Attached bool
	// CertificateEnds is when the last certificate that it got ends.
	CertificateEnds time.Time
	// Bundle is the digest of the authorities that it trusts, as it last said;
	// empty before its first session.
	Bundle string
}

// member is a Member with what is only ours. Guarded by Desk.mu, but for ID, Key
// and Fingerprint, which never change.
type member struct {
	Member                 // Body, Boot and Attached are those of session: see view
	family  model.WorkerID // the first of the chain of clones that it belongs to
	session session
	seats   map[seat]*Attachment // open connections; nil when there is none
	onDisk  bool                 // as a member, in whatever state
}

func (m *member) view() Member {
	v := m.Member
	v.Body, v.Boot, v.Attached = m.session.bound, m.session.boot, m.session.link == linkOpen
	return v
}

// approved reports whether an operator has let it in.
func (m *member) approved() bool { return strings.HasPrefix(m.By, operatorPrefix) }
