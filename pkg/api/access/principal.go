package access

import (
	"errors"
	"net/http"
	"strings"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/api/reply"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/local"
)

// How a principal has shown who he is: api.Principal.By.
const (
	BySession     = "session"
	ByToken       = "token"
	ByCertificate = "certificate"
	BySocket      = "socket"
)

// Bounds of what is looked up, in bytes.
const (
	maxToken   = 512
	maxSession = 256
)

// visitor finds out who asks.
func (g *Guard) visitor(r *http.Request) (visitor, error) {
	if caller, ok := local.CallerOf(r.Context()); ok {
		return g.bySocket(caller)
	}
	if r.TLS == nil {
		return visitor{}, no(reply.Unauthorized, "use HTTPS")
	}
	if values := r.Header.Values("Authorization"); len(values) > 0 {
		return g.byToken(r, values)
	}
	peer, err := trust.PeerIdentity(*r.TLS)
	switch {
	case err == nil:
		return g.byCertificate(r, peer)
	case !errors.Is(err, trust.ErrNoCertificate):
		return visitor{}, no(reply.Unauthorized, "the certificate is not one of this fleet's members")
	}
	if cookies := r.CookiesNamed(api.SessionCookie); len(cookies) > 0 {
		return g.bySession(r, cookies)
	}
	return visitor{}, no(reply.Unauthorized,
		"log in, send an API token as Authorization: Bearer TOKEN, or show the certificate of an operator")
}

func (g *Guard) bySocket(caller local.Caller) (visitor, error) {
	if !g.config.Socket.Admin(caller) {
		return visitor{}, no(reply.Forbidden, "%s may not administrate: be root, or in the administrators' group of this host", caller.Name)
	}
	return visitor{Principal: api.Principal{Name: caller.Name, Scope: api.ScopeAdmin, By: BySocket}, who: caller.Name, from: local.From}, nil
}

func (g *Guard) byToken(r *http.Request, values []string) (visitor, error) {
	bad := func(text string) error {
		return &refusal{kind: reply.Unauthorized, text: text, challenge: `, error="invalid_token"`}
	}
	scheme, text, found := strings.Cut(values[0], " ")
	text = strings.TrimSpace(text)
	if len(values) != 1 || !found || !strings.EqualFold(scheme, "Bearer") || text == "" || len(text) > maxToken {
		return visitor{}, bad("want one header Authorization: Bearer TOKEN")
	}
	if g.config.Token == nil {
		return visitor{}, bad("API tokens are not taken here")
	}
	p, err := g.config.Token(text)
	if err != nil {
		return visitor{}, bad(err.Error())
	}
	p.By = ByToken
	return visitor{Principal: p, who: "token " + p.Token + " of " + p.Name, from: address(r)}, nil
}

func (g *Guard) byCertificate(r *http.Request, peer trust.Identity) (visitor, error) {
	leaf := r.TLS.VerifiedChains[0][0]
	if g.config.Now().After(leaf.NotAfter) {
		return visitor{}, no(reply.Unauthorized, "%v", trust.ErrExpired)
	}
	if g.config.Refuse != nil {
		if err := g.config.Refuse(leaf, peer); err != nil {
			return visitor{}, no(reply.Forbidden, "%v", err)
		}
	}
	v := visitor{who: string(peer.Role) + " " + peer.Name, from: address(r),
		Principal: api.Principal{Name: peer.Name, By: ByCertificate, Expires: leaf.NotAfter}}
	switch peer.Role {
	case trust.RoleOperator:
		v.Scope = api.ScopeAdmin
	case trust.RoleCollector, trust.RoleCoordinator:
		v.Scope = api.ScopeRead
	default:
		return visitor{}, no(reply.Forbidden, "a %s may not look at the fleet", peer.Role)
	}
	return v, nil
}

func (g *Guard) bySession(r *http.Request, cookies []*http.Cookie) (visitor, error) {
	// Two cookies of that name would leave open which one counts.
	if id := cookies[0].Value; len(cookies) == 1 && id != "" && len(id) <= maxSession && g.config.Session != nil {
		if p, ok := g.config.Session(id); ok {
			p.By = BySession
			return visitor{Principal: p, who: "user " + p.Name, from: address(r)}, nil
		}
	}
	return visitor{}, no(reply.Unauthorized, "the session has ended: log in again")
}
