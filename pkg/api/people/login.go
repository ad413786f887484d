package people

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/api/access"
	"github.com/cloudless-fleet/cloudless/pkg/api/admin"
	"github.com/cloudless-fleet/cloudless/pkg/api/body"
	"github.com/cloudless-fleet/cloudless/pkg/api/reply"
	"github.com/cloudless-fleet/cloudless/pkg/audit"
	"github.com/cloudless-fleet/cloudless/pkg/daemon/logkey"
	"github.com/cloudless-fleet/cloudless/pkg/trust/people"
)

// Bounds in bytes.
const (
	maxBody     = 8 << 10
	maxPassword = 4 * people.MaxPassword
)

func (h *Handlers) identity(w http.ResponseWriter, _ *http.Request) {
	if h.Identity == nil {
		reply.Error(w, reply.Unavailable, "not known yet")
		return
	}
	reply.JSON(w, h.Identity())
}

func (h *Handlers) login(w http.ResponseWriter, r *http.Request) {
	var sent api.Login
	if !body.JSON(w, r, maxBody, "login", &sent) {
		return
	}
	if sent.Name == "" || sent.Password == "" || len(sent.Name) > maxPassword || len(sent.Password) > maxPassword {
		reply.Error(w, reply.BadData, "login: want name and password")
		return
	}
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		reply.Error(w, reply.BadData, "there is no login over the unix socket: the caller is known by his user")
		return
	}
	session, p, err := h.Directory.Login(r.Context(), sent.Name, sent.Password, at.Addr().Unmap().WithZone(""))
	if err != nil {
		h.refused(r, sent.Name, err)
		h.failed(w, h.judged(err))
		return
	}
	if h.record(r.Context(), audit.Entry{Who: "user " + p.Name, What: audit.Login, OK: true}) != nil {
		h.Directory.Logout(session)
		reply.Failure(w, errUnrecorded("nobody is logged in"))
		return
	}
	who := principal(p)
	who.By = access.BySession
	access.SetSession(w, session, who)
	reply.JSON(w, who)
}

// judged keeps from strangers why a login could not be judged at all: the admin
// secret is judged elsewhere, and what goes wrong on the way is for the log.
func (h *Handlers) judged(err error) error {
	for _, known := range []error{people.ErrWrong, people.ErrLocked, people.ErrBusy, people.ErrFull, people.ErrInput, context.Canceled} {
		if errors.Is(err, known) {
			return err
		}
	}
	h.Logger.Warn("login could not be judged", logkey.Err, err)
	return reply.Because(reply.ErrUnavailable, "logins of this name cannot be judged now; the daemon's log says why")
}

// refused records a login that failed. What was typed as a name may be a password
// or the admin secret, in the wrong field: only names of users are written down.
func (h *Handlers) refused(r *http.Request, name string, err error) {
	if !errors.Is(err, people.ErrWrong) && !errors.Is(err, people.ErrLocked) {
		return // nothing was tried
	}
	who := "somebody"
	name = strings.ToLower(name)
	if name == people.AdminName || slices.ContainsFunc(h.Directory.Users(), func(u people.User) bool { return u.Name == name }) {
		who = "user " + name
	}
	_ = h.record(r.Context(), audit.Entry{Who: who, What: audit.LoginFailed, Detail: err.Error()})
}

// isName says whether text could be the name of a user.
func isName(text string) bool {
	for i := 0; i < len(text); i++ {
		c := text[i]
		if !(c == '.' || c == '_' || c == '-' || c == '@' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z') {
			return false
		}
	}
	return text != "" && len(text) <= people.MaxName
}

func (h *Handlers) logout(w http.ResponseWriter, r *http.Request) {
	who, _ := access.From(r.Context())
	if who.By != access.BySession {
		reply.Error(w, reply.BadData, "there is no session to end; `DELETE "+api.PathAPITokens+"/ID` ends an API token")
		return
	}
	if cookie, err := r.Cookie(api.SessionCookie); err == nil {
		h.Directory.Logout(cookie.Value)
	}
	access.SetSession(w, "", api.Principal{})
	h.done(w, r, audit.Logout, "", struct{}{})
}

func (h *Handlers) me(w http.ResponseWriter, r *http.Request) {
	who, _ := access.From(r.Context())
	reply.JSON(w, who)
}

func (h *Handlers) audit(w http.ResponseWriter, r *http.Request) {
	since, limit, err := admin.AuditRange(r)
	if err != nil {
		reply.Error(w, reply.BadData, err.Error())
		return
	}
	entries, err := h.Audit.Read(since, limit)
	if err != nil {
		reply.Error(w, reply.Unavailable, err.Error())
		return
	}
	if entries == nil {
		entries = []audit.Entry{}
	}
	reply.JSON(w, api.AuditLog{Entries: entries})
}
