package admin

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/api/reply"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

// planted is a secret that no answer and no log line may hold.
const planted = "planted-secret-0123456789"

var (
	alice    = Actor{Who: "user alice", From: "192.0.2.7"}
	root     = Actor{Who: "root", From: "unix socket", Local: true}
	ofItself = Actor{Who: "collectord monitor", From: "192.0.2.8", Collector: true}
)

func asAlways(by Actor) Authorize { return func(*http.Request) (Actor, bool) { return by, true } }

func plain(_ string, next http.Handler) http.Handler { return next }

// serve starts handlers under the coordinator's prefix and returns a client that
// asks as by.
func serve(t *testing.T, office Office, prefix string, may Authorize) (*httptest.Server, *api.AdminClient) {
	t.Helper()
	mux := http.NewServeMux()
	New(office, may, slog.New(slog.DiscardHandler)).Register(mux, prefix, plain)
	server := httptest.NewTLSServer(mux)
	t.Cleanup(server.Close)
	client, err := api.NewAdminClient(server.URL, prefix, server.Client())
	if err != nil {
		t.Fatal(err)
	}
	return server, client
}

func der(t *testing.T, public any) []byte {
	t.Helper()
	b, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func edKey(t *testing.T) []byte {
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return der(t, public)
}

func ecKey(t *testing.T, curve elliptic.Curve) []byte {
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return der(t, key.Public())
}

// call is one method of the client.
type call struct {
	name  string
	asked string // what the office is to have heard
	do    func(*api.AdminClient) error
	whom  whom
}

func calls(t *testing.T) []call {
	ctx := t.Context()
	ed, ec := edKey(t), ecKey(t, elliptic.P256())
	// f forgets the answer, whatever it is.
	f := func(_ any, err error) error { return err }
	return []call{
		{"Status", "status", func(c *api.AdminClient) error { return f(c.Status(ctx)) }, administrators},
		{"Tokens", "tokens", func(c *api.AdminClient) error { return f(c.Tokens(ctx)) }, administrators},
		{"CreateToken", `create token {"ttl_ms":5,"uses":2,"labels":{"rack":"7"},"addresses":["c:10100","[::1]:1"]}`, func(c *api.AdminClient) error {
			return f(c.CreateToken(ctx, api.TokenRequest{TTL: 5, Uses: 2, Labels: map[string]string{"rack": "7"}, Addresses: []string{"c:10100", "[::1]:1"}}))
		}, administrators},
		{"RevokeToken", `revoke token "0123456789abcdef"`, func(c *api.AdminClient) error { return c.RevokeToken(ctx, "0123456789abcdef") }, administrators},
		{"Pending", "pending", func(c *api.AdminClient) error { return f(c.Pending(ctx)) }, administrators},
		{"Approve", `approve {"who":"Bamod Lusit Nopaz Tigol","labels":{"a":"b"}}`, func(c *api.AdminClient) error {
			return f(c.Approve(ctx, api.Approval{Who: "Bamod Lusit Nopaz Tigol", Labels: map[string]string{"a": "b"}}))
		}, administrators},
		{"Reject", `reject {"who":"01000000-0000-4000-8000-000000000000","reason":"unknown"}`, func(c *api.AdminClient) error {
			return c.Reject(ctx, api.Rejection{Who: model.WorkerIDFrom([16]byte{1}).String(), Reason: "unknown"})
		}, administrators},
		{"Members", "members", func(c *api.AdminClient) error { return f(c.Members(ctx)) }, administrators},
		{"Revoke", `revoke {"worker":"web1","reason":"stolen","clones":true}`, func(c *api.AdminClient) error {
			return f(c.Revoke(ctx, api.Revocation{Worker: "web1", Reason: "stolen", Clones: true}))
		}, administrators},
		{"Readmit", `readmit {"worker":"web1"}`, func(c *api.AdminClient) error { return c.Readmit(ctx, api.WorkerRef{Worker: "web1"}) }, administrators},
		{"Forget", `forget {"worker":"web1"}`, func(c *api.AdminClient) error { return c.Forget(ctx, api.WorkerRef{Worker: "web1"}) }, administrators},
		{"Revoked", "revoked", func(c *api.AdminClient) error { return f(c.Revoked(ctx)) }, administrators},
		{"Audit", "audit 5 7", func(c *api.AdminClient) error { return f(c.Audit(ctx, time.Unix(5, 0), 7)) }, administrators},
		{"Authority", `authority "prepare"`, func(c *api.AdminClient) error { return f(c.Authority(ctx, "prepare")) }, administrators},
		{"Issue", "issue collectord monitor", func(c *api.AdminClient) error {
			return f(c.Issue(ctx, api.IssueRequest{Role: trust.RoleCollector, Name: "monitor", Hosts: []string{"m.example", "192.0.2.1"}, PublicKey: ed}))
		}, andCollectors},
		{"CheckSecret", "check secret", func(c *api.AdminClient) error { return f(c.CheckSecret(ctx, planted)) }, andCollectors},
		{"ResetSecret", "reset secret", func(c *api.AdminClient) error { return c.ResetSecret(ctx) }, localAdministrators},
		{"Web", `web ["m.example"]`, func(c *api.AdminClient) error {
			return f(c.Web(ctx, api.WebRequest{PublicKey: ec, Hosts: []string{"m.example"}}))
		}, collectors},
	}
}

func status(err error) int {
	refused := (*api.Error)(nil)
	switch {
	case err == nil:
		return http.StatusOK
	case errors.As(err, &refused):
		return refused.Status
	}
	return 0
}

func TestEveryCallReachesTheOffice(t *testing.T) {
	for _, call := range calls(t) {
		office := &noting{}
		_, client := serve(t, office, api.PrefixAdminCoordinator, asAlways(root))
		if err := call.do(client); err != nil || office.last() != call.asked || office.by != root {
			t.Errorf("%s: got %v; the office heard %q by %+v, want %q", call.name, err, office.last(), office.by, call.asked)
		}
	}
}

func TestWhoMayCallWhat(t *testing.T) {
	f := func(by Actor, may map[whom]bool) {
		t.Helper()
		for _, call := range calls(t) {
			office := &noting{}
			_, client := serve(t, office, api.PrefixAdminCoordinator, asAlways(by))
			want := http.StatusForbidden
			if may[call.whom] {
				want = http.StatusOK
			}
			if got := status(call.do(client)); got != want || (want != 200) != (office.last() == "") {
				t.Errorf("%s by %+v: got %d, want %d; the office heard %q", call.name, by, got, want, office.last())
			}
		}
	}
	f(alice, map[whom]bool{administrators: true, andCollectors: true})
	f(root, map[whom]bool{administrators: true, andCollectors: true, localAdministrators: true, collectors: true})
	f(ofItself, map[whom]bool{andCollectors: true, collectors: true})
	local := ofItself
	local.Local = true
	f(local, map[whom]bool{andCollectors: true, collectors: true})
	for _, may := range []Authorize{nil, func(*http.Request) (Actor, bool) { return root, false }} {
		for _, call := range calls(t) {
			office := &noting{}
			_, client := serve(t, office, api.PrefixAdminCoordinator, may)
			if got := status(call.do(client)); got != http.StatusForbidden || office.last() != "" {
				t.Errorf("%s: got %d", call.name, got)
			}
		}
	}
}

func TestACollectorGetsItsOwnCertificateOnly(t *testing.T) {
	office := &noting{}
	_, client := serve(t, office, api.PrefixAdminCoordinator, asAlways(ofItself))
	_, err := client.Issue(t.Context(), api.IssueRequest{Role: trust.RoleOperator, Name: "bob", PublicKey: edKey(t)})
	if status(err) != http.StatusForbidden || office.last() != "" {
		t.Errorf("an operator's: got %v", err)
	}
}

// TestTheCollectorPassesOn what an administrator asks for, in his name.
func TestTheCollectorPassesOn(t *testing.T) {
	office := &noting{}
	_, client := serve(t, office, api.PrefixAdminCoordinator, func(r *http.Request) (Actor, bool) { return onBehalf(ofItself, r.Header) })
	_, through := serve(t, Forward(client), api.PrefixAdminCollector, asAlways(alice))
	for _, call := range calls(t) {
		office.err, office.asks = nil, nil
		got, want := status(call.do(through)), http.StatusOK
		if call.whom == collectors || call.whom == localAdministrators || call.name == "CheckSecret" {
			want = http.StatusNotFound // between the daemons, or on their host
		}
		if got != want {
			t.Errorf("%s: got %d, want %d", call.name, got, want)
		}
		passedOn := Actor{Who: alice.Who, From: alice.From + " by " + ofItself.Who}
		if want == http.StatusOK && (office.last() != call.asked || office.by != passedOn) {
			t.Errorf("%s: the office heard %q by %+v, want %q", call.name, office.last(), office.by, call.asked)
		}
	}
	for _, kind := range []error{ErrNotFound, ErrConflict, ErrInvalid, ErrForbidden, reply.ErrBusy, reply.ErrUnavailable} {
		office.err = reply.Because(kind, "because")
		_, err := through.Status(t.Context())
		if status(err) != reply.KindOf(kind).Status() || !strings.HasSuffix(err.Error(), ": because") {
			t.Errorf("%v: got %v", kind, err)
		}
	}
}

func TestACoordinatorThatIsAwayIsUnavailable(t *testing.T) {
	gone := httptest.NewServer(nil)
	gone.Close()
	client, err := api.NewAdminClient(gone.URL, api.PrefixAdminCoordinator, http.DefaultClient)
	if err != nil {
		t.Fatal(err)
	}
	_, through := serve(t, Forward(client), api.PrefixAdminCollector, asAlways(alice))
	if _, err := through.Members(t.Context()); status(err) != http.StatusServiceUnavailable || !strings.Contains(err.Error(), "cannot be reached") {
		t.Errorf("got %v", err)
	}
}

// post sends a raw body and returns status and text.
func post(t *testing.T, server *httptest.Server, method, path, body string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	response, err := server.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

func TestRequestsThatAreRefused(t *testing.T) {
	office := &noting{}
	server, client := serve(t, office, api.PrefixAdminCoordinator, asAlways(root))
	f := func(call, body string, want string) {
		t.Helper()
		method, path, _ := strings.Cut(call, " ")
		got, text := post(t, server, method, api.PrefixAdminCoordinator+path, body)
		if got != http.StatusBadRequest || !strings.Contains(text, want) || strings.Contains(text, planted) {
			t.Errorf("%s %.80s: got %d %s, want 400 with %q", call, body, got, text, want)
		}
	}
	f("POST /tokens", ``, "object")
	f("POST /tokens", `{"secret":"`+planted+`"}`, "not known here")
	f("POST /tokens", `{"uses":-1}`, "uses")
	f("POST /tokens", `{"uses":10001}`, "uses")
	f("POST /tokens", `{"ttl_ms":-1}`, "ttl_ms")
	f("POST /tokens", `{"labels":{"1x":"y"}}`, "label")
	f("POST /tokens", `{"labels":{"x":"a\u001b[2J"}}`, "label")
	f("POST /tokens", `{"addresses":["x"]}`, "host:port")
	f("POST /tokens", `{"addresses":["x:0"]}`, "host:port")
	f("POST /tokens", `{"addresses":["a b:1"]}`, "host:port")
	f("DELETE /tokens/"+planted, "", "16 hexadecimal")
	f("DELETE /tokens/0000000000000000", "", "16 hexadecimal")
	f("POST /approve", `{"who":"`+planted+`"}`, "four words")
	f("POST /approve", `{"who":""}`, "four words")
	f("POST /reject", `{"who":"bamod-lusit-nopaz-tigol","reason":"a\nb"}`, "reason")
	f("POST /revoke", `{"worker":""}`, "worker")
	f("POST /revoke", `{"worker":"x","reason":"`+strings.Repeat("x", maxReason+1)+`"}`, "reason")
	f("POST /readmit", `{"worker":"\u0007"}`, "worker")
	f("POST /forget", `{}`, "worker")
	f("GET /audit?limit=0", "", "limit")
	f("GET /audit?limit=10001", "", "limit")
	f("GET /audit?since=yesterday", "", "since")
	f("POST /authority/drop", `{"now":true}`, "not known here")
	f("POST /issue", `{"role":"worker","name":"x"}`, "role")
	f("POST /issue", `{"role":"coordinatord","name":"x"}`, "role")
	f("POST /issue", `{"role":"operator","name":"Bob"}`, "name")
	f("POST /issue", `{"role":"operator","name":"bob","hosts":["x"]}`, "hosts")
	f("POST /issue", `{"role":"operator","name":"bob","public_key":"AAAA"}`, "public_key")
	f("POST /secret", `{"secret":""}`, "secret")
	f("POST /secret", `{"secret":["`+planted+`"]}`, `member \"secret\": want a string`)
	f("POST /secret/reset", `"`+planted+`"`, "no body")
	f("POST /web", `{"public_key":"AAAA","hosts":["x"]}`, "public_key")
	if got, text := post(t, server, "POST", "/v1/admin/authority/explode", ""); got != http.StatusNotFound {
		t.Errorf("unknown step: got %d %s", got, text)
	}
	if got, _ := post(t, server, "POST", "/v1/admin/tokens", strings.Repeat(" ", maxBody+1)); got != http.StatusRequestEntityTooLarge {
		t.Errorf("long body: got %d", got)
	}
	for what, r := range map[string]api.WebRequest{
		"an Ed25519 key": {PublicKey: edKey(t), Hosts: []string{"x"}},
		"a P-384 key":    {PublicKey: ecKey(t, elliptic.P384()), Hosts: []string{"x"}},
		"no host":        {PublicKey: ecKey(t, elliptic.P256())},
		"an odd host":    {PublicKey: ecKey(t, elliptic.P256()), Hosts: []string{"a/b"}},
		"many hosts":     {PublicKey: ecKey(t, elliptic.P256()), Hosts: make([]string, maxHosts+1)},
	} {
		if _, err := client.Web(t.Context(), r); status(err) != http.StatusBadRequest {
			t.Errorf("%s: got %v", what, err)
		}
	}
	if _, err := client.Issue(t.Context(), api.IssueRequest{Role: trust.RoleOperator, Name: "bob", PublicKey: ecKey(t, elliptic.P256())}); status(err) != http.StatusBadRequest {
		t.Errorf("a P-256 key for an operator: got %v", err)
	}
	if office.last() != "" {
		t.Errorf("reached the office: %q", office.asks)
	}
}

func TestListsAreNeverNull(t *testing.T) {
	server, _ := serve(t, &noting{}, api.PrefixAdminCoordinator, asAlways(root))
	for _, path := range []string{"/tokens", "/pending", "/members", "/revoked", "/audit"} {
		if got, text := post(t, server, "GET", api.PrefixAdminCoordinator+path, ""); got != 200 || !strings.Contains(text, ":[]") {
			t.Errorf("%s: got %d %s", path, got, text)
		}
	}
}
