package trust

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/url"
	"os"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/trust/disk"
)

// meet lets client and server shake hands and exchange a byte each way, since
// in TLS 1.3 a client learns of its rejection only when it reads.
func meet(t *testing.T, client, server *tls.Config) (atClient, atServer tls.ConnectionState, clientErr, serverErr error) {
	near, far := wire(t)
	served := make(chan struct{})
	go func() {
		defer close(served)
		conn := tls.Server(far, server)
		serverErr = talk(conn)
		atServer = conn.ConnectionState()
		far.Close()
	}()
	conn := tls.Client(near, client)
	clientErr = talk(conn)
	atClient = conn.ConnectionState()
	near.Close()
	<-served
	return
}

// wire returns both ends of a TCP connection. A pipe without buffers would not
// do: a client that rejects its server writes while the server still writes.
func wire(t *testing.T) (near, far net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if near, err = net.Dial("tcp", listener.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if far, err = listener.Accept(); err != nil {
		t.Fatal(err)
	}
	return near, far
}

func talk(conn *tls.Conn) error {
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	if err := conn.Handshake(); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() {
		_, err := conn.Write([]byte{1})
		done <- err
	}()
	_, err := io.ReadFull(conn, make([]byte, 1))
	if err != nil {
		conn.NetConn().Close()
	}
	return errors.Join(err, <-done)
}

func TestMembersOfOneFleetMeet(t *testing.T) {
	lab := newFleet(t, "lab")
	server, client := member(t, lab, collector(), noon), member(t, lab, worker(), noon)
	atClient, atServer, clientErr, serverErr := meet(t, client.Client(RoleCollector, "x/1"), server.Server([]string{"x/1"}, ClientRequired))
	if clientErr != nil || serverErr != nil {
		t.Fatalf("client: %v, server: %v", clientErr, serverErr)
	}
	if peer, err := PeerIdentity(atServer); err != nil || peer != client.Identity() {
		t.Errorf("server sees %v, %v; want %v", peer, err, client.Identity())
	}
	if peer, err := PeerIdentity(atClient); err != nil || peer != server.Identity() {
		t.Errorf("client sees %v, %v; want %v", peer, err, server.Identity())
	}
	if atServer.Version != tls.VersionTLS13 || atServer.NegotiatedProtocol != "x/1" {
		t.Errorf("version %x, protocol %q; want TLS 1.3 and x/1", atServer.Version, atServer.NegotiatedProtocol)
	}
}

func TestClientWithoutCertificateWhereItIsOptional(t *testing.T) {
	lab := newFleet(t, "lab")
	server := member(t, lab, collector(), noon)
	browser := &tls.Config{RootCAs: poolOf([]*x509.Certificate{lab.cert}), ServerName: "collectord.lab.cloudless.internal", Time: noon}
	_, atServer, clientErr, serverErr := meet(t, browser, server.Server(nil, ClientOptional))
	if clientErr != nil || serverErr != nil {
		t.Fatalf("optional: client %v, server %v", clientErr, serverErr)
	}
	if peer, err := PeerIdentity(atServer); !errors.Is(err, ErrNoCertificate) {
		t.Errorf("optional: server sees %v, %v; want ErrNoCertificate", peer, err)
	}
	if _, _, clientErr, serverErr := meet(t, browser, server.Server(nil, ClientRequired)); clientErr == nil || serverErr == nil {
		t.Errorf("required: client %v, server %v; want errors", clientErr, serverErr)
	}
}

func TestClientAcceptsOnlyItsServer(t *testing.T) {
	lab := newFleet(t, "lab")
	client := member(t, lab, worker(), noon).Client(RoleCollector)
	for name, server := range map[string]*Credentials{
		"another role":           member(t, lab, Request{Role: RoleCoordinator, Name: "m"}, noon),
		"a worker":               member(t, lab, worker(), noon),
		"an operator":            member(t, lab, Request{Role: RoleOperator, Name: "a"}, noon),
		"another fleet":          member(t, newFleet(t, "prod"), collector(), noon),
		"another fleet, renamed": member(t, newFleet(t, "lab"), collector(), noon),
	} {
		// Even a server that asks for nothing and accepts everything.
		config := &tls.Config{Certificates: []tls.Certificate{server.current.Load().leaf}, ClientAuth: tls.RequireAnyClientCert}
		if _, _, clientErr, _ := meet(t, client, config); clientErr == nil {
			t.Errorf("%s: accepted as collectord", name)
		}
	}
}

func TestServerRefusesForeignAndInvalidClients(t *testing.T) {
	lab := newFleet(t, "lab")
	server := member(t, lab, collector(), noon)
	ofLab := member(t, lab, worker(), noon)
	short := worker()
	short.TTL = time.Minute
	expired := member(t, lab, short, noon)

	forged := func(uris ...string) *tls.Config {
		config := ofLab.Client(RoleCollector)
		config.Certificates = []tls.Certificate{signLeaf(t, lab, uris...)}
		return config
	}
	of := func(c *Credentials) *tls.Config {
		config := ofLab.Client(RoleCollector)
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &c.current.Load().leaf, nil // sent even if the server does not know its authority
		}
		return config
	}
	old := ofLab.Client(RoleCollector)
	old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	for name, client := range map[string]*tls.Config{
		"another fleet":             of(member(t, newFleet(t, "prod"), worker(), noon)),
		"another fleet of our name": of(member(t, newFleet(t, "lab"), worker(), noon)),
		"no identity":               forged(),
		"two identities":            forged("cloudless://lab/worker/"+someWorker, "cloudless://lab/operator/a"),
		"identity of another fleet": forged("cloudless://prod/worker/" + someWorker),
		"malformed identity":        forged("cloudless://lab/worker/me"),
		"TLS 1.2":                   old,
	} {
		for _, mode := range []ClientAuth{ClientRequired, ClientOptional} {
			_, _, clientErr, serverErr := meet(t, client, server.Server(nil, mode))
			if serverErr == nil || clientErr == nil {
				t.Errorf("%s, mode %v: accepted (server %v, client %v)", name, mode, serverErr, clientErr)
			}
		}
	}

	late := &Credentials{now: in(time.Hour)} // the same server an hour later
	late.current.Store(server.current.Load())
	if _, _, _, serverErr := meet(t, expired.Client(RoleCollector), late.Server(nil, ClientOptional)); serverErr == nil {
		t.Errorf("expired certificate: accepted")
	}
}

// signLeaf misuses the authority's key for certificates that Sign refuses.
func signLeaf(t *testing.T, ca *CA, uris ...string) tls.Certificate {
	t.Helper()
	issued := issue(t, ca, worker())
	template := leafOf(t, issued)
	template.URIs = nil
	for _, text := range uris {
		uri, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		template.URIs = append(template.URIs, uri)
	}
	pair, err := tls.X509KeyPair(issued.Cert, issued.Key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, template.PublicKey, ca.key)
	if err != nil {
		t.Fatal(err)
	}
	pair.Certificate, pair.Leaf = [][]byte{der}, nil
	return pair
}

func TestPeerIdentityNeverTrustsAnUnverifiedCertificate(t *testing.T) {
	leaf := leafOf(t, issue(t, newFleet(t, "lab"), worker()))
	state := tls.ConnectionState{HandshakeComplete: true, PeerCertificates: []*x509.Certificate{leaf}}
	if peer, err := PeerIdentity(state); !errors.Is(err, ErrNoCertificate) {
		t.Errorf("certificate without a verified chain: got %v, %v; want ErrNoCertificate", peer, err)
	}
	state.VerifiedChains = [][]*x509.Certificate{{leaf}}
	state.HandshakeComplete = false
	if peer, err := PeerIdentity(state); err == nil {
		t.Errorf("during the handshake: got %v, want an error", peer)
	}
}

func TestSessionsAreNeverResumed(t *testing.T) {
	lab := newFleet(t, "lab")
	server := member(t, lab, collector(), noon).Server(nil, ClientRequired)
	client := member(t, lab, worker(), noon).Client(RoleCollector)
	client.ClientSessionCache = tls.NewLRUClientSessionCache(4) // a client that would like to
	for range 3 {
		_, atServer, clientErr, serverErr := meet(t, client, server)
		if clientErr != nil || serverErr != nil || atServer.DidResume {
			t.Errorf("resumed %v (client %v, server %v); want a full handshake", atServer.DidResume, clientErr, serverErr)
		}
	}
}

func TestServerConfigFollowsReload(t *testing.T) {
	old, fresh := newFleet(t, "lab"), newFleet(t, "lab")
	files := store(t, issue(t, old, collector()))
	server, err := Load(files, noon)
	if err != nil {
		t.Fatal(err)
	}
	config := server.Server(nil, ClientRequired) // made once, before the roll-over
	moved := member(t, fresh, worker(), noon)

	both := append(append([]byte(nil), old.CertPEM()...), fresh.CertPEM()...)
	if err := os.WriteFile(files.CA, both, disk.Public); err != nil {
		t.Fatal(err)
	}
	issued := issue(t, fresh, collector())
	if err := os.WriteFile(files.Key, issued.Key, disk.Private); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(files.Cert, issued.Cert, disk.Public); err != nil {
		t.Fatal(err)
	}
	if _, _, clientErr, serverErr := meet(t, moved.Client(RoleCollector), config); clientErr == nil || serverErr == nil {
		t.Errorf("before the reload: client %v, server %v; want errors", clientErr, serverErr)
	}
	if err := server.Reload(); err != nil {
		t.Fatal(err)
	}
	if _, _, clientErr, serverErr := meet(t, moved.Client(RoleCollector), config); clientErr != nil || serverErr != nil {
		t.Errorf("after the reload, authority new on both sides: client %v, server %v", clientErr, serverErr)
	}
	bundle := member(t, old, worker(), noon)
	if err := os.WriteFile(bundle.current.Load().files.CA, both, disk.Public); err != nil {
		t.Fatal(err)
	}
	if err := bundle.Reload(); err != nil {
		t.Fatal(err)
	}
	if _, _, clientErr, serverErr := meet(t, bundle.Client(RoleCollector), config); clientErr != nil || serverErr != nil {
		t.Errorf("certificate of the old authority during the overlap: client %v, server %v", clientErr, serverErr)
	}
}
