package people

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/api/access"
	"github.com/cloudless-fleet/cloudless/pkg/api/body"
	"github.com/cloudless-fleet/cloudless/pkg/api/reply"
	"github.com/cloudless-fleet/cloudless/pkg/audit"
	"github.com/cloudless-fleet/cloudless/pkg/daemon/logkey"
	"github.com/cloudless-fleet/cloudless/pkg/trust/people"
)

// maxTTL is the longest life that can be asked for, in milliseconds.
const maxTTL = int64(100 * 365 * 24 * time.Hour / time.Millisecond)

// owner is in whose name the asker has tokens. Those who are no users have one
// with a space in it, which no user has.
func owner(ctx context.Context) string {
	who, from := access.From(ctx)
	switch who.By {
	case access.ByCertificate:
		return access.Who(ctx)
	case access.BySocket:
		return who.Name + " (" + from + ")"
	}
	return who.Name
}

func (h *Handlers) tokens(w http.ResponseWriter, r *http.Request) {
	who, _ := access.From(r.Context())
	var rows []people.Token
	switch mine := owner(r.Context()); {
	case who.Scope == api.ScopeAdmin:
		rows = h.Directory.Tokens("")
	case mine != "":
		rows = h.Directory.Tokens(mine)
	}
	list := api.APITokenList{Tokens: make([]api.APITokenRow, len(rows))}
	for i, row := range rows {
		list.Tokens[i] = tokenRow(row)
	}
	reply.JSON(w, list)
}

func tokenRow(t people.Token) api.APITokenRow {
	return api.APITokenRow{ID: t.ID, Name: t.Label, Owner: t.Owner, Scope: scope(t.Admin), Created: t.Created, Expires: t.Expires, Used: t.Used}
}

func (h *Handlers) createToken(w http.ResponseWriter, r *http.Request) {
	var sent api.APITokenRequest
	if !body.JSON(w, r, maxBody, "token", &sent) {
		return
	}
	if err := checkScope(sent.Scope); err != nil {
		reply.Error(w, reply.BadData, "token: "+err.Error())
		return
	}
	if sent.TTL < 0 || sent.TTL > maxTTL {
		reply.Error(w, reply.BadData, "token: ttl_ms: want 0, for ever, or how long it lasts")
		return
	}
	who, _ := access.From(r.Context())
	if who.Scope != api.ScopeAdmin && (who.By != access.BySession || sent.Scope != api.ScopeRead) {
		reply.Error(w, reply.Forbidden, "a reader makes tokens for reading, and needs to be logged in for it")
		return
	}
	mine := owner(r.Context())
	spec := people.TokenSpec{Owner: mine, Outside: strings.Contains(mine, " "), Label: sent.Name,
		Admin: sent.Scope == api.ScopeAdmin, TTL: time.Duration(sent.TTL) * time.Millisecond}
	made, row, err := h.Directory.CreateToken(spec)
	if err != nil {
		h.failed(w, err)
		return
	}
	entry := audit.Entry{What: audit.APITokenCreate, On: row.ID, OK: true, More: map[string]string{"name": row.Label, "owner": row.Owner, "scope": string(sent.Scope)}}
	if h.record(r.Context(), entry) != nil {
		_, err := h.Directory.RevokeToken(row.ID, "")
		h.unmade(w, err)
		return
	}
	reply.JSON(w, api.APITokenCreated{Token: made.Reveal(), APITokenRow: tokenRow(row)})
}

// unmade answers for a token that was taken back, or could not be; nobody has
// seen it in either case.
func (h *Handlers) unmade(w http.ResponseWriter, err error) {
	if err != nil {
		h.Logger.Error("API token that was not recorded cannot be taken back", logkey.Err, err)
	}
	reply.Failure(w, errUnrecorded("no token was given out"))
}

func (h *Handlers) revokeToken(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	if !isTokenID(id) {
		// A token in place of its id is not repeated.
		reply.Error(w, reply.BadData, "token id: want 16 hexadecimal digits")
		return
	}
	who, _ := access.From(r.Context())
	mine := owner(r.Context())
	switch {
	case who.Scope == api.ScopeAdmin:
		mine = "" // anybody's
	case mine == "":
		h.failed(w, people.ErrNoToken)
		return
	}
	row, err := h.Directory.RevokeToken(id, mine)
	if err != nil {
		h.failed(w, err)
		return
	}
	h.done(w, r, audit.APITokenRevoke, row.ID, struct{}{})
}

func isTokenID(id string) bool {
	for i := 0; i < len(id); i++ {
		if c := id[i]; !('0' <= c && c <= '9' || 'a' <= c && c <= 'f') {
			return false
		}
	}
	return len(id) == 16
}
