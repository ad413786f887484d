package coordinator

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/audit"
	"github.com/cloudless-fleet/cloudless/pkg/crm"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/enrol"
	"github.com/cloudless-fleet/cloudless/pkg/trust/packet"
	"github.com/cloudless-fleet/cloudless/pkg/trust/token"
)

// machine is a host that wants to be a worker, or is one.
type machine struct {
	id       model.WorkerID
	boot     model.BootID
	hostname string
	Body     trust.Body
	key      ed25519.PrivateKey
	// Once it was let in.
	member      *trust.Credentials
	certificate string
}

func (h *hall) machine(n byte) *machine {
	h.t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		h.t.Fatal(err)
	}
	return &machine{id: id(n), boot: model.BootIDFrom([16]byte{n, 1}), hostname: "web", Body: trust.Body{n}, key: key}
}

// request is the machine's wish to be let in.
func (m *machine) request(t testing.TB, join *token.Token) *enrol.Request {
	t.Helper()
	r := &enrol.Request{Worker: m.id, Hostname: m.hostname, Body: m.Body}
	if err := r.Sign(m.key, join, rand.Reader, time.Now()); err != nil {
		t.Fatal(err)
	}
	return r
}

// token makes a join token by the unix socket.
func (h *hall) token(r api.TokenRequest) (token.Token, api.TokenCreated) {
	h.t.Helper()
	created, err := h.admin().CreateToken(h.t.Context(), r)
	if err != nil {
		h.t.Fatal(err)
	}
	made, err := token.Parse(created.Token)
	if err != nil {
		h.t.Fatal(err)
	}
	return made, created
}

// channel speaks with the coordinator with a TLS configuration.
func (h *hall) channel(config *tls.Config) *api.MemberClient {
	h.t.Helper()
	client, err := api.NewMemberClient("https://"+h.tcp, h.http2(config))
	if err != nil {
		h.t.Fatal(err)
	}
	return client
}

func (h *hall) http2(config *tls.Config) *http.Client {
	config = config.Clone()
	config.NextProtos = []string{"h2", "http/1.1"}
	transport := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}
	h.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 10 * time.Second}
}

// anonymous is the configuration of a host without a certificate.
func (h *hall) anonymous() *tls.Config {
	return h.home.Bundle().Client(trust.RoleCoordinator, time.Now)
}

// enrol asks once.
func (h *hall) enrol(m *machine, join *token.Token) api.Enrolment {
	h.t.Helper()
	config := h.anonymous()
	if join != nil { // it knows the fingerprint only
		config = trust.Pinned{Fleet: join.Fleet, Authority: join.Authority, Now: time.Now}.Client()
	}
	if m.member != nil {
		config = m.member.Client(trust.RoleCoordinator)
	}
	answer, err := h.channel(config).Enrol(h.t.Context(), m.request(h.t, join))
	if err != nil {
		h.t.Fatal(err)
	}
	if answer.Outcome == api.Admitted {
		m.member, m.certificate = credentialsOf(h.t, answer, m.key), answer.Certificate
	}
	return answer
}

// join lets a machine in by a token of its own.
func (h *hall) join(m *machine) {
	h.t.Helper()
	join, _ := h.token(api.TokenRequest{Labels: map[string]string{"rack": "7"}})
	if answer := h.enrol(m, &join); answer.Outcome != api.Admitted {
		h.t.Fatalf("not admitted: %+v", answer)
	}
}

func credentialsOf(t testing.TB, answer api.Enrolment, key ed25519.PrivateKey) *trust.Credentials {
	t.Helper()
	bundle, err := trust.ParseBundle([]byte(answer.Bundle))
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	issued := trust.Issued{Cert: []byte(answer.Certificate), Key: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})}
	c, err := trust.NewCredentials(bundle, issued, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// member issues a certificate past the desk.
func (h *hall) member(role trust.Role, name string) *trust.Credentials {
	h.t.Helper()
	issued, err := h.home.Issue(trust.Request{Role: role, Name: name, TTL: time.Hour}, rand.Reader, time.Now())
	if err != nil {
		h.t.Fatal(err)
	}
	c, err := trust.NewCredentials(h.home.Bundle(), issued, time.Now)
	if err != nil {
		h.t.Fatal(err)
	}
	return c
}

// worker speaks with the coordinator as a machine that was let in.
func (h *hall) worker(m *machine) *api.MemberClient {
	h.t.Helper()
	return h.channel(m.member.Client(trust.RoleCoordinator))
}

// as asks as a server or an operator.
func (h *hall) as(who *trust.Credentials) *api.ControlClient {
	h.t.Helper()
	client, err := api.NewControlClient("https://"+h.tcp, h.http2(who.Client(trust.RoleCoordinator)))
	if err != nil {
		h.t.Fatal(err)
	}
	return client
}

// adminAs administers over TCP.
func (h *hall) adminAs(who *trust.Credentials) *api.AdminClient {
	h.t.Helper()
	client, err := api.NewAdminClient("https://"+h.tcp, api.PrefixAdminCoordinator, h.http2(who.Client(trust.RoleCoordinator)))
	if err != nil {
		h.t.Fatal(err)
	}
	return client
}

func (h *hall) digest() string { return h.home.bundle().digest }

// session opens the machine's session.
func (h *hall) session(m *machine) *api.SessionStream {
	h.t.Helper()
	stream, err := h.worker(m).Session(h.t.Context(), api.Session{Boot: m.boot, Body: m.Body, Hostname: m.hostname, Bundle: h.digest(),
		Now: model.Millis(time.Now().UnixMilli())})
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { stream.Close() })
	return stream
}

// next is the next line of a session that is not a mere sign of life.
func next(t testing.TB, stream *api.SessionStream) api.Directive {
	t.Helper()
	for {
		d, err := stream.Next()
		if err != nil {
			t.Fatalf("session: %v", err)
		}
		d.Now = 0
		if d != (api.Directive{}) {
			return d
		}
	}
}

func (m *machine) alive(digest string) api.KeepAlive {
	return api.KeepAlive{Boot: m.boot, Body: m.Body, Bundle: digest, Now: model.Millis(time.Now().UnixMilli())}
}

// sealed is a ProbeAck that signer has sealed.
func sealed(t testing.TB, ack *crm.ProbeAck, signer *packet.Signer, at time.Time) []byte {
	t.Helper()
	raw, err := ack.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	seal, err := signer.Sign(packet.ProbeAck, raw, rand.Reader, at)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := crm.AttachSeal(raw, seal.String())
	if err != nil {
		t.Fatal(err)
	}
	return whole
}

func (h *hall) signer(worker model.WorkerID, key ed25519.PrivateKey) *packet.Signer {
	h.t.Helper()
	s, err := packet.NewWorker(h.home.Fleet(), h.home.Fingerprint(), worker, key)
	if err != nil {
		h.t.Fatal(err)
	}
	return s
}

// audited are the entries of the audit log with a word.
func (h *hall) audited(what string) (found []audit.Entry) {
	h.t.Helper()
	log, err := h.admin().Audit(h.t.Context(), time.Time{}, 1000)
	if err != nil {
		h.t.Fatal(err)
	}
	for _, e := range log.Entries {
		if e.What == what {
			found = append(found, e)
		}
	}
	return found
}
