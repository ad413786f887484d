package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust/token"
)

// noting is an Office that notes what it is asked, and answers err.
type noting struct {
	mu   sync.Mutex
	asks []string // "method actor argument"
	by   Actor
	err  error
}

func (n *noting) note(what string, by Actor, arguments ...any) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, argument := range arguments {
		text, err := json.Marshal(argument)
		if err != nil {
			panic(err)
		}
		what += " " + string(text)
	}
	n.asks, n.by = append(n.asks, what), by
	return n.err
}

func (n *noting) last() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.asks) == 0 {
		return ""
	}
	return n.asks[len(n.asks)-1]
}

func (n *noting) Status(_ context.Context, by Actor) (api.FleetStatus, error) {
	return api.FleetStatus{Fleet: "lab"}, n.note("status", by)
}

func (n *noting) Tokens(_ context.Context, by Actor) (api.TokenList, error) {
	return api.TokenList{}, n.note("tokens", by)
}

func (n *noting) CreateToken(_ context.Context, by Actor, r api.TokenRequest) (api.TokenCreated, error) {
	return api.TokenCreated{Token: "cloudless_join1_x", TokenRow: api.TokenRow{ID: "01"}}, n.note("create token", by, r)
}

func (n *noting) RevokeToken(_ context.Context, by Actor, id token.ID) error {
	return n.note("revoke token", by, id)
}

func (n *noting) Pending(_ context.Context, by Actor) (api.PendingList, error) {
	return api.PendingList{}, n.note("pending", by)
}

func (n *noting) Approve(_ context.Context, by Actor, a api.Approval) (api.Member, error) {
	return api.Member{ID: model.WorkerIDFrom([16]byte{1})}, n.note("approve", by, a)
}

func (n *noting) Reject(_ context.Context, by Actor, r api.Rejection) error {
	return n.note("reject", by, r)
}

func (n *noting) Members(_ context.Context, by Actor) (api.MemberList, error) {
	return api.MemberList{}, n.note("members", by)
}

func (n *noting) Revoke(_ context.Context, by Actor, r api.Revocation) (api.Revoked, error) {
	return api.Revoked{}, n.note("revoke", by, r)
}

func (n *noting) Readmit(_ context.Context, by Actor, w api.WorkerRef) error {
	return n.note("readmit", by, w)
}

func (n *noting) Forget(_ context.Context, by Actor, w api.WorkerRef) error {
	return n.note("forget", by, w)
}

func (n *noting) Revoked(_ context.Context, by Actor) (api.RevokedList, error) {
	return api.RevokedList{}, n.note("revoked", by)
}

func (n *noting) Audit(_ context.Context, by Actor, since time.Time, limit int) (api.AuditLog, error) {
	return api.AuditLog{}, n.note(fmt.Sprintf("audit %d %d", since.Unix(), limit), by)
}

func (n *noting) Authority(_ context.Context, by Actor, step Step) (api.FleetStatus, error) {
	return api.FleetStatus{}, n.note("authority", by, step)
}

func (n *noting) Issue(_ context.Context, by Actor, r api.IssueRequest) (api.Enrolment, error) {
	return api.Enrolment{Outcome: api.Admitted}, n.note("issue "+string(r.Role)+" "+r.Name, by)
}

func (n *noting) CheckSecret(_ context.Context, by Actor, secret string) (bool, error) {
	return secret == planted, n.note("check secret", by)
}

func (n *noting) ResetSecret(_ context.Context, by Actor) error { return n.note("reset secret", by) }

func (n *noting) Web(_ context.Context, by Actor, r api.WebRequest) (api.WebCertificate, error) {
	return api.WebCertificate{Certificate: "c"}, n.note("web", by, r.Hosts)
}
