package api

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// maxAdminAnswer bounds an answer to an administrator, in bytes: twenty thousand
// members are about ten million.
const maxAdminAnswer = 64 << 20

// MaxAuditEntries is how many entries of an audit log one answer holds at most;
// DefaultAuditEntries is how many it holds unless asked for another number.
const (
	MaxAuditEntries     = 10_000
	DefaultAuditEntries = 200
)

// AdminClient administers the fleet, by coordinatord or by a collectord that
// passes it on. It follows no redirects. Safe for concurrent use.
type AdminClient struct {
	caller
	prefix string
}

// NewAdminClient returns a client of the daemon at base. prefix is
// PrefixAdminCoordinator or PrefixAdminCollector, whichever daemon it is; over a
// unix socket base is "http://local".
func NewAdminClient(base, prefix string, client *http.Client) (*AdminClient, error) {
	c, err := newCaller(base, client)
	if err != nil {
		return nil, err
	}
	return &AdminClient{c.straight(maxAdminAnswer), prefix}, nil
}

// WithToken returns a client that shows an API token.
func (c *AdminClient) WithToken(token string) *AdminClient {
	return &AdminClient{c.caller.withToken(token), c.prefix}
}

// WithSession returns a client that shows a session.
func (c *AdminClient) WithSession(session string) *AdminClient {
	return &AdminClient{c.caller.withSession(session), c.prefix}
}

// As returns a client that asks in somebody's name (HeaderActor): for
// collectord.
func (c *AdminClient) As(actor string) *AdminClient {
	return &AdminClient{c.with(HeaderActor, actor), c.prefix}
}

func (c *AdminClient) ask(ctx context.Context, path string, query url.Values, out any) error {
	return c.get(ctx, c.prefix+path, query, out)
}

func (c *AdminClient) send(ctx context.Context, path string, body, out any) error {
	return c.postJSON(ctx, c.prefix+path, body, out)
}

// Status says how the fleet's trust stands.
func (c *AdminClient) Status(ctx context.Context) (status FleetStatus, err error) {
	err = c.ask(ctx, PathAdminFleet, nil, &status)
	return status, err
}

// Tokens lists the join tokens.
func (c *AdminClient) Tokens(ctx context.Context) (list TokenList, err error) {
	err = c.ask(ctx, PathAdminTokens, nil, &list)
	return list, err
}

// CreateToken makes a join token.
func (c *AdminClient) CreateToken(ctx context.Context, r TokenRequest) (created TokenCreated, err error) {
	err = c.send(ctx, PathAdminTokens, r, &created)
	return created, err
}

// RevokeToken ends a join token.
func (c *AdminClient) RevokeToken(ctx context.Context, id string) error {
	return c.call(ctx, http.MethodDelete, c.prefix+PathAdminTokens+"/"+url.PathEscape(id), nil, nil)
}

// Pending lists the machines that wait for approval.
func (c *AdminClient) Pending(ctx context.Context) (list PendingList, err error) {
	err = c.ask(ctx, PathAdminPending, nil, &list)
	return list, err
}

// Approve lets one of them in.
func (c *AdminClient) Approve(ctx context.Context, a Approval) (member Member, err error) {
	err = c.send(ctx, PathAdminApprove, a, &member)
	return member, err
}

// Reject turns one of them away.
func (c *AdminClient) Reject(ctx context.Context, r Rejection) error {
	return c.send(ctx, PathAdminReject, r, nil)
}

// Members lists the workers that were let in.
func (c *AdminClient) Members(ctx context.Context) (list MemberList, err error) {
	err = c.ask(ctx, PathAdminMembers, nil, &list)
	return list, err
}

// Revoke shuts a worker out.
func (c *AdminClient) Revoke(ctx context.Context, r Revocation) (revoked Revoked, err error) {
	err = c.send(ctx, PathAdminRevoke, r, &revoked)
	return revoked, err
}

// Readmit takes a worker off the revocation list.
func (c *AdminClient) Readmit(ctx context.Context, w WorkerRef) error {
	return c.send(ctx, PathAdminReadmit, w, nil)
}

// Forget removes what is known of a revoked or expired worker.
func (c *AdminClient) Forget(ctx context.Context, w WorkerRef) error {
	return c.send(ctx, PathAdminForget, w, nil)
}

// Revoked lists who is out.
func (c *AdminClient) Revoked(ctx context.Context) (list RevokedList, err error) {
	err = c.ask(ctx, PathAdminRevoked, nil, &list)
	return list, err
}

// Audit reads coordinatord's audit log: the newest limit entries (0:
// DefaultAuditEntries) since a time (zero: all), oldest first.
func (c *AdminClient) Audit(ctx context.Context, since time.Time, limit int) (log AuditLog, err error) {
	err = c.ask(ctx, PathAdminAudit, auditQuery(since, limit), &log)
	return log, err
}

func auditQuery(since time.Time, limit int) url.Values {
	query := url.Values{}
	if !since.IsZero() {
		query.Set("since", since.UTC().Format(time.RFC3339Nano))
	}
	if limit > 0 {
		query.Set("limit", strconv.Itoa(limit))
	}
	return query
}

// Authority takes a step of a roll-over: "prepare", "switch", "drop" or
// "abandon".
func (c *AdminClient) Authority(ctx context.Context, step string) (status FleetStatus, err error) {
	err = c.send(ctx, PathAdminAuthority+"/"+url.PathEscape(step), struct{}{}, &status)
	return status, err
}

// Issue asks for a certificate.
func (c *AdminClient) Issue(ctx context.Context, r IssueRequest) (enrolment Enrolment, err error) {
	err = c.send(ctx, PathAdminIssue, r, &enrolment)
	return enrolment, err
}

// CheckSecret asks whether secret is the admin secret.
func (c *AdminClient) CheckSecret(ctx context.Context, secret string) (bool, error) {
	if err := c.private(); err != nil {
		return false, err
	}
	var result SecretResult
	err := c.send(ctx, PathAdminSecret, SecretCheck{Secret: secret}, &result)
	return result.OK, err
}

// ResetSecret makes another admin secret; over the unix socket only.
func (c *AdminClient) ResetSecret(ctx context.Context) error {
	return c.send(ctx, PathAdminSecretReset, struct{}{}, nil)
}

// Web asks for a certificate that browsers understand.
func (c *AdminClient) Web(ctx context.Context, r WebRequest) (certificate WebCertificate, err error) {
	err = c.send(ctx, PathAdminWeb, r, &certificate)
	return certificate, err
}
