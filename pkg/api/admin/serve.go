package admin

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/api/body"
	"github.com/cloudless-fleet/cloudless/pkg/api/reply"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/token"
)

func (h *Handlers) status(w http.ResponseWriter, r *http.Request, by Actor) {
	status, err := h.office.Status(r.Context(), by)
	answer(w, status, err)
}

func (h *Handlers) tokens(w http.ResponseWriter, r *http.Request, by Actor) {
	list, err := h.office.Tokens(r.Context(), by)
	list.Tokens = listed(list.Tokens)
	answer(w, list, err)
}

func (h *Handlers) createToken(w http.ResponseWriter, r *http.Request, by Actor) {
	var request api.TokenRequest
	if take(w, r, "token", &request, checkTokenRequest) {
		created, err := h.office.CreateToken(r.Context(), by, request)
		answer(w, created, err)
	}
}

func (h *Handlers) revokeToken(w http.ResponseWriter, r *http.Request, by Actor) {
	id, err := token.ParseID(r.PathValue("id"))
	if err != nil {
		// The text of a token in place of its id is not repeated.
		reply.Error(w, reply.BadData, "token id: want 16 hexadecimal digits")
		return
	}
	done(w, h.office.RevokeToken(r.Context(), by, id))
}

func (h *Handlers) pending(w http.ResponseWriter, r *http.Request, by Actor) {
	list, err := h.office.Pending(r.Context(), by)
	list.Pending = listed(list.Pending)
	answer(w, list, err)
}

func (h *Handlers) approve(w http.ResponseWriter, r *http.Request, by Actor) {
	var a api.Approval
	if take(w, r, "approval", &a, checkApproval) {
		member, err := h.office.Approve(r.Context(), by, a)
		answer(w, member, err)
	}
}

func (h *Handlers) reject(w http.ResponseWriter, r *http.Request, by Actor) {
	var rejection api.Rejection
	if take(w, r, "rejection", &rejection, checkRejection) {
		done(w, h.office.Reject(r.Context(), by, rejection))
	}
}

func (h *Handlers) members(w http.ResponseWriter, r *http.Request, by Actor) {
	list, err := h.office.Members(r.Context(), by)
	list.Members = listed(list.Members)
	answer(w, list, err)
}

func (h *Handlers) revoke(w http.ResponseWriter, r *http.Request, by Actor) {
	var revocation api.Revocation
	if take(w, r, "revocation", &revocation, checkRevocation) {
		revoked, err := h.office.Revoke(r.Context(), by, revocation)
		revoked.Revoked = listed(revoked.Revoked)
		answer(w, revoked, err)
	}
}

func (h *Handlers) readmit(w http.ResponseWriter, r *http.Request, by Actor) {
	var worker api.WorkerRef
	if take(w, r, "worker", &worker, checkWorkerRef) {
		done(w, h.office.Readmit(r.Context(), by, worker))
	}
}

func (h *Handlers) forget(w http.ResponseWriter, r *http.Request, by Actor) {
	var worker api.WorkerRef
	if take(w, r, "worker", &worker, checkWorkerRef) {
		done(w, h.office.Forget(r.Context(), by, worker))
	}
}

func (h *Handlers) revoked(w http.ResponseWriter, r *http.Request, by Actor) {
	list, err := h.office.Revoked(r.Context(), by)
	list.Revoked = listed(list.Revoked)
	answer(w, list, err)
}

func (h *Handlers) audit(w http.ResponseWriter, r *http.Request, by Actor) {
	since, limit, err := AuditRange(r)
	if err != nil {
		reply.Error(w, reply.BadData, err.Error())
		return
	}
	log, err := h.office.Audit(r.Context(), by, since, limit)
	log.Entries = listed(log.Entries)
	answer(w, log, err)
}

// AuditRange reads which piece of an audit log is wanted: ?since=, RFC 3339, and
// ?limit=.
func AuditRange(r *http.Request) (since time.Time, limit int, err error) {
	query := r.URL.Query()
	limit = api.DefaultAuditEntries
	if text := query.Get("since"); text != "" {
		if since, err = time.Parse(time.RFC3339, text); err != nil {
			return time.Time{}, 0, fmt.Errorf("invalid parameter %q: want a time like 2026-07-01T12:00:00Z", "since")
		}
	}
	if text := query.Get("limit"); text != "" {
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 || limit > api.MaxAuditEntries {
			return time.Time{}, 0, fmt.Errorf("invalid parameter %q: want 1 to %d", "limit", api.MaxAuditEntries)
		}
	}
	return since, limit, nil
}

func (h *Handlers) authority(w http.ResponseWriter, r *http.Request, by Actor) {
	step := Step(r.PathValue("step"))
	if !slices.Contains([]Step{Prepare, Switch, Drop, Abandon}, step) {
		reply.Error(w, reply.NotFound, "no such step; there are prepare, switch, drop and abandon")
		return
	}
	if emptyBody(w, r) {
		status, err := h.office.Authority(r.Context(), by, step)
		answer(w, status, err)
	}
}

func (h *Handlers) issue(w http.ResponseWriter, r *http.Request, by Actor) {
	var request api.IssueRequest
	if !take(w, r, "certificate", &request, checkIssueRequest) {
		return
	}
	if by.Collector && request.Role != trust.RoleCollector {
		reply.Error(w, reply.Forbidden, "a collectord may ask for its own certificate only")
		return
	}
	enrolment, err := h.office.Issue(r.Context(), by, request)
	answer(w, enrolment, err)
}

func (h *Handlers) secret(w http.ResponseWriter, r *http.Request, by Actor) {
	var check api.SecretCheck
	if take(w, r, "secret", &check, checkSecret) {
		ok, err := h.office.CheckSecret(r.Context(), by, check.Secret)
		answer(w, api.SecretResult{OK: ok}, err)
	}
}

func (h *Handlers) resetSecret(w http.ResponseWriter, r *http.Request, by Actor) {
	if emptyBody(w, r) {
		done(w, h.office.ResetSecret(r.Context(), by))
	}
}

func (h *Handlers) web(w http.ResponseWriter, r *http.Request, by Actor) {
	var request api.WebRequest
	if take(w, r, "web certificate", &request, checkWebRequest) {
		certificate, err := h.office.Web(r.Context(), by, request)
		answer(w, certificate, err)
	}
}

// emptyBody lets nothing pass but no body, or an object without members.
func emptyBody(w http.ResponseWriter, r *http.Request) bool {
	data, ok := body.Read(w, r, maxBody)
	if !ok || len(data) == 0 {
		return ok
	}
	if err := body.Parse(data, &struct{}{}); err != nil {
		reply.Error(w, reply.BadData, "want no body: "+err.Error())
		return false
	}
	return true
}

// listed turns no list into an empty one, which is what JSON readers expect.
func listed[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
