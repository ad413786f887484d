package member

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/api/middleware"
	"github.com/cloudless-fleet/cloudless/pkg/api/reply"
	"github.com/cloudless-fleet/cloudless/pkg/crm"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/enrol"
	"github.com/cloudless-fleet/cloudless/pkg/trust/trusttest"
)

// office is a Fleet that notes who called what.
type office struct {
	mu      sync.Mutex
	calls   []string
	peer    Peer
	err     error
	session func(ctx context.Context, send func(api.Directive) error) error
}

func (o *office) note(call string, peer Peer) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.calls = append(o.calls, call)
	o.peer = peer
}

func (o *office) Enrol(_ context.Context, r *enrol.Request, peer Peer) api.Enrolment {
	o.note("enrol "+r.Hostname, peer)
	return api.Enrolment{Outcome: api.Pending, Code: "bamod-lusit-nopaz-tigol", RetryAfter: 5000}
}

func (o *office) Renewal(_ context.Context, r *enrol.Renewal, peer Peer) api.Enrolment {
	o.note("renewal "+r.Hostname, peer)
	return api.Enrolment{Outcome: api.Refused, Reason: "revoked"}
}

func (o *office) Renew(_ context.Context, peer Peer) api.Enrolment {
	o.note("renew", peer)
	return api.Enrolment{Outcome: api.Admitted, Certificate: "c"}
}

func (o *office) Register(_ context.Context, peer Peer, ack *crm.ProbeAck) (*crm.RegisterAck, error) {
	o.note("register", peer)
	return &crm.RegisterAck{ID: ack.ID, Info: crm.RegisterInfo{Status: true, Message: "welcome"}, Ext: &crm.RegisterAckExt{WorkerID: ack.Ext.WorkerID}}, o.err
}

func (o *office) KeepAlive(_ context.Context, peer Peer, _ api.KeepAlive) (api.KeepAliveResult, error) {
	o.note("keepalive", peer)
	return api.KeepAliveResult{Renewed: true}, o.err
}

func (o *office) Session(ctx context.Context, peer Peer, _ api.Session, send func(api.Directive) error) error {
	o.note("session", peer)
	return o.session(ctx, send)
}

func (o *office) Leave(_ context.Context, peer Peer, _ api.Leave) error {
	o.note("leave", peer)
	return o.err
}

func id(n byte) model.WorkerID { return model.WorkerIDFrom([16]byte{n}) }
func boot(n byte) model.BootID { return model.BootIDFrom([16]byte{n}) }
func session(n byte) api.Session {
	return api.Session{Boot: boot(n), Body: trust.Body{n}, Hostname: "web1"}
}
func quiet() *slog.Logger      { return slog.New(slog.DiscardHandler) }
func stack() *middleware.Stack { return middleware.New(middleware.DefaultConfig(), quiet(), time.Now) }
func keepAlive() api.KeepAlive { return api.KeepAlive{Boot: boot(1), Body: trust.Body{1}} }

// coordinator is a server with real TLS around an office.
type coordinator struct {
	t     *testing.T
	fleet *trusttest.Fleet
	url   string
	*office
	handlers *Handlers
}

func start(t *testing.T, refuse trust.Refusal, now func() time.Time) *coordinator {
	t.Helper()
	c := &coordinator{t: t, fleet: trusttest.New(t, "lab"), office: &office{}}
	c.handlers = New(c.office, Config{MaxSessions: 100}, Deps{Logger: quiet(), Now: now, Refuse: refuse})
	mux := http.NewServeMux()
	c.handlers.Register(mux, stack().Wrap)
	server := &http.Server{Handler: mux, ErrorLog: slog.NewLogLogger(quiet().Handler(), slog.LevelDebug)}
	middleware.DefaultConfig().Apply(server)
	listener, err := tls.Listen("tcp", "127.0.0.1:0",
		c.fleet.Member(trust.RoleCoordinator, "monitor").Server([]string{"h2", "http/1.1"}, trust.ClientOptional))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- middleware.Serve(ctx, server, listener) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	c.url = "https://" + listener.Addr().String()
	return c
}

// as returns the HTTP client of somebody; nil is nobody in particular.
func (c *coordinator) as(member *trust.Credentials, h2 bool) *http.Client {
	config := trust.Pinned{Fleet: "lab", Authority: c.fleet.CA().Fingerprint(), Now: time.Now}.Client("http/1.1")
	if member != nil {
		config = member.Client(trust.RoleCoordinator)
	}
	transport := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: h2}
	if h2 {
		config.NextProtos = []string{"h2"}
	} else {
		config.NextProtos = []string{"http/1.1"}
		transport.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
	}
	c.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: time.Minute}
}

func (c *coordinator) worker(n byte) *trust.Credentials {
	return c.fleet.Member(trust.RoleWorker, id(n).String())
}

func (c *coordinator) client(h *http.Client) *api.MemberClient {
	c.t.Helper()
	client, err := api.NewMemberClient(c.url, h)
	if err != nil {
		c.t.Fatal(err)
	}
	return client
}

func request(t *testing.T) *enrol.Request {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	r := &enrol.Request{Worker: id(1), Hostname: "web1", Body: trust.Body{1}}
	if err := r.Sign(key, nil, rand.Reader, time.Now()); err != nil {
		t.Fatal(err)
	}
	return r
}

func renewal(t *testing.T, ca trust.Fingerprint) *enrol.Renewal {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	r := &enrol.Renewal{Worker: id(1), Authority: ca, Hostname: "web1", Body: trust.Body{1}}
	if err := r.Sign(key, rand.Reader, time.Now()); err != nil {
		t.Fatal(err)
	}
	return r
}

func ackOf(t *testing.T, worker model.WorkerID) []byte {
	t.Helper()
	ack := &crm.ProbeAck{ID: "0c6f", Info: model.HostInfo{Hostname: "web1", Type: model.HostWorker, Addr: netip.MustParseAddr("192.0.2.3"),
		Ports: []model.PortInfo{{Daemon: model.DaemonWorker, Port: 10300}}}}
	if !worker.IsZero() {
		ack.Ext = &crm.ProbeAckExt{WorkerID: worker, KeepAlive: 30 * time.Second}
	}
	packet, err := ack.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	return packet
}

func TestAnybodyMayAskToBeLetIn(t *testing.T) {
	c := start(t, nil, time.Now)
	for _, h2 := range []bool{true, false} {
		client := c.client(c.as(nil, h2))
		if e, err := client.Enrol(t.Context(), request(t)); err != nil || e.Outcome != api.Pending || e.Code == "" {
			t.Errorf("enrol: got %+v, %v", e, err)
		}
		if c.peer.HasCertificate || !c.peer.Addr.IsLoopback() {
			t.Errorf("peer: got %+v", c.peer)
		}
		if e, err := client.Renewal(t.Context(), renewal(t, c.fleet.CA().Fingerprint())); err != nil || e.Reason != "revoked" {
			t.Errorf("renewal: got %+v, %v", e, err)
		}
	}
	// A worker with a new identity asks with its former one.
	if _, err := c.client(c.as(c.worker(9), true)).Enrol(t.Context(), request(t)); err != nil || c.peer.Worker() != id(9) {
		t.Errorf("former: got %+v, %v", c.peer, err)
	}
}

func TestAWorkerSpeaksForItself(t *testing.T) {
	c := start(t, nil, time.Now)
	client := c.client(c.as(c.worker(1), true))
	if e, err := client.Renew(t.Context()); err != nil || e.Outcome != api.Admitted || c.peer.Worker() != id(1) || c.peer.Leaf == nil {
		t.Errorf("renew: got %+v, %v by %+v", e, err, c.peer)
	}
	answer, err := client.Register(t.Context(), ackOf(t, id(1)))
	if err != nil {
		t.Fatal(err)
	}
	if ack, err := crm.Parse(answer); err != nil || !ack.(*crm.RegisterAck).Info.Status {
		t.Errorf("register: got %s, %v", answer, err)
	}
	if result, err := client.KeepAlive(t.Context(), keepAlive()); err != nil || !result.Renewed || result.Now == 0 {
		t.Errorf("keep-alive: got %+v, %v", result, err)
	}
	if err := client.Leave(t.Context(), api.Leave{Boot: boot(1)}); err != nil {
		t.Error(err)
	}
}

// status of the refusal that err is.
func refusal(t *testing.T, what string, err error, status int, want string) {
	t.Helper()
	refused := (*api.Error)(nil)
	if !errors.As(err, &refused) || refused.Status != status || !strings.Contains(refused.Text, want) {
		t.Errorf("%s: got %v, want %d with %q", what, err, status, want)
	}
}

func TestNobodySpeaksForAnother(t *testing.T) {
	c := start(t, nil, time.Now)
	_, err := c.client(c.as(c.worker(1), true)).Register(t.Context(), ackOf(t, id(2)))
	refusal(t, "worker 1 for worker 2", err, 403, "may not register worker "+id(2).String())

	for what, h := range map[string]*http.Client{
		"operator":    c.as(c.fleet.Member(trust.RoleOperator, "bob"), true),
		"collectord":  c.as(c.fleet.Member(trust.RoleCollector, "monitor"), true),
		"coordinator": c.as(c.fleet.Member(trust.RoleCoordinator, "monitor"), true),
	} {
		client := c.client(h)
		_, err = client.Register(t.Context(), ackOf(t, id(1)))
		refusal(t, what, err, 403, "it is for workers")
		_, err = client.KeepAlive(t.Context(), keepAlive())
		refusal(t, what, err, 403, "it is for workers")
		_, err = client.Session(t.Context(), session(1))
		refusal(t, what, err, 403, "it is for workers")
		refusal(t, what, client.Leave(t.Context(), api.Leave{Boot: boot(1)}), 403, "it is for workers")
	}
	nobody := c.client(c.as(nil, true))
	_, err = nobody.Register(t.Context(), ackOf(t, id(1)))
	refusal(t, "nobody", err, 401, "certificate")
	_, err = nobody.Renew(t.Context())
	refusal(t, "nobody", err, 401, "certificate")
	_, err = nobody.Session(t.Context(), session(1))
	refusal(t, "nobody", err, 401, "certificate")
	if len(c.calls) != 0 {
		t.Errorf("reached the fleet: %q", c.calls)
	}
	// Servers renew their certificates by the same route.
	if _, err := c.client(c.as(c.fleet.Member(trust.RoleCollector, "monitor"), true)).Renew(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestAConnectionIsJudgedAtEveryRequest(t *testing.T) {
	var mu sync.Mutex
	revoked, late := false, time.Duration(0)
	set := func(f func()) {
		mu.Lock()
		defer mu.Unlock()
		f()
	}
	c := start(t, func(*x509.Certificate, trust.Identity) error {
		mu.Lock()
		defer mu.Unlock()
		if revoked {
			return trust.ErrRevoked
		}
		return nil
	}, func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return time.Now().Add(late)
	})
	client := c.client(c.as(c.worker(1), true))
	if _, err := client.KeepAlive(t.Context(), keepAlive()); err != nil {
		t.Fatal(err)
	}
	set(func() { revoked = true })
	_, err := client.KeepAlive(t.Context(), keepAlive())
	refusal(t, "revoked", err, 403, trust.ErrRevoked.Error())
	_, err = client.Enrol(t.Context(), request(t))
	refusal(t, "revoked, a new identity", err, 403, trust.ErrRevoked.Error())
	set(func() { revoked, late = false, 2*trust.DefaultTTL })
	_, err = client.KeepAlive(t.Context(), keepAlive())
	refusal(t, "expired", err, 403, trust.ErrExpired.Error())
}

func TestBodiesThatAreRefused(t *testing.T) {
	c := start(t, nil, time.Now)
	h := c.as(c.worker(1), true)
	f := func(path, body string, status int, want string) {
		t.Helper()
		response, err := h.Post(c.url+path, "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		if response.StatusCode != status || !strings.Contains(string(text), want) {
			t.Errorf("%s %.80s: got %d %s, want %d with %q", path, body, response.StatusCode, text, status, want)
		}
	}
	process := `"boot":"` + boot(1).String() + `","body":"` + trust.Body{1}.String() + `"`
	f(api.PathEnrol, "", 400, "malformed")
	f(api.PathEnrol, `{"version":1}`, 400, "malformed")
	f(api.PathEnrol, strings.Repeat(" ", enrol.MaxBytes+1), 413, "longer than")
	f(api.PathRenewal, "{}", 400, "malformed")
	f(api.PathRenewal, strings.Repeat(" ", enrol.MaxBytes+1), 413, "longer than")
	f(api.PathRenew, "{}", 400, "empty")
	f(api.PathRegister, "{}", 400, "register")
	f(api.PathRegister, string(ackOf(t, model.WorkerID{})), 400, "names no worker")
	f(api.PathRegister, strings.Repeat(" ", crm.MaxPacket+1), 413, "longer than")
	f(api.PathKeepAlive, "{}", 400, "boot")
	f(api.PathKeepAlive, `{"boot":"`+boot(1).String()+`"}`, 400, "want body")
	f(api.PathKeepAlive, `{`+process+`,"bundle":"x"}`, 400, "bundle")
	f(api.PathKeepAlive, `{`+process+`,"for":"`+id(2).String()+`"}`, 400, "not known here")
	f(api.PathKeepAlive, `{`+process+`}{}`, 400, "behind")
	f(api.PathKeepAlive, strings.Repeat(" ", maxSmall+1), 413, "longer than")
	f(api.PathLeave, "{}", 400, "boot")
	f(api.PathSession, "{}", 400, "boot")
	f(api.PathSession, `{`+process+`,"hostname":"a\nb"}`, 400, "hostname")
	f(api.PathSession, `{`+process+`,"version":"`+strings.Repeat("9", 65)+`"}`, 400, "version")
	if len(c.calls) != 0 {
		t.Errorf("reached the fleet: %q", c.calls)
	}
}

func TestErrorsOfTheFleetAreAnsweredByTheirKind(t *testing.T) {
	c := start(t, nil, time.Now)
	client := c.client(c.as(c.worker(1), true))
	c.err = reply.Because(reply.ErrNotFound, "no lease")
	_, err := client.KeepAlive(t.Context(), keepAlive())
	refusal(t, "keep-alive", err, 404, "no lease")
	refusal(t, "leave", client.Leave(t.Context(), api.Leave{Boot: boot(1)}), 404, "no lease")
	_, err = client.Register(t.Context(), ackOf(t, id(1)))
	refusal(t, "register", err, 404, "no lease")
}

func TestNothingIsServedWithoutTLS(t *testing.T) {
	mux := http.NewServeMux()
	o := &office{}
	New(o, Config{MaxSessions: 100}, Deps{Logger: quiet(), Now: time.Now}).Register(mux, func(_ string, next http.Handler) http.Handler { return next })
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: mux}
	go func() { _ = server.Serve(listener) }()
	defer server.Close()
	client, err := api.NewMemberClient("http://"+listener.Addr().String(), &http.Client{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.Enrol(t.Context(), request(t))
	refusal(t, "in clear", err, 403, "only over TLS")
	if len(o.calls) != 0 {
		t.Errorf("reached the fleet: %q", o.calls)
	}
}
