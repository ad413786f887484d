package api

import (
	"context"
	"net/http"

	"github.com/cloudless-fleet/cloudless/pkg/trust/enrol"
)

// maxMemberAnswer bounds an answer to a worker, in bytes: a bundle of
// authorities is the largest part. A machine that enrols without a token does
// not know yet who answers.
const maxMemberAnswer = 1 << 20

// MemberClient speaks with coordinatord for a worker, or for a machine that
// wants to become one. It follows no redirects. Safe for concurrent use.
type MemberClient struct{ caller }

// NewMemberClient returns a client of the coordinatord at base, as in
// "https://coordinator:10100". client carries the certificates; its Timeout
// holds for everything but sessions.
func NewMemberClient(base string, client *http.Client) (*MemberClient, error) {
	c, err := newCaller(base, client)
	if err != nil {
		return nil, err
	}
	return &MemberClient{c.straight(maxMemberAnswer)}, nil
}

// Enrol asks to be let in. An *Error means that the request was not judged at
// all; every judgement is an Enrolment.
func (c *MemberClient) Enrol(ctx context.Context, r *enrol.Request) (Enrolment, error) {
	body, err := r.Marshal()
	if err != nil {
		return Enrolment{}, err
	}
	return c.enrolment(ctx, PathEnrol, body)
}

// Renewal asks for a new certificate after the former ran out.
func (c *MemberClient) Renewal(ctx context.Context, r *enrol.Renewal) (Enrolment, error) {
	body, err := r.Marshal()
	if err != nil {
		return Enrolment{}, err
	}
	return c.enrolment(ctx, PathRenewal, body)
}

// Renew asks for a new certificate for the key of the present one, with which
// the connection is made.
func (c *MemberClient) Renew(ctx context.Context) (Enrolment, error) {
	return c.enrolment(ctx, PathRenew, nil)
}

func (c *MemberClient) enrolment(ctx context.Context, path string, body []byte) (Enrolment, error) {
	var e Enrolment
	err := c.post(ctx, path, jsonType, body, &e)
	return e, err
}

// Register sends a ProbeAck and returns the RegisterAck, both as package crm
// spells them.
func (c *MemberClient) Register(ctx context.Context, probeAck []byte) (registerAck []byte, err error) {
	err = c.post(ctx, PathRegister, jsonType, probeAck, &registerAck)
	return registerAck, err
}

// KeepAlive renews the lease.
func (c *MemberClient) KeepAlive(ctx context.Context, k KeepAlive) (KeepAliveResult, error) {
	var result KeepAliveResult
	err := c.postJSON(ctx, PathKeepAlive, k, &result)
	return result, err
}

// Leave says goodbye.
func (c *MemberClient) Leave(ctx context.Context, l Leave) error {
	return c.postJSON(ctx, PathLeave, l, nil)
}
