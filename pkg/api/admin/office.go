// Package admin serves the administration of a fleet: join tokens, machines that
// wait for approval, members, the revocation list, the fleet's authorities,
// certificates, and the audit log.
//
// coordinatord serves it under /v1/admin, on its unix socket and to certificates
// of operators. collectord serves the same under /api/admin to administrators who
// have logged in, and passes it on (Forward) in their name.
//
// The handlers parse and check, ask the Office, and answer. Each route asks the
// Authorize function first; without one everybody is refused.
package admin

import (
	"context"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/api/reply"
	"github.com/cloudless-fleet/cloudless/pkg/trust/token"
)

// What an Office wraps to say which kind of answer its error is: 404, 409, 400,
// 403. Anything else is answered as a fault of the daemon. See reply.Because for
// an error that reads well.
var (
	ErrNotFound  = reply.ErrNotFound
	ErrConflict  = reply.ErrConflict
	ErrInvalid   = reply.ErrInvalid
	ErrForbidden = reply.ErrForbidden
)

// Step is a step of the roll-over of the fleet's authority.
type Step string

// The steps.
const (
	Prepare Step = "prepare"
	Switch  Step = "switch"
	Drop    Step = "drop"
	Abandon Step = "abandon"
)

// Office is what a daemon puts behind the handlers. All methods may be called
// concurrently. What they get is checked for form: lengths, characters, numbers
// that make sense; not whether it exists. They write the audit log.
type Office interface {
	Status(ctx context.Context, by Actor) (api.FleetStatus, error)

	Tokens(ctx context.Context, by Actor) (api.TokenList, error)
	CreateToken(ctx context.Context, by Actor, r api.TokenRequest) (api.TokenCreated, error)
	RevokeToken(ctx context.Context, by Actor, id token.ID) error

	Pending(ctx context.Context, by Actor) (api.PendingList, error)
	Approve(ctx context.Context, by Actor, a api.Approval) (api.Member, error)
	Reject(ctx context.Context, by Actor, r api.Rejection) error

	Members(ctx context.Context, by Actor) (api.MemberList, error)
	Revoke(ctx context.Context, by Actor, r api.Revocation) (api.Revoked, error)
	Readmit(ctx context.Context, by Actor, w api.WorkerRef) error
	Forget(ctx context.Context, by Actor, w api.WorkerRef) error
	Revoked(ctx context.Context, by Actor) (api.RevokedList, error)

	// Audit returns the newest limit entries since a time (zero: all), oldest
	// first.
	Audit(ctx context.Context, by Actor, since time.Time, limit int) (api.AuditLog, error)

	Authority(ctx context.Context, by Actor, step Step) (api.FleetStatus, error)

	// Issue is asked by administrators, and by a collectord for itself
	// (Actor.Collector), then for the role collectord only.
	Issue(ctx context.Context, by Actor, r api.IssueRequest) (api.Enrolment, error)
	// CheckSecret tells whether secret is the admin secret.
	CheckSecret(ctx context.Context, by Actor, secret string) (bool, error)
	// ResetSecret is asked over the unix socket only.
	ResetSecret(ctx context.Context, by Actor) error
	// Web is asked by a collectord for itself, and over the unix socket.
	Web(ctx context.Context, by Actor, r api.WebRequest) (api.WebCertificate, error)
}

// Actor is who asks, in the words of the audit log.
type Actor struct {
	// Who: "root", "operator NAME", "user alice" ...
	Who string
	// From is where he asks from: an address, or "unix socket".
	From string
	// Local says that he is a process of this host, by the unix socket.
	Local bool
	// Collector says that it is a collectord that asks for itself, and no
	// administrator: it gets what its own routes are for.
	Collector bool
}
