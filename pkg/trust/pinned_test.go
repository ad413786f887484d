package trust

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"testing"
	"time"
)

func coordinator() Request { return Request{Role: RoleCoordinator, Name: "main"} }

func TestPinnedClientAcceptsOnlyTheCoordinatorOfItsAuthority(t *testing.T) {
	lab := newFleet(t, "lab")
	twin, prod := newFleet(t, "lab"), newFleet(t, "prod") // a twin has the name only
	pin := Pinned{Fleet: "lab", Authority: lab.Fingerprint(), Now: noon}
	short := coordinator()
	short.TTL = time.Minute

	// A rogue shows our authority's certificate, which is public, behind its own.
	rogue := member(t, twin, coordinator(), noon).Server(nil, ClientOptional)
	rogue.GetConfigForClient = nil
	rogue.Certificates = []tls.Certificate{rogue.Certificates[0]}
	rogue.Certificates[0].Certificate = append(rogue.Certificates[0].Certificate[:1:1], lab.cert.Raw)
	for name, c := range map[string]struct {
		server *tls.Config
		pin    Pinned
		want   error
	}{
		"ours":                          {member(t, lab, coordinator(), noon).Server(nil, ClientOptional), pin, nil},
		"a collector of ours":           {member(t, lab, collector(), noon).Server(nil, ClientOptional), pin, ErrPin},
		"a worker of ours":              {member(t, lab, worker(), noon).Server(nil, ClientOptional), pin, ErrPin},
		"same name, own authority":      {member(t, twin, coordinator(), noon).Server(nil, ClientOptional), pin, ErrPin},
		"another fleet":                 {member(t, prod, coordinator(), noon).Server(nil, ClientOptional), pin, ErrPin},
		"our authority's leaf borrowed": {rogue, pin, ErrPin},
		"no pin at all":                 {member(t, lab, coordinator(), noon).Server(nil, ClientOptional), Pinned{Fleet: "lab", Now: noon}, ErrPin},
		"pin of another fleet's name":   {member(t, lab, coordinator(), noon).Server(nil, ClientOptional), Pinned{Fleet: "prod", Authority: lab.Fingerprint(), Now: noon}, ErrPin},
		"expired":                       {member(t, lab, short, noon).Server(nil, ClientOptional), Pinned{Fleet: "lab", Authority: lab.Fingerprint(), Now: in(time.Hour)}, ErrPin},
	} {
		_, _, clientErr, _ := meet(t, c.pin.Client(), c.server)
		if c.want == nil && clientErr != nil || !errors.Is(clientErr, c.want) {
			t.Errorf("%s: got %v, want %v", name, clientErr, c.want)
		}
	}
}

func TestPinnedBundle(t *testing.T) {
	lab, next := newFleet(t, "lab"), newFleet(t, "lab")
	pin := Pinned{Fleet: "lab", Authority: lab.Fingerprint(), Now: noon}
	both := append(append([]byte(nil), next.CertPEM()...), lab.CertPEM()...)
	if bundle, err := pin.Bundle(both); err != nil || len(bundle.Authorities) != 2 {
		t.Errorf("with its successor: got %v, %v; want both", bundle, err)
	}
	for name, pem := range map[string][]byte{"without ours": next.CertPEM(), "empty": nil, "of another fleet": newFleet(t, "prod").CertPEM()} {
		if _, err := pin.Bundle(pem); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestRefusedPeersFailTheHandshake(t *testing.T) {
	lab := newFleet(t, "lab")
	server, client := member(t, lab, collector(), noon), member(t, lab, worker(), noon)
	config := server.Server(nil, ClientOptional) // made before anybody is refused
	dial := func() (clientErr, serverErr error) {
		_, _, clientErr, serverErr = meet(t, client.Client(RoleCollector), config)
		return clientErr, serverErr
	}
	if clientErr, serverErr := dial(); clientErr != nil || serverErr != nil {
		t.Fatalf("before: %v, %v", clientErr, serverErr)
	}
	server.Refuse(refusing(RoleWorker))
	if _, serverErr := dial(); !errors.Is(serverErr, ErrRevoked) {
		t.Errorf("worker refused by the server: got %v, want ErrRevoked", serverErr)
	}
	server.Refuse(refusing(RoleOperator))
	if clientErr, serverErr := dial(); clientErr != nil || serverErr != nil {
		t.Errorf("another is refused: %v, %v", clientErr, serverErr)
	}
	server.Refuse(nil)
	client.Refuse(refusing(RoleCollector))
	if clientErr, _ := dial(); !errors.Is(clientErr, ErrRevoked) {
		t.Errorf("server refused by the client: got %v, want ErrRevoked", clientErr)
	}
}

func refusing(role Role) Refusal {
	return func(leaf *x509.Certificate, peer Identity) error {
		if peer.Role == role && leaf != nil {
			return fmt.Errorf("%w: %s", ErrRevoked, peer)
		}
		return nil
	}
}

func TestStatementsAreOfOneFleetAndDomain(t *testing.T) {
	lab := newFleet(t, "lab")
	said := lab.Statement("d", []byte("m"))
	if err := CheckStatement(lab.cert, "d", []byte("m"), said); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"another authority": CheckStatement(newFleet(t, "lab").cert, "d", []byte("m"), said),
		"another domain":    CheckStatement(lab.cert, "dm", nil, said),
		"another message":   CheckStatement(lab.cert, "d", []byte("n"), said),
		"cut off":           CheckStatement(lab.cert, "d", []byte("m"), said[:63]),
		"nothing":           CheckStatement(lab.cert, "d", []byte("m"), nil),
		"a leaf":            CheckStatement(leafOf(t, issue(t, lab, worker())), "d", []byte("m"), said),
	} {
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if lab.cert.CheckSignature(lab.cert.SignatureAlgorithm, statement("lab", "d", []byte("m")), said) != nil {
		t.Errorf("the statement's bytes are not those that were signed")
	}
	if statement("lab", "d", nil)[0] == 0x30 {
		t.Errorf("a statement begins like a certificate")
	}
}

func TestNewCAIsUsableInMemory(t *testing.T) {
	if _, err := NewCA("Lab", rand.Reader, noon()); err == nil {
		t.Errorf("bad name accepted")
	}
}
