package collector

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

func newKeyPEM() (public ed25519.PublicKey, private []byte, err error) {
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	private, err = trust.EncodeKey(key)
	return public, private, err
}

func requestFor(t *testing.T, name string) api.IssueRequest {
	t.Helper()
	public, _, err := newKeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return api.IssueRequest{Role: trust.RoleCollector, Name: name, PublicKey: der}
}

// opened is a renewal with a certificate that was issued.
func opened(t *testing.T, b *bureau) (*renewal, *atomic.Int32) {
	t.Helper()
	c := keeperIn(t.TempDir(), b)
	if err := c.open(t.Context(), never(t)); err != nil {
		t.Fatal(err)
	}
	changes := &atomic.Int32{}
	return newRenewal(c, func(context.Context) (api.Enrolment, error) { return b.again(c) }, func() { changes.Add(1) }), changes
}

func TestACertificateIsRenewedAtTwoThirdsOfItsLife(t *testing.T) {
	b := newBureau(t, "lab")
	b.ttl = 3 * time.Second
	r, changes := opened(t, b)
	before := r.credentials.Leaf()
	if due := r.due(); due < time.Second || due > 2*time.Second {
		t.Errorf("due in %v, want two thirds of three seconds", due)
	}
	b.ttl = time.Hour
	background(t, r.run)
	eventually(t, "the renewal", func() bool { return changes.Load() == 1 })
	after := r.credentials.Leaf()
	if after.Equal(before) || !after.NotAfter.After(before.NotAfter) || !after.PublicKey.(ed25519.PublicKey).Equal(before.PublicKey) {
		t.Errorf("the certificate until %v was followed by one until %v", before.NotAfter, after.NotAfter)
	}
	if got := r.stats(); got != (certificateStats{Renewals: 1}) {
		t.Errorf("stats %+v", got)
	}
	r.soon() // the coordinator asks for it
	eventually(t, "another one", func() bool { return changes.Load() == 2 })
}

func TestWhenTheControlChannelDoesNotRenew(t *testing.T) {
	b := newBureau(t, "lab")
	r, changes := opened(t, b)
	r.ask = func(context.Context) (api.Enrolment, error) {
		return api.Enrolment{}, errors.New("expired certificate")
	}
	before := r.credentials.Leaf()
	if err := r.renew(t.Context()); err != nil || r.credentials.Leaf().Equal(before) || changes.Load() != 1 {
		t.Errorf("through the socket: %v", err)
	}
	b.trouble = errors.New("no")
	before = r.credentials.Leaf()
	if err := r.renew(t.Context()); err == nil || !r.credentials.Leaf().Equal(before) {
		t.Errorf("neither way: got %v, want an error and the certificate as it was", err)
	}
	if got := r.stats(); got != (certificateStats{Renewals: 1, Failures: 1}) {
		t.Errorf("stats %+v", got)
	}
	r.office = nil
	if err := r.renew(t.Context()); err == nil {
		t.Errorf("without a coordinator on this host: renewed")
	}
}

func TestARollOverOfTheAuthority(t *testing.T) {
	b := newBureau(t, "lab")
	r, changes := opened(t, b)
	successor := newBureau(t, "lab")
	both := string(b.bundle) + string(successor.bundle)
	if err := r.adopt(both); err != nil || changes.Load() != 1 || len(r.credentials.Bundle().Authorities) != 2 {
		t.Fatalf("both authorities: %v, %d changes", err, changes.Load())
	}
	if err := r.adopt(both); err != nil || changes.Load() != 1 {
		t.Errorf("the same again: %v, %d changes", err, changes.Load())
	}
	if err := r.adopt(string(newBureau(t, "lab").bundle)); !errors.Is(err, trust.ErrUnrelatedBundle) {
		t.Errorf("strangers: got %v", err)
	}
	b.mu.Lock()
	b.ca, b.bundle = successor.ca, []byte(both)
	b.mu.Unlock()
	if err := r.renew(t.Context()); err != nil {
		t.Fatalf("renewed by the successor: %v", err)
	}
	if err := r.adopt(string(successor.bundle)); err != nil || len(r.credentials.Bundle().Authorities) != 1 {
		t.Errorf("the former one dropped: %v", err)
	}
}
