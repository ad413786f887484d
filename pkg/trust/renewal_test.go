package trust

import (
	"crypto/rand"
	"crypto/x509"
	"errors"
	"testing"
	"time"
)

func TestRenewAtTwoThirdsOfTheLife(t *testing.T) {
	lab := newFleet(t, "lab")
	f := func(ttl, want time.Duration) {
		t.Helper()
		req := worker()
		req.TTL = ttl
		if got := RenewAt(leafOf(t, issue(t, lab, req))).Sub(noon()); got != want {
			t.Errorf("of %v: after %v, want %v", ttl, got, want)
		}
	}
	f(168*time.Hour, 112*time.Hour)
	f(3*time.Second, 2*time.Second) // shorter than the allowance for clocks
	foreign := &x509.Certificate{NotBefore: noon(), NotAfter: noon().Add(3 * time.Second)}
	if got := RenewAt(foreign); !got.Equal(noon().Add(2 * time.Second)) {
		t.Errorf("of another issuer: %v", got)
	}
}

func TestABundleIsEnoughToKnowAServer(t *testing.T) {
	lab, now := newFleet(t, "lab"), in(0)
	server := member(t, lab, collector(), now)
	bundle := Bundle{Fleet: "lab", Authorities: []*x509.Certificate{lab.cert}}
	dial := func(b Bundle, want Role, auth ClientAuth) error {
		_, _, clientErr, serverErr := meet(t, b.Client(want, now), server.Server(nil, auth))
		return errors.Join(clientErr, serverErr)
	}
	if err := dial(bundle, RoleCollector, ClientOptional); err != nil {
		t.Errorf("got %v, want a connection", err)
	}
	if err := dial(bundle, RoleCollector, ClientRequired); err == nil {
		t.Errorf("it passed for a member")
	}
	if err := dial(bundle, RoleCoordinator, ClientOptional); err == nil {
		t.Errorf("a collector passed for a coordinator")
	}
	rogue := newFleet(t, "lab")
	if err := dial(Bundle{Fleet: "lab", Authorities: []*x509.Certificate{rogue.cert}}, RoleCollector, ClientOptional); err == nil {
		t.Errorf("a server of another authority was taken")
	}
	if err := dial(Bundle{Fleet: "prod", Authorities: bundle.Authorities}, RoleCollector, ClientOptional); err == nil {
		t.Errorf("a server of another fleet was taken")
	}
}

func TestCollectorsShowTheirAuthorities(t *testing.T) {
	lab := newFleet(t, "lab")
	pinned := Pinned{Fleet: "lab", Authority: lab.Fingerprint(), Role: RoleCollector, Now: in(0)}
	server := member(t, lab, collector(), in(0))
	if _, _, clientErr, serverErr := meet(t, pinned.Client(), server.Server(nil, ClientOptional)); clientErr != nil || serverErr != nil {
		t.Errorf("got %v, %v; want a connection", clientErr, serverErr)
	}
	pinned.Authority = newFleet(t, "lab").Fingerprint()
	if _, _, clientErr, _ := meet(t, pinned.Client(), server.Server(nil, ClientOptional)); !errors.Is(clientErr, ErrPin) {
		t.Errorf("another authority is pinned: got %v, want ErrPin", clientErr)
	}
}

func TestCredentialsWithoutFiles(t *testing.T) {
	lab := newFleet(t, "lab")
	bundle := Bundle{Fleet: "lab", Authorities: []*x509.Certificate{lab.cert}}
	coordinator := Request{Role: RoleCoordinator, Name: "hq", TTL: time.Hour}
	c, err := NewCredentials(bundle, issue(t, lab, coordinator), in(0))
	if err != nil {
		t.Fatal(err)
	}
	config := c.Server(nil, ClientOptional)
	if _, _, clientErr, serverErr := meet(t, bundle.Client(RoleCoordinator, in(0)), config); clientErr != nil || serverErr != nil {
		t.Errorf("got %v, %v; want a connection", clientErr, serverErr)
	}
	next, err := NewCA("lab", rand.Reader, noon())
	if err != nil {
		t.Fatal(err)
	}
	both := Bundle{Fleet: "lab", Authorities: []*x509.Certificate{lab.cert, next.cert}}
	coordinator.TTL = 2 * time.Hour
	if err := c.Use(both, issue(t, next, coordinator)); err != nil || !c.NotAfter().Equal(noon().Add(2*time.Hour)) {
		t.Errorf("renewed: %v, until %v", err, c.NotAfter())
	}
	only := Bundle{Fleet: "lab", Authorities: []*x509.Certificate{next.cert}}
	if _, _, clientErr, _ := meet(t, only.Client(RoleCoordinator, in(0)), config); clientErr != nil {
		t.Errorf("the listener does not use the new certificate: %v", clientErr)
	}
	was := c.Leaf()
	for name, err := range map[string]error{
		"another identity":   c.Use(both, issue(t, lab, Request{Role: RoleCoordinator, Name: "other"})),
		"another authority":  c.Use(only, issue(t, lab, coordinator)),
		"another fleet":      c.Use(both, issue(t, newFleet(t, "prod"), coordinator)),
		"nothing":            c.Use(both, Issued{}),
		"a key of its own":   c.Use(both, Issued{Cert: issue(t, lab, coordinator).Cert, Key: issue(t, lab, coordinator).Key}),
		"a bundle of nobody": c.Use(Bundle{Fleet: "lab"}, issue(t, lab, coordinator)),
	} {
		if err == nil {
			t.Errorf("%s: used", name)
		}
	}
	if !c.Leaf().Equal(was) {
		t.Errorf("a refused certificate has replaced the good one")
	}
}
