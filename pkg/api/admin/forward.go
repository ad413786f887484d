package admin

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/api/reply"
	"github.com/cloudless-fleet/cloudless/pkg/trust/token"
)

// Forward returns an Office that passes everything on to coordinatord, in the
// name of the actor. client is collectord's own, for api.PrefixAdminCoordinator.
func Forward(client *api.AdminClient) Office { return forward{client} }

type forward struct{ client *api.AdminClient }

func (f forward) as(by Actor) *api.AdminClient { return f.client.As(by.spell()) }

// passed turns a refusal of the coordinator into the same one of ours, and a
// coordinator that cannot be reached into "unavailable".
func passed[T any](v T, err error) (T, error) {
	if err == nil {
		return v, nil
	}
	var refused *api.Error
	if !errors.As(err, &refused) {
		if errors.Is(err, context.Canceled) {
			return v, err
		}
		return v, reply.Because(reply.ErrUnavailable, "the coordinator cannot be reached: %v", err)
	}
	for _, known := range []struct {
		status int
		kind   error
	}{
		{http.StatusNotFound, ErrNotFound}, {http.StatusConflict, ErrConflict}, {http.StatusBadRequest, ErrInvalid},
		{http.StatusForbidden, ErrForbidden}, {http.StatusTooManyRequests, reply.ErrBusy}, {http.StatusServiceUnavailable, reply.ErrUnavailable},
	} {
		if refused.Status == known.status {
			return v, reply.Because(known.kind, "%s", refused.Text)
		}
	}
	return v, err
}

func passedOn(err error) error {
	_, err = passed(struct{}{}, err)
	return err
}

func (f forward) Status(ctx context.Context, by Actor) (api.FleetStatus, error) {
	return passed(f.as(by).Status(ctx))
}

func (f forward) Tokens(ctx context.Context, by Actor) (api.TokenList, error) {
	return passed(f.as(by).Tokens(ctx))
}

func (f forward) CreateToken(ctx context.Context, by Actor, r api.TokenRequest) (api.TokenCreated, error) {
	return passed(f.as(by).CreateToken(ctx, r))
}

func (f forward) RevokeToken(ctx context.Context, by Actor, id token.ID) error {
	return passedOn(f.as(by).RevokeToken(ctx, id.String()))
}

func (f forward) Pending(ctx context.Context, by Actor) (api.PendingList, error) {
	return passed(f.as(by).Pending(ctx))
}

func (f forward) Approve(ctx context.Context, by Actor, a api.Approval) (api.Member, error) {
	return passed(f.as(by).Approve(ctx, a))
}

func (f forward) Reject(ctx context.Context, by Actor, r api.Rejection) error {
	return passedOn(f.as(by).Reject(ctx, r))
}

func (f forward) Members(ctx context.Context, by Actor) (api.MemberList, error) {
	return passed(f.as(by).Members(ctx))
}

func (f forward) Revoke(ctx context.Context, by Actor, r api.Revocation) (api.Revoked, error) {
	return passed(f.as(by).Revoke(ctx, r))
}

func (f forward) Readmit(ctx context.Context, by Actor, w api.WorkerRef) error {
	return passedOn(f.as(by).Readmit(ctx, w))
}

func (f forward) Forget(ctx context.Context, by Actor, w api.WorkerRef) error {
	return passedOn(f.as(by).Forget(ctx, w))
}

func (f forward) Revoked(ctx context.Context, by Actor) (api.RevokedList, error) {
	return passed(f.as(by).Revoked(ctx))
}

func (f forward) Audit(ctx context.Context, by Actor, since time.Time, limit int) (api.AuditLog, error) {
	return passed(f.as(by).Audit(ctx, since, limit))
}

func (f forward) Authority(ctx context.Context, by Actor, step Step) (api.FleetStatus, error) {
	return passed(f.as(by).Authority(ctx, string(step)))
}

func (f forward) Issue(ctx context.Context, by Actor, r api.IssueRequest) (api.Enrolment, error) {
	return passed(f.as(by).Issue(ctx, r))
}

// The rest is between coordinatord and a collectord, and on the coordinator's
// own host: nothing is passed on.

func (f forward) CheckSecret(context.Context, Actor, string) (bool, error) { return false, errLocal() }

func (f forward) ResetSecret(context.Context, Actor) error { return errLocal() }

func (f forward) Web(context.Context, Actor, api.WebRequest) (api.WebCertificate, error) {
	return api.WebCertificate{}, errLocal()
}

func errLocal() error { return reply.Because(ErrForbidden, "only on the coordinator's own host") }
