package coordinator

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

func publicKey(t *testing.T) (der []byte, key ed25519.PrivateKey) {
	t.Helper()
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if der, err = x509.MarshalPKIXPublicKey(public); err != nil {
		t.Fatal(err)
	}
	return der, key
}

func browserKey(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// What each kind of caller may administer, over TCP.
func TestWhoMayAdminister(t *testing.T) {
	h := start(t)
	der, _ := publicKey(t)
	f := func(who string, client *api.AdminClient, token, issueOwn, issueOther, issueOperator, secret, web, reset int) {
		t.Helper()
		_, errToken := client.CreateToken(t.Context(), api.TokenRequest{})
		_, errOwn := client.Issue(t.Context(), api.IssueRequest{Role: trust.RoleCollector, Name: "hq", PublicKey: der})
		_, errOther := client.Issue(t.Context(), api.IssueRequest{Role: trust.RoleCollector, Name: "other", PublicKey: der})
		_, errOperator := client.Issue(t.Context(), api.IssueRequest{Role: trust.RoleOperator, Name: "eve", PublicKey: der})
		_, errSecret := client.CheckSecret(t.Context(), "x")
		_, errWeb := client.Web(t.Context(), api.WebRequest{PublicKey: browserKey(t), Hosts: []string{"monitor.example.com"}})
		errReset := client.ResetSecret(t.Context())
		got := [...]int{status(errToken), status(errOwn), status(errOther), status(errOperator), status(errSecret), status(errWeb), status(errReset)}
		if want := [...]int{token, issueOwn, issueOther, issueOperator, secret, web, reset}; got != want {
			t.Errorf("%s: token, own certificate, another's, an operator's, secret, web, reset: got %v, want %v", who, got, want)
		}
	}
	hq := h.adminAs(h.member(trust.RoleCollector, "hq"))
	f("root by the socket", h.admin(), 200, 200, 200, 200, 200, 200, 200)
	f("operator", h.adminAs(h.member(trust.RoleOperator, "me")), 200, 200, 200, 200, 200, 403, 403)
	f("collectord for itself", hq, 403, 200, 403, 403, 200, 200, 403)
	f("collectord for a person", hq.As("user alice from 192.0.2.7"), 200, 200, 200, 200, 200, 403, 403)
	f("worker", h.adminAs(h.member(trust.RoleWorker, id(1).String())), 403, 403, 403, 403, 403, 403, 403)
	f("worker for a person", h.adminAs(h.member(trust.RoleWorker, id(1).String())).As("user alice from 192.0.2.7"), 403, 403, 403, 403, 403, 403, 403)
	f("another coordinator", h.adminAs(h.member(trust.RoleCoordinator, "hq")), 403, 403, 403, 403, 403, 403, 403)

	var who []string
	for _, e := range h.audited("token.create") {
		who = append(who, e.Who+" from "+e.From)
	}
	want := []string{"operator me from 127.0.0.1", "user alice from 192.0.2.7 by collectord hq"}
	if len(who) != 3 || !strings.HasSuffix(who[0], " from unix socket") || who[1] != want[0] || who[2] != want[1] {
		t.Errorf("audit log: %q", who)
	}
}

func TestACollectorGetsItsCertificateAndRenewsIt(t *testing.T) {
	h := start(t)
	der, key := publicKey(t)
	answer, err := h.admin().Issue(t.Context(), api.IssueRequest{Role: trust.RoleCollector, Name: "monitor-1", PublicKey: der, Hosts: []string{"monitor.example.com", "192.0.2.7"}})
	if err != nil || answer.Outcome != api.Admitted || answer.Fleet != h.home.Fleet() {
		t.Fatalf("got %+v, %v", answer, err)
	}
	own := credentialsOf(t, answer, key)
	if left := time.Until(own.NotAfter()); left < 6*24*time.Hour || left > 8*24*time.Hour {
		t.Errorf("it lasts %v, want a week", left)
	}
	renewed, err := h.channel(own.Client(trust.RoleCoordinator)).Renew(t.Context())
	if err != nil || renewed.Outcome != api.Admitted {
		t.Fatalf("renewed: %+v, %v", renewed, err)
	}
	again := credentialsOf(t, renewed, key)
	if again.Identity() != own.Identity() || again.Leaf().VerifyHostname("monitor.example.com") != nil || again.Leaf().VerifyHostname("192.0.2.7") != nil {
		t.Errorf("renewed for %v, names %v", again.Identity(), again.Leaf().DNSNames)
	}
	if e := h.audited("issue"); len(e) != 2 || e[1].Who != "collectord monitor-1" || e[1].Detail != "renewed" {
		t.Errorf("audit log: %+v", e)
	}
	operator := h.member(trust.RoleOperator, "me")
	if _, err := h.channel(operator.Client(trust.RoleCoordinator)).Renew(t.Context()); status(err) != http.StatusForbidden {
		t.Errorf("an operator renews: %v", err)
	}
}

func TestTheAdminSecret(t *testing.T) {
	h := start(t)
	path := filepath.Join(h.cfg.StateDirectory, "fleet", "admin.secret")
	read := func() string {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(text))
	}
	hq := h.adminAs(h.member(trust.RoleCollector, "hq"))
	f := func(secret string, want bool) {
		t.Helper()
		if ok, err := hq.CheckSecret(t.Context(), secret); err != nil || ok != want {
			t.Errorf("got %v, %v; want %v", ok, err, want)
		}
	}
	first := read()
	f(first, true)
	f(first[1:], false)
	if err := h.admin().ResetSecret(t.Context()); err != nil {
		t.Fatal(err)
	}
	f(first, false)
	f(read(), true)
	fleet, err := h.admin().Status(t.Context())
	if err != nil || fleet.AdminSecretFile != path || fleet.Web == "" || len(fleet.WebFingerprint) != 64 {
		t.Errorf("status: %+v, %v", fleet, err)
	}
	for name, text := range map[string]string{"the log": h.logs.String(), "the audit log": contentOf(t, filepath.Join(h.cfg.StateDirectory, auditFile))} {
		if strings.Contains(text, first) || strings.Contains(text, read()) || strings.Contains(text, "cloudless-admin-") {
			t.Errorf("%s holds the admin secret", name)
		}
	}
}

func contentOf(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Nothing is answered as done that is not in the audit log.
func TestWithoutAnAuditLogNothingIsDone(t *testing.T) {
	h := start(t)
	waiting := h.machine(1)
	code := h.enrol(waiting, nil).Code
	join, _ := h.token(api.TokenRequest{Uses: 5})
	if err := h.diary.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := h.admin().CreateToken(t.Context(), api.TokenRequest{}); status(err) != http.StatusServiceUnavailable {
		t.Errorf("token: %v", err)
	}
	for _, record := range h.desk.Tokens() {
		if record.ID != join.ID && record.Revoked == nil {
			t.Errorf("a token that nobody can account for is valid: %+v", record)
		}
	}
	if _, err := h.admin().Approve(t.Context(), api.Approval{Who: code}); status(err) != http.StatusServiceUnavailable {
		t.Errorf("approval: %v", err)
	}
	if e := h.enrol(h.machine(2), &join); e.Outcome != api.Refused || e.Reason != "unavailable" || e.Certificate != "" || e.RetryAfter == 0 {
		t.Errorf("enrolment: %+v", e)
	}
	if h.auditErrors.Load() == 0 {
		t.Errorf("not counted")
	}
}

func TestALocalUserIsWhoTheKernelSays(t *testing.T) {
	h := start(t)
	// The header of another daemon counts on its certificate only.
	if _, err := h.admin().As("eve from 192.0.2.66").CreateToken(t.Context(), api.TokenRequest{}); err != nil {
		t.Fatal(err)
	}
	e := h.audited("token.create")
	if len(e) != 1 || strings.Contains(e[0].Who, "eve") || e[0].From != "unix socket" {
		t.Errorf("audit log: %+v", e)
	}
	for _, path := range []string{api.PathEnrol, api.PathSession, api.PathRenew} {
		response, err := localClient(h).Post("http://local"+path, "application/json", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusForbidden {
			t.Errorf("%s by the socket: %d", path, response.StatusCode)
		}
	}
	for _, path := range []string{api.PathControlWorkers, api.PathControlStats, api.PathControlRevocations + "?since=1"} {
		response, err := localClient(h).Get("http://local" + path)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusOK {
			t.Errorf("%s by the socket: %d", path, response.StatusCode)
		}
	}
}
