// Package people serves collectord's own users: login and logout, users, API
// tokens, and the audit log of all that. It stands behind a access.Guard, which
// has found out who asks and whether his scope suffices; here it is decided what
// is his own.
//
// What is done is in the audit log before it is acknowledged. What cannot be
// recorded is taken back where that is possible, and is no success in any case.
// No answer or log line holds a password, a session, or a token but the answer
// that makes it.
package people

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/api/access"
	"github.com/cloudless-fleet/cloudless/pkg/api/reply"
	"github.com/cloudless-fleet/cloudless/pkg/audit"
	"github.com/cloudless-fleet/cloudless/pkg/daemon/logkey"
	"github.com/cloudless-fleet/cloudless/pkg/trust/people"
)

// Directory is who the users are; *people.Directory implements it.
type Directory interface {
	Login(ctx context.Context, name, password string, from netip.Addr) (session string, p people.Principal, err error)
	Logout(session string) bool
	Users() []people.User
	SetUser(ctx context.Context, name, password string, admin bool) error
	SetPassword(ctx context.Context, name, password string) error
	RemoveUser(name string) error
	Tokens(owner string) []people.Token
	CreateToken(spec people.TokenSpec) (people.APIToken, people.Token, error)
	RevokeToken(id, owner string) (people.Token, error)
}

// Log is where it is written down; *audit.Log implements it.
type Log interface {
	Append(audit.Entry) error
	Read(since time.Time, limit int) ([]audit.Entry, error)
}

var (
	_ Directory = (*people.Directory)(nil)
	_ Log       = (*audit.Log)(nil)
)

// Deps are what the handlers need.
type Deps struct {
	Directory Directory
	Audit     Log
	// Identity tells which fleet this is; open to all.
	Identity func() api.FleetIdentity
	Logger   *slog.Logger
	Now      func() time.Time
}

// Handlers serve the users.
type Handlers struct {
	Deps
	making sync.Mutex // of users, one at a time: to tell a new one from an old one
}

// New returns the handlers.
func New(deps Deps) *Handlers { return &Handlers{Deps: deps} }

// Register adds the routes to mux, each wrapped by wrap under its own name. wrap
// holds an access.Guard.
func (h *Handlers) Register(mux *http.ServeMux, wrap func(name string, next http.Handler) http.Handler) {
	route := func(pattern, name string, serve http.HandlerFunc) { mux.Handle(pattern, wrap(name, serve)) }
	route("GET "+api.PathIdentity, "fleet_identity", h.identity)
	route("POST "+api.PathLogin, "auth_login", h.login)
	route("POST "+api.PathLogout, "auth_logout", h.logout)
	route("GET "+api.PathMe, "auth_me", h.me)
	route("GET "+api.PathAPITokens, "auth_tokens", h.tokens)
	route("POST "+api.PathAPITokens, "auth_token_create", h.createToken)
	route("DELETE "+api.PathAPITokens+"/{id}", "auth_token_revoke", h.revokeToken)
	route("GET "+api.PathUsers, "auth_users", h.users)
	route("POST "+api.PathUsers, "auth_user_set", h.setUser)
	route("DELETE "+api.PathUsers+"/{name}", "auth_user_remove", h.removeUser)
	route("POST "+api.PathUsers+"/{name}/password", "auth_user_password", h.setPassword)
	route("GET "+api.PathWebAudit, "auth_audit", h.audit)
}

// Session is access.Config.Session over a directory.
func Session(d *people.Directory) func(id string) (api.Principal, bool) {
	return func(id string) (api.Principal, bool) {
		p, ok := d.Session(id)
		return principal(p), ok
	}
}

// Token is access.Config.Token over a directory.
func Token(d *people.Directory) func(text string) (api.Principal, error) {
	return func(text string) (api.Principal, error) {
		p, err := d.CheckToken(text)
		return principal(p), err
	}
}

func principal(p people.Principal) api.Principal {
	return api.Principal{Name: p.Name, Scope: scope(p.Admin), By: p.By, Expires: p.Expires, Token: p.TokenID}
}

func scope(admin bool) api.Scope {
	if admin {
		return api.ScopeAdmin
	}
	return api.ScopeRead
}

// record writes an entry about the asker; ctx is the request's.
func (h *Handlers) record(ctx context.Context, e audit.Entry) error {
	if e.Who == "" {
		e.Who = access.Who(ctx)
	}
	_, e.From = access.From(ctx)
	err := h.Audit.Append(e)
	if err != nil {
		h.Logger.Error("audit log cannot be written", logkey.Err, err)
	}
	return err
}

// errUnrecorded is the answer when the audit log cannot be written.
func errUnrecorded(what string) error {
	return reply.Because(reply.ErrUnavailable, "the audit log cannot be written: %s", what)
}

// done records what was done and acknowledges it.
func (h *Handlers) done(w http.ResponseWriter, r *http.Request, what, on string, answer any) {
	if h.record(r.Context(), audit.Entry{What: what, On: on, OK: true}) != nil {
		reply.Failure(w, errUnrecorded("it was done all the same"))
		return
	}
	reply.JSON(w, answer)
}

// failed answers with an error of the directory.
func (h *Handlers) failed(w http.ResponseWriter, err error) {
	if locked := (*people.LockedError)(nil); errors.As(err, &locked) {
		left := max(1, int(locked.Until.Sub(h.Now()).Seconds()+1))
		w.Header().Set("Retry-After", strconv.Itoa(left))
		reply.Error(w, reply.Busy, err.Error())
		return
	}
	for _, known := range []struct {
		err  error
		kind reply.Kind
	}{
		{people.ErrWrong, reply.Unauthorized}, {people.ErrBusy, reply.Busy}, {people.ErrNoUser, reply.NotFound},
		{people.ErrNoToken, reply.NotFound}, {people.ErrFull, reply.Conflict}, {people.ErrScope, reply.Forbidden},
		{people.ErrInput, reply.BadData},
	} {
		if errors.Is(err, known.err) {
			reply.Error(w, known.kind, err.Error())
			return
		}
	}
	reply.Failure(w, err)
}

// checkScope says what is wrong with a scope.
func checkScope(s api.Scope) error {
	if s != api.ScopeRead && s != api.ScopeAdmin {
		return fmt.Errorf("scope: want %s or %s", api.ScopeRead, api.ScopeAdmin)
	}
	return nil
}
