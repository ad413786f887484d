package people

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/api/body"
	"github.com/cloudless-fleet/cloudless/pkg/api/reply"
	"github.com/cloudless-fleet/cloudless/pkg/audit"
	"github.com/cloudless-fleet/cloudless/pkg/trust/people"
)

func (h *Handlers) users(w http.ResponseWriter, _ *http.Request) {
	rows := h.Directory.Users()
	list := api.UserList{Users: make([]api.UserRow, len(rows))}
	for i, row := range rows {
		list.Users[i] = userRow(row)
	}
	reply.JSON(w, list)
}

func userRow(u people.User) api.UserRow {
	return api.UserRow{Name: u.Name, Scope: scope(u.Admin), Created: u.Created, Locked: u.Locked}
}

func (h *Handlers) user(name string) (api.UserRow, bool) {
	rows := h.Directory.Users()
	at := slices.IndexFunc(rows, func(u people.User) bool { return strings.EqualFold(u.Name, name) })
	if at < 0 {
		return api.UserRow{}, false
	}
	return userRow(rows[at]), true
}

func (h *Handlers) setUser(w http.ResponseWriter, r *http.Request) {
	var sent api.UserRequest
	if !body.JSON(w, r, maxBody, "user", &sent) {
		return
	}
	if err := checkScope(sent.Scope); err != nil {
		reply.Error(w, reply.BadData, "user: "+err.Error())
		return
	}
	if !isName(sent.Name) || len(sent.Password) > maxPassword {
		reply.Error(w, reply.BadData, "user: want a name of a-z, 0-9 and . _ - @, and a password")
		return
	}
	row, err := h.makeUser(r.Context(), sent)
	if err != nil {
		h.failed(w, err)
		return
	}
	h.done(w, r, audit.UserSet, row.Name, row)
}

// makeUser makes a user, or gives one another scope.
func (h *Handlers) makeUser(ctx context.Context, sent api.UserRequest) (api.UserRow, error) {
	h.making.Lock()
	defer h.making.Unlock()
	_, known := h.user(sent.Name)
	switch {
	case known && sent.Password != "":
		return api.UserRow{}, reply.Because(reply.ErrConflict, "there is a user %s already", sent.Name)
	case !known && sent.Password == "":
		return api.UserRow{}, reply.Because(reply.ErrInvalid, "user: want a password")
	}
	if err := h.Directory.SetUser(ctx, sent.Name, sent.Password, sent.Scope == api.ScopeAdmin); err != nil {
		return api.UserRow{}, err
	}
	row, _ := h.user(sent.Name)
	return row, nil
}

// named reads the name in the path; otherwise it has answered.
func named(w http.ResponseWriter, r *http.Request) (name string, ok bool) {
	name = r.PathValue("name")
	if !isName(name) {
		reply.Error(w, reply.BadData, "user: want a name of a-z, 0-9 and . _ - @")
		return "", false
	}
	return name, true
}

func (h *Handlers) removeUser(w http.ResponseWriter, r *http.Request) {
	name, ok := named(w, r)
	if !ok {
		return
	}
	if err := h.Directory.RemoveUser(name); err != nil {
		h.failed(w, err)
		return
	}
	h.done(w, r, audit.UserRemove, name, struct{}{})
}

func (h *Handlers) setPassword(w http.ResponseWriter, r *http.Request) {
	name, ok := named(w, r)
	if !ok {
		return
	}
	var sent api.PasswordRequest
	if !body.JSON(w, r, maxBody, "password", &sent) {
		return
	}
	if sent.Password == "" || len(sent.Password) > maxPassword {
		reply.Error(w, reply.BadData, "password: want one")
		return
	}
	if err := h.Directory.SetPassword(r.Context(), name, sent.Password); err != nil {
		h.failed(w, err)
		return
	}
	h.done(w, r, audit.UserSet, name, struct{}{})
}
