package admin

import (
	"fmt"
	"log/slog"
	"net/http"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/api/body"
	"github.com/cloudless-fleet/cloudless/pkg/api/reply"
)

// Authorize decides whether a request may pass, and who sent it. It must not
// read the body. ok says that he may administrate, or is a collector
// (Actor.Collector); the Actor is returned in any case, for the log.
type Authorize func(*http.Request) (by Actor, ok bool)

// Handlers serve the administration.
type Handlers struct {
	office Office
	may    Authorize
	log    *slog.Logger
}

// New returns the handlers.
func New(office Office, may Authorize, log *slog.Logger) *Handlers {
	return &Handlers{office: office, may: may, log: log}
}

// whom says whom a route is for.
type whom uint8

const (
	administrators      whom = iota
	andCollectors            // a collectord for itself as well
	collectors               // a collectord for itself, and administrators by the unix socket
	localAdministrators      // by the unix socket
)

// route is one path of the administration.
type route struct {
	method, path, name string
	whom               whom
	serve              func(*Handlers, http.ResponseWriter, *http.Request, Actor)
}

// routes lists all of them. Paths are without prefix.
func routes() []route {
	const get, post, remove = http.MethodGet, http.MethodPost, http.MethodDelete
	return []route{
		{get, api.PathAdminFleet, "admin_fleet", administrators, (*Handlers).status},
		{get, api.PathAdminTokens, "admin_tokens", administrators, (*Handlers).tokens},
		{post, api.PathAdminTokens, "admin_token_create", administrators, (*Handlers).createToken},
		{remove, api.PathAdminTokens + "/{id}", "admin_token_revoke", administrators, (*Handlers).revokeToken},
		{get, api.PathAdminPending, "admin_pending", administrators, (*Handlers).pending},
		{post, api.PathAdminApprove, "admin_approve", administrators, (*Handlers).approve},
		{post, api.PathAdminReject, "admin_reject", administrators, (*Handlers).reject},
		{get, api.PathAdminMembers, "admin_members", administrators, (*Handlers).members},
		{post, api.PathAdminRevoke, "admin_revoke", administrators, (*Handlers).revoke},
		{post, api.PathAdminReadmit, "admin_readmit", administrators, (*Handlers).readmit},
		{post, api.PathAdminForget, "admin_forget", administrators, (*Handlers).forget},
		{get, api.PathAdminRevoked, "admin_revoked", administrators, (*Handlers).revoked},
		{get, api.PathAdminAudit, "admin_audit", administrators, (*Handlers).audit},
		{post, api.PathAdminAuthority + "/{step}", "admin_authority", administrators, (*Handlers).authority},
		{post, api.PathAdminIssue, "admin_issue", andCollectors, (*Handlers).issue},
		{post, api.PathAdminSecret, "admin_secret", andCollectors, (*Handlers).secret},
		{post, api.PathAdminSecretReset, "admin_secret_reset", localAdministrators, (*Handlers).resetSecret},
		{post, api.PathAdminWeb, "admin_web", collectors, (*Handlers).web},
	}
}

// Register adds the routes to mux under prefix, api.PrefixAdminCoordinator or
// api.PrefixAdminCollector, each wrapped by wrap under its own name.
func (h *Handlers) Register(mux *http.ServeMux, prefix string, wrap func(name string, next http.Handler) http.Handler) {
	for _, route := range routes() {
		if prefix == api.PrefixAdminCollector && route.local() {
			continue
		}
		mux.Handle(route.method+" "+prefix+route.path, wrap(route.name, h.authorized(route)))
	}
}

// local says that a route is of the coordinator alone: nothing that a collectord
// passes on.
func (r route) local() bool {
	return r.whom == collectors || r.whom == localAdministrators || r.path == api.PathAdminSecret
}

func (h *Handlers) authorized(route route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		by, ok := Actor{}, false
		if h.may != nil {
			by, ok = h.may(r)
		}
		if !ok || !route.whom.includes(by) {
			h.log.Warn("administration refused", "path", r.URL.Path, "peer", r.RemoteAddr, "identity", by.Who)
			reply.Error(w, reply.Forbidden, fmt.Sprintf("%s may not %s %s%s", named(by.Who), r.Method, r.URL.Path, route.whom.hint()))
			return
		}
		route.serve(h, w, r, by)
	})
}

func (to whom) includes(by Actor) bool {
	switch to {
	case administrators:
		return !by.Collector
	case andCollectors:
		return true
	case collectors:
		return by.Collector || by.Local
	case localAdministrators:
		return !by.Collector && by.Local
	}
	return false
}

func (to whom) hint() string {
	if to == localAdministrators {
		return ": only on the coordinator's own host, as root or in the administrators' group"
	}
	return ""
}

func named(who string) string {
	if who == "" {
		return "an unknown caller"
	}
	return who
}

// maxBody bounds the bodies, in bytes: 32 labels of 128 bytes fit into it.
const maxBody = 64 << 10

// take reads the body of a request into out and checks it.
func take[T any](w http.ResponseWriter, r *http.Request, what string, out *T, check func(*T) error) bool {
	if !body.JSON(w, r, maxBody, what, out) {
		return false
	}
	if err := check(out); err != nil {
		reply.Error(w, reply.BadData, what+": "+err.Error())
		return false
	}
	return true
}

// answer ends a request with what the office returned.
func answer(w http.ResponseWriter, v any, err error) {
	if err != nil {
		reply.Failure(w, err)
		return
	}
	reply.JSON(w, v)
}

func done(w http.ResponseWriter, err error) { answer(w, struct{}{}, err) }
