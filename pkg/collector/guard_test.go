package collector

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/local"
	"github.com/cloudless-fleet/cloudless/pkg/trust/people"
	"github.com/cloudless-fleet/cloudless/pkg/trust/revocation"
	"github.com/cloudless-fleet/cloudless/pkg/trust/trusttest"
)

// browser speaks with a collector as one does that has clicked the warning away.
type browser struct {
	t      *testing.T
	c      *collector
	http   *http.Client
	cookie *http.Cookie
	token  string
	host   string // in the Host header; empty: the address
}

func (c *collector) browser(t *testing.T) *browser {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &browser{t: t, c: c, http: &http.Client{Transport: transport}}
}

// send sends body as JSON, unless it is nil, and keeps the cookie of the answer.
func (b *browser) send(method, path string, body any) (status int, answer string) {
	b.t.Helper()
	var content io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			b.t.Fatal(err)
		}
		content = bytes.NewReader(data)
	}
	r, err := http.NewRequestWithContext(b.t.Context(), method, b.c.address()+path, content)
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Host = b.host
	if b.cookie != nil {
		r.AddCookie(b.cookie)
	}
	if b.token != "" {
		r.Header.Set("Authorization", "Bearer "+b.token)
	}
	response, err := b.http.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, cookie := range response.Cookies() {
		b.cookie = cookie
	}
	return response.StatusCode, string(data)
}

// want sends and fails the test unless the status is this one.
func (b *browser) want(status int, method, path string, body any) string {
	b.t.Helper()
	got, answer := b.send(method, path, body)
	if got != status {
		b.t.Errorf("%s %s: got %d %s, want %d", method, path, got, answer, status)
	}
	return answer
}

func withUser(t *testing.T, c *collector, name, password string, admin bool) {
	t.Helper()
	if err := c.people.SetUser(t.Context(), name, password, admin); err != nil {
		t.Fatal(err)
	}
}

func TestADayOfAUser(t *testing.T) {
	c := newCollector(t, trusttest.New(t, "lab"), newOffice(row(1, registered)))
	withUser(t, c, "alice", "correct horse", false)
	b := c.browser(t)
	b.want(401, http.MethodGet, api.PathFleetWorkers, nil)
	b.want(401, http.MethodPost, api.PathLogin, api.Login{Name: "alice", Password: "wrong"})
	b.want(200, http.MethodPost, api.PathLogin, api.Login{Name: "alice", Password: "correct horse"})
	if k := b.cookie; k == nil || k.Name != api.SessionCookie || !k.Secure || !k.HttpOnly || k.SameSite != http.SameSiteStrictMode {
		t.Fatalf("cookie %v", k)
	}
	b.want(200, http.MethodGet, api.PathFleetWorkers, nil)
	if me := b.want(200, http.MethodGet, api.PathMe, nil); !strings.Contains(me, `"alice"`) || !strings.Contains(me, `"session"`) {
		t.Errorf("me: %s", me)
	}
	b.want(403, http.MethodGet, api.PrefixAdminCollector+api.PathAdminPending, nil) // a reader
	b.want(403, http.MethodGet, api.PathUsers, nil)

	b.host = "evil.example" // whose owner lets it point here
	b.want(421, http.MethodGet, api.PathFleetWorkers, nil)
	b.host = ""
	b.want(200, http.MethodPost, api.PathLogout, nil)
	b.want(401, http.MethodGet, api.PathMe, nil)

	entries, err := c.audit.Read(time.Time{}, 0)
	if err != nil || len(entries) != 3 {
		t.Fatalf("audit log: %+v, %v", entries, err)
	}
	for i, want := range []string{"login.failed", "login", "logout"} {
		if e := entries[i]; e.What != want || e.Who != "user alice" || e.From != "127.0.0.1" || e.Daemon != "collectord" {
			t.Errorf("entry %d: %+v, want %s", i, e, want)
		}
	}
}

// TestSecretsAreNowhere but in the answer that makes them: they are planted, used
// rightly and wrongly, and looked for.
func TestSecretsAreNowhere(t *testing.T) {
	const password, guess = "planted horse battery", "planted wrong password"
	o, log := newOffice(), &words{}
	o.secret = "cloudless-admin-planted"
	c := newCollectorThatLogs(t, log.logger(), trusttest.New(t, "lab"), o)
	withUser(t, c, "alice", password, true)
	b := c.browser(t)
	answers := b.want(401, http.MethodPost, api.PathLogin, api.Login{Name: "alice", Password: guess})
	answers += b.want(401, http.MethodPost, api.PathLogin, api.Login{Name: password, Password: "x"}) // in the wrong field
	answers += b.want(200, http.MethodPost, api.PathLogin, api.Login{Name: "admin", Password: o.secret})
	answers += b.want(200, http.MethodPost, api.PathLogin, api.Login{Name: "alice", Password: password})
	session := b.cookie.Value
	var made api.APITokenCreated
	if err := json.Unmarshal([]byte(b.want(200, http.MethodPost, api.PathAPITokens, api.APITokenRequest{Name: "script", Scope: api.ScopeRead})), &made); err != nil {
		t.Fatal(err)
	}
	answers += b.want(200, http.MethodGet, api.PathAPITokens, nil)
	answers += b.want(200, http.MethodGet, api.PathUsers, nil)
	answers += b.want(200, http.MethodGet, api.PathMe, nil)
	b.token = made.Token + "x"
	answers += b.want(401, http.MethodGet, api.PathMe, nil)
	b.token = made.Token
	answers += b.want(403, http.MethodGet, api.PathWebAudit, nil)
	answers += b.want(200, http.MethodGet, api.PathMe, nil)

	stored := ""
	for _, name := range []string{auditFile, people.UsersFile, people.TokensFile} {
		data, err := os.ReadFile(c.cfg.inState(name))
		if err != nil {
			t.Fatal(err)
		}
		stored += string(data)
	}
	for _, secret := range []string{password, guess, o.secret, session, made.Token, strings.TrimPrefix(made.Token, api.APITokenPrefix)} {
		if strings.Contains(answers, secret) {
			t.Errorf("an answer holds %q", secret)
		}
		if strings.Contains(stored, secret) {
			t.Errorf("a file holds %q", secret)
		}
		if log.count(secret) > 0 {
			t.Errorf("the log holds %q", secret)
		}
	}
}

func TestGuessesAreLockedOut(t *testing.T) {
	c := newCollector(t, trusttest.New(t, "lab"), newOffice(), func(cfg *Config) { cfg.People.LockAfter = 2 })
	withUser(t, c, "alice", "correct horse", true)
	b := c.browser(t)
	for range 2 {
		b.want(401, http.MethodPost, api.PathLogin, api.Login{Name: "alice", Password: "guess of mine"})
	}
	b.want(429, http.MethodPost, api.PathLogin, api.Login{Name: "alice", Password: "correct horse"})
	if wrong, locked := c.people.wrong.Load(), c.people.locked.Load(); wrong != 2 || locked != 1 {
		t.Errorf("counted %d wrong and %d locked, want 2 and 1", wrong, locked)
	}
}

func TestTheAdminSecretIsJudgedByTheCoordinator(t *testing.T) {
	o := newOffice()
	o.secret = "cloudless-admin-planted"
	c := newCollector(t, trusttest.New(t, "lab"), o)
	b := c.browser(t)
	b.want(401, http.MethodPost, api.PathLogin, api.Login{Name: "admin", Password: "something else"})
	b.want(200, http.MethodPost, api.PathLogin, api.Login{Name: "admin", Password: o.secret})
	b.want(200, http.MethodGet, api.PathUsers, nil)
}

func TestAdministrationIsPassedOnInTheNameOfWhoAsks(t *testing.T) {
	o := newOffice()
	c := newCollector(t, trusttest.New(t, "lab"), o)
	withUser(t, c, "bob", "correct horse", true)
	made, row, err := c.people.CreateToken(people.TokenSpec{Owner: "bob", Label: "script", Admin: true})
	if err != nil {
		t.Fatal(err)
	}
	b := c.browser(t)
	b.token = made.Reveal()
	b.want(200, http.MethodGet, api.PrefixAdminCollector+api.PathAdminPending, nil)
	// What is between the daemons is not passed on, whoever asks.
	for _, path := range []string{api.PathAdminSecret, api.PathAdminSecretReset, api.PathAdminWeb, "/nothing", "/../contacts"} {
		if status, answer := b.send(http.MethodPost, api.PrefixAdminCollector+path, api.SecretCheck{Secret: "x"}); status/100 == 2 {
			t.Errorf("%s: %d %s", path, status, answer)
		}
	}
	if len(o.requests) != 1 {
		t.Fatalf("%d requests passed on, want one", len(o.requests))
	}
	got := o.requests[0]
	bob := "token " + row.ID + " of bob from 127.0.0.1"
	if actor := got.Header.Values(api.HeaderActor); len(actor) != 1 || actor[0] != bob {
		t.Errorf("in the name of %q", actor)
	}
	if got.URL.Path != "/v1/admin/pending" || got.Header.Get("Authorization") != "" || got.Header.Get("Cookie") != "" {
		t.Errorf("passed on: %s %v", got.URL, got.Header)
	}

	// A name that the client gives itself is dropped.
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.address()+api.PrefixAdminCollector+api.PathAdminPending, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+b.token)
	r.Header.Set(api.HeaderActor, "root from unix socket")
	response, err := b.http.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if actor := o.requests[1].Header.Values(api.HeaderActor); len(actor) != 1 || actor[0] != bob {
		t.Errorf("smuggled: %q", actor)
	}
}

// TestProgramsOfThisHostAreKnownByTheirUser: no password, no certificate.
func TestProgramsOfThisHostAreKnownByTheirUser(t *testing.T) {
	dir, err := os.MkdirTemp("", "c") // a short path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "api.sock")
	newCollector(t, trusttest.New(t, "lab"), newOffice(row(1, registered)), func(cfg *Config) { cfg.Socket = path })
	client := local.Client(path)
	defer client.CloseIdleConnections()
	for _, path := range []string{api.PathFleetWorkers, api.PathUsers, api.PathMe, api.PrefixAdminCollector + api.PathAdminPending} {
		if status, body := ask(t, client, local.BaseURL+path); status != http.StatusOK {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	people, err := api.NewClient(local.BaseURL, client)
	if err != nil {
		t.Fatal(err)
	}
	if me, err := people.Me(t.Context()); err != nil || me.By != "socket" || me.Scope != api.ScopeAdmin {
		t.Errorf("me: %+v, %v", me, err)
	}
}

// TestAnOperatorWhoIsRevoked: on a connection that he has already.
func TestAnOperatorWhoIsRevoked(t *testing.T) {
	fleet, o := trusttest.New(t, "lab"), newOffice()
	c := newCollector(t, fleet, o)
	caller, _ := c.as(t, fleet, fleet.Member(trust.RoleOperator, "eve"))
	if status, body := ask(t, caller, c.address()+api.PathFleetWorkers); status != http.StatusOK {
		t.Fatalf("%d %s", status, body)
	}
	if _, err := c.revoked.list.Add("left", time.Now(), time.Time{}, revocation.Identity(trust.RoleOperator, "eve")); err != nil {
		t.Fatal(err)
	}
	if status, body := ask(t, caller, c.address()+api.PathFleetWorkers); status != http.StatusForbidden || !strings.Contains(body, "revoked") {
		t.Errorf("%d %s, want refused as revoked", status, body)
	}
}

func TestConnectionsOfTheSocketAreBounded(t *testing.T) {
	dir, err := os.MkdirTemp("", "c")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	inner, err := local.Listen(filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	b := newBounded(inner, 2)
	accepted := make(chan io.Closer, 8)
	background(t, func(context.Context) error {
		for {
			conn, err := b.Accept()
			if err != nil {
				return nil
			}
			accepted <- conn
		}
	})
	t.Cleanup(func() { b.Close() })
	dial := func() (refused bool) {
		conn, err := net.Dial("unix", filepath.Join(dir, "s"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		_ = conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		_, err = conn.Read(make([]byte, 1))
		return err == io.EOF
	}
	if dial() || dial() || !dial() {
		t.Errorf("want two connections and the third closed")
	}
	first := <-accepted
	first.Close()
	first.Close() // counts once
	if dial() || !dial() {
		t.Errorf("want room for one more after one has ended")
	}
}

func TestANewAdminSecretLogsTheFormerOneOut(t *testing.T) {
	o := newOffice()
	o.secret = "the first secret of this fleet"
	c := newCollector(t, trusttest.New(t, "lab"), o)
	c.welcomed(api.CollectorWelcome{AdminGeneration: "1"})
	b := c.browser(t)
	b.want(200, http.MethodPost, api.PathLogin, api.Login{Name: people.AdminName, Password: o.secret})
	c.welcomed(api.CollectorWelcome{AdminGeneration: "1"})
	b.want(200, http.MethodGet, api.PathMe, nil)
	c.welcomed(api.CollectorWelcome{AdminGeneration: "2"})
	b.want(401, http.MethodGet, api.PathMe, nil)
}
