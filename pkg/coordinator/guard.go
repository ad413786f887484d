package coordinator

import (
	"crypto/ed25519"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api/reply"
	"github.com/cloudless-fleet/cloudless/pkg/daemon/logkey"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

// guard stands before every handler: it finds out who asks, looks at him again
// with every request, however old the connection is, and knows who may ask for
// what. The handlers behind it judge once more; neither relies on the other.
type guard struct {
	refuse trust.Refusal
	// issued says whether a certificate is of one of the present authorities.
	issued func(leaf *x509.Certificate) bool
	// keyOf is the key that a worker was admitted with; nil: it is no member.
	keyOf  func(model.WorkerID) ed25519.PublicKey
	socket socketRule
	log    *slog.Logger
	now    func() time.Time

	refused guardCounts
}

// guardCounts are requests that were refused, by reason.
type guardCounts struct {
	anonymous, revoked, expired, stranger, forbidden, busy atomic.Uint64
}

// tcp guards what comes by the TCP port.
func (g *guard) tcp(next http.Handler) http.Handler { return behind(g.passTCP, next) }

// unix guards what comes by the unix socket.
func (g *guard) unix(next http.Handler) http.Handler { return behind(g.passUnix, next) }

// behind serves what pass lets through. All that pass needs of the stack is free
// again when next runs, which sessions do for days.
func behind(pass func(http.ResponseWriter, *http.Request) *http.Request, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r = pass(w, r); r != nil {
			next.ServeHTTP(w, r)
		}
	})
}

// passTCP returns the request with its caller in its context, or nil when it has
// answered.
func (g *guard) passTCP(w http.ResponseWriter, r *http.Request) *http.Request {
	who, err := callerOfTLS(r)
	if err != nil {
		g.turnAway(w, r, who, &g.refused.anonymous, reply.Forbidden, err.Error())
		return nil
	}
	if who.leaf != nil && !g.welcome(w, r, who) {
		return nil
	}
	return g.pass(w, r, who)
}

// welcome looks at a certificate again: a connection may be older than its
// revocation, than its end, and than the worker's record.
func (g *guard) welcome(w http.ResponseWriter, r *http.Request, who *caller) bool {
	if g.now().After(who.leaf.NotAfter) {
		g.turnAway(w, r, who, &g.refused.expired, reply.Forbidden, fmt.Sprintf("%s: %v: connect again with a new one", who.identity, trust.ErrExpired))
		return false
	}
	if !g.issued(who.leaf) {
		g.turnAway(w, r, who, &g.refused.expired, reply.Forbidden, fmt.Sprintf("%s: its certificate is of an authority that the fleet has given up", who.identity))
		return false
	}
	if err := g.refuse(who.leaf, who.identity); err != nil {
		g.turnAway(w, r, who, &g.refused.revoked, reply.Forbidden, err.Error())
		return false
	}
	if id := who.worker(); !id.IsZero() && workerPath(r.URL.Path) && !holds(who.leaf, g.keyOf(id)) {
		g.turnAway(w, r, who, &g.refused.stranger, reply.Forbidden, fmt.Sprintf("worker %s is no member with this key: it has to be admitted again", id))
		return false
	}
	c, ours := connectionOf(r.Context())
	if ours && !c.admit(who.leaf, who.identity) {
		g.turnAway(w, r, who, &g.refused.busy, reply.Busy, "there are too many connections already")
		return false
	}
	return true
}

func holds(leaf *x509.Certificate, key ed25519.PublicKey) bool {
	return key != nil && key.Equal(leaf.PublicKey)
}

// passUnix is passTCP for the unix socket.
func (g *guard) passUnix(w http.ResponseWriter, r *http.Request) *http.Request {
	who, ok := g.socket.callerOf(r)
	if !ok {
		text := fmt.Sprintf("user %s may not use this socket: root, the user of coordinatord and members of the group %q may", who.name, g.socket.rule.AdminGroup)
		g.turnAway(w, r, who, &g.refused.forbidden, reply.Forbidden, text)
		return nil
	}
	if c, ours := connectionOf(r.Context()); ours && !c.admit(nil, trust.Identity{Role: who.role, Name: who.name}) {
		g.turnAway(w, r, who, &g.refused.busy, reply.Busy, "there are too many connections already")
		return nil
	}
	return g.pass(w, r, who)
}

// pass lets a request through to those paths that the caller may ask for.
func (g *guard) pass(w http.ResponseWriter, r *http.Request, who *caller) *http.Request {
	switch {
	case who.may(r.URL.Path):
		if who.role == "" {
			// It has what it came for. Others behind its address need the room.
			w.Header().Set("Connection", "close")
		}
		who.force = r.URL.RawQuery != "" && r.URL.Query().Get("force") == "1"
		return r.WithContext(withCaller(r.Context(), who))
	case who.role == "":
		g.turnAway(w, r, who, &g.refused.anonymous, reply.Unauthorized, "this needs a certificate of the fleet")
	default:
		g.turnAway(w, r, who, &g.refused.forbidden, reply.Forbidden, fmt.Sprintf("%s may not %s %.100q", who.name, r.Method, r.URL.Path))
	}
	return nil
}

func (g *guard) turnAway(w http.ResponseWriter, r *http.Request, who *caller, count *atomic.Uint64, kind reply.Kind, text string) {
	count.Add(1)
	g.log.Warn("request refused", logkey.Path, fmt.Sprintf("%.100q", r.URL.Path), logkey.Addr, r.RemoteAddr, "caller", who.name, logkey.Reason, text)
	w.Header().Set("Connection", "close") // HTTP/2 ends the connection as well
	reply.Error(w, kind, text)
}
