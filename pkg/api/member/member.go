// Package member serves the control channel to workers and to machines that
// want to become one: enrolment, registration, keep-alive, session and goodbye.
//
// It promises that who is behind a request is who its certificate says, and that
// nobody speaks for somebody else: a worker's id is taken from its certificate,
// never from a body. Enrolment and renewal after expiry need no certificate;
// everything else does. Nothing here is served without TLS.
//
// Bodies are bounded and refused with a reason; sessions are bounded in number,
// all together and for each identity.
package member

import (
	"context"
	"crypto/x509"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/crm"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/enrol"
)

// Peer is who asks.
type Peer struct {
	// HasCertificate says that he has shown a certificate of the fleet; without
	// one Identity and Leaf are zero.
	HasCertificate bool
	Identity       trust.Identity
	Leaf           *x509.Certificate // do not modify
	Addr           netip.Addr        // where he calls from
}

// Worker is the worker that the peer's certificate speaks for; zero for anybody
// else.
func (p Peer) Worker() model.WorkerID {
	id, _ := p.Identity.WorkerID()
	return id
}

// Fleet is what the coordinator daemon puts behind the channel. All methods may
// be called concurrently. Errors are answered by their kind (reply.KindOf).
type Fleet interface {
	// Enrol judges a wish to be let in. The peer has a certificate when a worker
	// has made itself a new identity and asks with its former one.
	Enrol(ctx context.Context, r *enrol.Request, peer Peer) api.Enrolment
	// Renewal judges the wish of a worker whose certificate ran out.
	Renewal(ctx context.Context, r *enrol.Renewal, peer Peer) api.Enrolment
	// Renew gives any member a new certificate for its present key.
	Renew(ctx context.Context, peer Peer) api.Enrolment
	// Register takes the ProbeAck of the worker that the peer is.
	Register(ctx context.Context, peer Peer, ack *crm.ProbeAck) (*crm.RegisterAck, error)
	// KeepAlive renews the lease of the worker that the peer is.
	KeepAlive(ctx context.Context, peer Peer, k api.KeepAlive) (api.KeepAliveResult, error)
	// Session serves one session until ctx ends, and then returns: the cause of
	// ctx tells why. send writes one directive, flushed; it may block for as long
	// as a slow connection does, its error means that the session is over, and it
	// is not called after Session has returned. An error before the first
	// directive is answered as a refusal; one after it becomes the last line's
	// End. nil ends the session without a word.
	Session(ctx context.Context, peer Peer, s api.Session, send func(api.Directive) error) error
	// Leave is the goodbye of the worker that the peer is.
	Leave(ctx context.Context, peer Peer, l api.Leave) error
}

// Config bounds the channel.
type Config struct {
	// MaxSessions is how many sessions may be open at once. More: a larger
	// fleet. Fewer: less memory, about 80 KiB each, connection included.
	MaxSessions int
}

// Deps are what the handlers need.
type Deps struct {
	Logger *slog.Logger
	Now    func() time.Time
	// Refuse is asked about the certificate of every request, on connections of
	// any age; nil refuses nobody. Sessions are cut by Fleet.
	Refuse trust.Refusal
	// Peer finds out who asks; nil is PeerOf.
	Peer func(*http.Request) (Peer, error)
}

// Handlers serve the channel.
type Handlers struct {
	fleet    Fleet
	deps     Deps
	sessions sessions
}

// New returns the handlers; config must be valid.
func New(fleet Fleet, config Config, deps Deps) *Handlers {
	if deps.Peer == nil {
		deps.Peer = PeerOf
	}
	return &Handlers{fleet: fleet, deps: deps, sessions: sessions{most: config.MaxSessions, of: map[trust.Identity]int{}}}
}

// Sessions is how many are open.
func (h *Handlers) Sessions() int { return h.sessions.open() }

// Register adds the routes to mux, each wrapped by wrap under its own name.
func (h *Handlers) Register(mux *http.ServeMux, wrap func(name string, next http.Handler) http.Handler) {
	route := func(path, name string, who who, serve func(http.ResponseWriter, *http.Request, Peer)) {
		mux.Handle("POST "+path, wrap(name, h.known(who, serve)))
	}
	route(api.PathEnrol, "member_enrol", anybody, h.enrol)
	route(api.PathRenewal, "member_renewal", anybody, h.renewal)
	route(api.PathRenew, "member_renew", members, h.renew)
	route(api.PathRegister, "member_register", workers, h.register)
	route(api.PathKeepAlive, "member_keepalive", workers, h.keepAlive)
	route(api.PathSession, "member_session", workers, h.session)
	route(api.PathLeave, "member_leave", workers, h.leave)
}
