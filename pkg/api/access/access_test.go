package access

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/api/admin"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/local"
	"github.com/cloudless-fleet/cloudless/pkg/trust/trusttest"
)

const (
	readerToken = "cloudless_api1_reader"
	adminToken  = "cloudless_api1_admin"
	readerID    = "session-of-rita"
	adminID     = "session-of-alice"
	planted     = "planted-secret-0123456789"
)

func sessions(id string) (api.Principal, bool) {
	switch id {
	case readerID:
		return api.Principal{Name: "rita", Scope: api.ScopeRead}, true
	case adminID:
		return api.Principal{Name: "alice", Scope: api.ScopeAdmin}, true
	}
	return api.Principal{}, false
}

func tokens(text string) (api.Principal, error) {
	switch text {
	case readerToken:
		return api.Principal{Name: "rita", Scope: api.ScopeRead, Token: "01"}, nil
	case adminToken:
		return api.Principal{Name: "alice", Scope: api.ScopeAdmin, Token: "02"}, nil
	}
	return api.Principal{}, errors.New("unknown or revoked API token")
}

func config() Config {
	return Config{Hosts: func() []string { return []string{"Monitor.example.", "*.lab.example"} }, Session: sessions, Token: tokens, Now: time.Now}
}

// site is a guard on a real TLS listener. What passes is told what it passed as.
type site struct {
	t     *testing.T
	fleet *trusttest.Fleet
	url   string
}

func echo(w http.ResponseWriter, r *http.Request) {
	who, from := From(r.Context())
	_, _ = io.WriteString(w, strings.Join([]string{"passed", who.Name, string(who.Scope), who.By, Who(r.Context()), from}, "|"))
}

func start(t *testing.T, config Config) *site {
	t.Helper()
	s := &site{t: t, fleet: trusttest.New(t, "lab")}
	server := httptest.NewUnstartedServer(New(config).Wrap(http.HandlerFunc(echo)))
	server.Listener = tls.NewListener(server.Listener, s.fleet.Member(trust.RoleCollector, "monitor").Server([]string{"http/1.1"}, trust.ClientOptional))
	server.Start()
	t.Cleanup(server.Close)
	s.url = "https" + strings.TrimPrefix(server.URL, "http")
	return s
}

func (s *site) as(role trust.Role, name string) *http.Client {
	settings := trust.Pinned{Fleet: "lab", Authority: s.fleet.CA().Fingerprint(), Role: trust.RoleCollector, Now: time.Now}.Client("http/1.1")
	if role != "" {
		settings = s.fleet.Member(role, name).Client(trust.RoleCollector, "http/1.1")
	}
	transport := &http.Transport{TLSClientConfig: settings}
	s.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// ask sends "METHOD path" with headers, "Name: value" each.
func (s *site) ask(client *http.Client, call string, headers ...string) (*http.Response, string) {
	s.t.Helper()
	method, path, _ := strings.Cut(call, " ")
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		if name == "Host" {
			r.Host = value
			continue
		}
		r.Header.Add(name, value)
	}
	response, err := client.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	if strings.Contains(string(text), planted) {
		s.t.Errorf("%s %q: the answer repeats a secret: %s", call, headers, text)
	}
	return response, string(text)
}

const (
	look    = "GET " + api.PathQuery
	query   = "POST " + api.PathQuery
	makeIt  = "POST " + api.PrefixAdminCollector + api.PathAdminTokens
	login   = "POST " + api.PathLogin
	bearer  = "Authorization: Bearer "
	cookie  = "Cookie: " + api.SessionCookie + "="
	rebound = "Host: evil.example:9090"
)

func TestAccess(t *testing.T) {
	s := start(t, config())
	nobody := s.as("", "")
	operator, collector := s.as(trust.RoleOperator, "bob"), s.as(trust.RoleCollector, "monitor")
	worker := s.as(trust.RoleWorker, "01000000-0000-4000-8000-000000000000")
	f := func(client *http.Client, call string, status int, want string, headers ...string) {
		t.Helper()
		response, text := s.ask(client, call, headers...)
		if response.StatusCode != status || !strings.Contains(text, want) {
			t.Errorf("%s %q: got %d %s, want %d with %q", call, headers, response.StatusCode, text, status, want)
		}
		challenge := response.Header.Get("WWW-Authenticate")
		if (status == http.StatusUnauthorized) != strings.HasPrefix(challenge, "Bearer ") {
			t.Errorf("%s %q: %d with the challenge %q", call, headers, status, challenge)
		}
	}

	// Nobody.
	f(nobody, look, 401, "log in")
	f(nobody, makeIt, 401, "log in")
	f(nobody, "GET /", 401, "log in")
	f(nobody, "GET "+api.PathHealthy, 200, "passed||||")
	f(nobody, "GET "+api.PathReady, 200, "passed", rebound)
	f(nobody, "GET "+api.PathIdentity, 200, "passed", rebound)
	f(nobody, "POST "+api.PathHealthy, 401, "log in")
	f(nobody, login, 200, "passed|||||127.0.0.1")

	// Tokens.
	f(nobody, look, 200, "passed|rita|read|token|token 01 of rita|127.0.0.1", bearer+readerToken)
	f(nobody, query, 200, "passed|rita", bearer+readerToken)
	f(nobody, "HEAD "+api.PathQuery, 200, "", bearer+readerToken)
	f(nobody, look, 200, "passed|alice|admin", "Authorization: bearer "+adminToken)
	f(nobody, makeIt, 200, "passed|alice", bearer+adminToken)
	f(nobody, makeIt, 403, "token 01 of rita may look only", bearer+readerToken)
	f(nobody, look, 200, "passed", bearer+readerToken, rebound)
	f(nobody, query, 200, "passed", bearer+readerToken, "Origin: https://evil.example", "Sec-Fetch-Site: cross-site")
	f(nobody, look, 401, "unknown or revoked", bearer+planted)
	f(nobody, look, 401, "one header", "Authorization: "+planted)
	f(nobody, look, 401, "one header", "Authorization: Basic "+planted)
	f(nobody, look, 401, "one header", bearer)
	f(nobody, look, 401, "one header", bearer+readerToken, bearer+adminToken)
	f(nobody, look, 401, "one header", bearer+strings.Repeat("x", maxToken+1))
	f(nobody, look+"?access_token="+readerToken, 401, "log in")
	f(nobody, look, 401, "log in", "X-Api-Key: "+readerToken)
	f(nobody, look, 401, "session has ended", cookie+readerToken)
	f(operator, look, 401, "unknown or revoked", bearer+planted) // a bad one is not passed over
	f(worker, look, 200, "passed|rita", bearer+readerToken)      // it says itself what it wants to be

	// Certificates.
	f(operator, makeIt, 200, "passed|bob|admin|certificate|operator bob|127.0.0.1")
	f(operator, look, 200, "passed", rebound)
	f(operator, makeIt, 403, "another site", "Sec-Fetch-Site: cross-site")
	f(operator, makeIt, 403, "another site", "Origin: https://evil.example")
	f(collector, look, 200, "passed|monitor|read|certificate|collectord monitor")
	f(collector, makeIt, 403, "collectord monitor may look only")
	f(worker, look, 403, "a worker may not look")
	f(worker, makeIt, 403, "a worker may not look")
	f(worker, "GET "+api.PathMe, 403, "a worker may not look", cookie+adminID)

	// Sessions.
	f(nobody, look, 200, "passed|rita|read|session|user rita|127.0.0.1", cookie+readerID)
	f(nobody, makeIt, 200, "passed|alice|admin|session|user alice", cookie+adminID)
	f(nobody, makeIt, 403, "user rita may look only", cookie+readerID)
	f(nobody, "POST "+api.PathLogout, 200, "passed|rita", cookie+readerID)
	f(nobody, look, 401, "session has ended", cookie+planted)
	f(nobody, look, 401, "session has ended", cookie+readerID, cookie+adminID)
	f(nobody, look, 401, "session has ended", cookie)
	f(nobody, look, 401, "log in", "Cookie: cloudless="+readerID)
	f(nobody, makeIt, 200, "passed", cookie+adminID, "Sec-Fetch-Site: same-origin")
	f(nobody, makeIt, 200, "passed", cookie+adminID, "Sec-Fetch-Site: none")
	f(nobody, makeIt, 403, "another site", cookie+adminID, "Sec-Fetch-Site: cross-site")
	f(nobody, makeIt, 403, "another site", cookie+adminID, "Sec-Fetch-Site: same-site")
	f(nobody, makeIt, 403, "another site", cookie+adminID, "Origin: https://evil.example")
	f(nobody, makeIt, 403, "another site", cookie+adminID, "Origin: null")
	f(nobody, makeIt, 200, "passed", cookie+adminID, "Host: monitor.example", "Origin: https://monitor.example")
	f(nobody, login, 403, "another site", "Sec-Fetch-Site: cross-site")

	// Names.
	f(nobody, look, 200, "passed", cookie+readerID, "Host: monitor.example:9090")
	f(nobody, look, 200, "passed", cookie+readerID, "Host: MONITOR.EXAMPLE.")
	f(nobody, look, 200, "passed", cookie+readerID, "Host: a.lab.example")
	f(nobody, look, 200, "passed", cookie+readerID, "Host: localhost:9090")
	f(nobody, look, 200, "passed", cookie+readerID, "Host: [::1]:9090")
	for _, name := range []string{"evil.example:9090", "a.b.lab.example", "lab.example", "monitor.example.evil.example", "localhost.evil.example", "127.0.0.1.evil.example"} {
		f(nobody, look, 421, "web.hosts", cookie+readerID, "Host: "+name)
		f(nobody, login, 421, "web.hosts", "Host: "+name)
	}
}

func TestARevokedCertificateIsRefusedOnOldConnections(t *testing.T) {
	c, revoked := config(), make(chan bool, 1)
	c.Refuse = func(*x509.Certificate, trust.Identity) error {
		if <-revoked {
			return trust.ErrRevoked
		}
		return nil
	}
	late := time.Duration(0)
	c.Now = func() time.Time { return time.Now().Add(late) }
	s := start(t, c)
	operator := s.as(trust.RoleOperator, "bob")
	f := func(out bool, status int) {
		t.Helper()
		revoked <- out
		if response, text := s.ask(operator, look); response.StatusCode != status {
			t.Errorf("got %d %s, want %d", response.StatusCode, text, status)
		}
	}
	f(false, 200)
	f(true, 403)
	late = 2 * trust.DefaultTTL
	if response, text := s.ask(operator, look); response.StatusCode != 401 || !strings.Contains(text, "expired") {
		t.Errorf("expired: got %d %s", response.StatusCode, text)
	}
}

// TestNothingCountsInClear: a stolen cookie or token, sent over plain HTTP.
func TestNothingCountsInClear(t *testing.T) {
	handler := New(config()).Wrap(http.HandlerFunc(echo))
	for _, call := range []string{look, makeIt, login, "POST " + api.PathLogout} {
		method, path, _ := strings.Cut(call, " ")
		w, r := httptest.NewRecorder(), httptest.NewRequest(method, path, nil)
		r.Header.Set("Cookie", api.SessionCookie+"="+adminID)
		r.Header.Set("Authorization", "Bearer "+adminToken)
		handler.ServeHTTP(w, r)
		if w.Code != 401 || !strings.Contains(w.Body.String(), "HTTPS") {
			t.Errorf("%s: got %d %s", call, w.Code, w.Body)
		}
	}
}

func TestAGuardWithoutAnythingRefuses(t *testing.T) {
	s := start(t, Config{Now: time.Now})
	nobody := s.as("", "")
	for _, header := range []string{bearer + adminToken, cookie + adminID, "X: y"} {
		if response, text := s.ask(nobody, look, header); response.StatusCode != 401 {
			t.Errorf("%s: got %d %s", header, response.StatusCode, text)
		}
	}
}

func TestHeadersOfEveryAnswer(t *testing.T) {
	s := start(t, config())
	for _, headers := range [][]string{{}, {bearer + adminToken}, {cookie + adminID, rebound}} {
		response, _ := s.ask(s.as("", ""), look, headers...)
		for name, want := range map[string]string{
			"Content-Security-Policy":      "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
			"X-Content-Type-Options":       "nosniff",
			"X-Frame-Options":              "DENY",
			"Referrer-Policy":              "no-referrer",
			"Cross-Origin-Opener-Policy":   "same-origin",
			"Cross-Origin-Resource-Policy": "same-origin",
			"Cache-Control":                "no-store",
			"Access-Control-Allow-Origin":  "",
		} {
			if got := response.Header.Get(name); got != want {
				t.Errorf("%q: %s: got %q, want %q", headers, name, got, want)
			}
		}
	}
}

func TestTheUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	listener, err := local.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	var by admin.Actor
	var ok bool
	server := &http.Server{ConnContext: local.ConnContext, Handler: New(config()).Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		by, ok = Administrator(r)
		echo(w, r)
	}))}
	stopped := make(chan struct{})
	go func() { defer close(stopped); _ = server.Serve(listener) }()
	defer func() { _ = server.Close(); <-stopped }()
	s := &site{t: t, url: local.BaseURL}
	client := local.Client(path)
	defer client.CloseIdleConnections()
	if response, text := s.ask(client, makeIt); response.StatusCode != 200 || !strings.Contains(text, "|admin|socket|") || !strings.HasSuffix(text, "|"+local.From) {
		t.Errorf("got %d %s", response.StatusCode, text)
	}
	if !ok || by.Who == "" || by.From != local.From || !by.Local || by.Collector {
		t.Errorf("administrator: got %+v, %v", by, ok)
	}
	// Another user of the host is nobody.
	g := New(config())
	if _, err := g.bySocket(local.Caller{UID: 77701, GID: 77701, Name: "eve"}); err == nil || !strings.Contains(err.Error(), "eve may not") {
		t.Errorf("got %v", err)
	}
}

func TestAdministrator(t *testing.T) {
	f := func(v any, want admin.Actor, may bool) {
		t.Helper()
		r := httptest.NewRequest("GET", "/", nil)
		if v != nil {
			r = r.WithContext(context.WithValue(r.Context(), visitorKey{}, v))
		}
		if got, ok := Administrator(r); got != want || ok != may {
			t.Errorf("%+v: got %+v, %v", v, got, ok)
		}
	}
	f(nil, admin.Actor{}, false)
	f(visitor{}, admin.Actor{}, false)
	f(visitor{Principal: api.Principal{Scope: api.ScopeRead}, who: "user rita", from: "x"}, admin.Actor{Who: "user rita", From: "x"}, false)
	f(visitor{Principal: api.Principal{Scope: api.ScopeAdmin}, who: "user alice", from: "x"}, admin.Actor{Who: "user alice", From: "x"}, true)
}
