package fleettest

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// browser speaks with collectord as one does that trusts the fleet's authority for
// browsers, and has any cookie that it was given.
type browser struct {
	f       *inProcess
	http    *http.Client
	cookie  *http.Cookie
	headers map[string]string // of every request; "Host" is the host of the address
}

func (f *inProcess) browser() *browser {
	f.t.Helper()
	status, err := f.admin.Status(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	trusted := x509.NewCertPool()
	if !trusted.AppendCertsFromPEM([]byte(status.Web)) {
		f.t.Fatal("the fleet shows no authority for browsers")
	}
	return &browser{f: f, http: f.keep(&http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: trusted}}), headers: map[string]string{}}
}

// with is the same browser when a page adds a header.
func (b *browser) with(name, value string) *browser {
	other := *b
	other.headers = map[string]string{name: value}
	return &other
}

// want sends a request, fails the test unless it is answered with the status, and
// returns the body.
func (b *browser) want(status int, method, path string, body any) string {
	b.f.t.Helper()
	got, text := b.send(method, path, body)
	if got != status {
		b.f.t.Errorf("%s %s %v: got %d %s, want %d", method, path, b.headers, got, text, status)
	}
	return text
}

// send sends a request and keeps the cookie of the answer.
func (b *browser) send(method, path string, body any) (status int, text string) {
	b.f.t.Helper()
	content, err := json.Marshal(body)
	if err != nil {
		b.f.t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(b.f.t.Context(), method, "https://"+loopback(b.f.data)+path, bytes.NewReader(content))
	if err != nil {
		b.f.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	for name, value := range b.headers {
		request.Header.Set(name, value)
	}
	request.Host = b.headers["Host"]
	if b.cookie != nil {
		request.AddCookie(b.cookie)
	}
	response, err := b.http.Do(request)
	if err != nil {
		b.f.t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		b.f.t.Fatal(err)
	}
	for _, cookie := range response.Cookies() {
		b.cookie = cookie
	}
	return response.StatusCode, string(answer)
}

// login logs somebody in with a browser of his own.
func (f *inProcess) login(status int, name, password string) *browser {
	f.t.Helper()
	b := f.browser()
	b.want(status, http.MethodPost, api.PathLogin, api.Login{Name: name, Password: password})
	return b
}

// TestPeople are what users, programs and web sites can and cannot do at collectord.
func TestPeople(t *testing.T) {
	t.Parallel()
	f := newInProcess(t, "w1")
	f.collector.People.LockAfter = 3
	f.startServers()
	f.machines["w1"].work()
	const password = "correct horse battery"
	for name, scope := range map[string]api.Scope{"alice": api.ScopeAdmin, "rita": api.ScopeRead, "mallory": api.ScopeAdmin} {
		if _, err := f.client.CreateUser(t.Context(), api.UserRequest{Name: name, Password: password, Scope: scope}); err != nil {
			t.Fatal(err)
		}
	}
	const get, post = http.MethodGet, http.MethodPost
	tokens, pending := api.PrefixAdminCollector+api.PathAdminTokens, api.PrefixAdminCollector+api.PathAdminPending

	t.Run("nobody in particular", func(t *testing.T) {
		nobody := f.browser()
		for _, path := range peoplePaths() {
			nobody.want(401, get, path, nil)
			nobody.want(401, post, path, struct{}{})
		}
		nobody.want(200, get, api.PathReady, nil)
		if text := nobody.want(200, get, api.PathIdentity, nil); !strings.Contains(text, f.issuing().String()) {
			t.Errorf("a client that knows nothing cannot pin the fleet: %s", text)
		}
	})

	t.Run("an administrator", func(t *testing.T) {
		alice := f.login(200, "alice", password)
		if k := alice.cookie; k == nil || k.Name != api.SessionCookie || !k.Secure || !k.HttpOnly || k.SameSite != http.SameSiteStrictMode || k.Path != "/" || k.Domain != "" {
			t.Fatalf("cookie %v", k)
		}
		alice.want(200, get, api.PathFleetWorkers, nil)
		alice.want(200, post, tokens, api.TokenRequest{})
		if e := f.entries(model.DaemonCoordinator, "token.create", ""); len(e) != 2 || e[1].Who != "user alice" || !strings.HasPrefix(e[1].From, "127.0.0.1 by collectord") {
			t.Errorf("the coordinator's audit log: %+v, want alice", e)
		}

		t.Run("a page of another site", func(t *testing.T) {
			for _, path := range []string{tokens, api.PathUsers, api.PathLogout, api.PathAPITokens, api.PathLogin} {
				alice.with("Sec-Fetch-Site", "cross-site").want(403, post, path, struct{}{})
				alice.with("Sec-Fetch-Site", "same-site").want(403, post, path, struct{}{})
				alice.with("Origin", "https://evil.example").want(403, post, path, struct{}{})
			}
		})
		t.Run("a name of somebody else's that points here", func(t *testing.T) {
			for _, host := range []string{"evil.example", "evil.example:9090", "127.0.0.1.evil.example"} {
				alice.with("Host", host).want(421, get, api.PathFleetWorkers, nil)
				alice.with("Host", host).want(421, post, api.PathLogin, api.Login{Name: "alice", Password: password})
			}
			alice.with("Host", "localhost").want(200, get, api.PathFleetWorkers, nil)
			alice.with("Host", "evil.example").want(200, get, api.PathHealthy, nil)
		})
		stolen := *alice
		alice.want(200, post, api.PathLogout, nil)
		stolen.want(401, get, api.PathFleetWorkers, nil)
	})

	t.Run("a reader", func(t *testing.T) {
		rita := f.login(200, "rita", password)
		rita.want(200, get, api.PathFleetWorkers, nil)
		rita.want(200, get, api.PathQuery+"?query=up", nil)
		rita.want(200, get, api.PathMe, nil)
		for _, path := range append([]string{api.PathUsers, api.PathWebAudit}, prefixed(api.PrefixAdminCollector, adminPaths())...) {
			rita.want(403, get, path, nil)
			rita.want(403, post, path, struct{}{})
		}
		rita.want(403, post, api.PathAPITokens, api.APITokenRequest{Name: "more", Scope: api.ScopeAdmin})
		var made api.APITokenCreated
		if err := json.Unmarshal([]byte(rita.want(200, post, api.PathAPITokens, api.APITokenRequest{Name: "grafana", Scope: api.ScopeRead})), &made); err != nil {
			t.Fatal(err)
		}
		program := f.browser().with("Authorization", "Bearer "+made.Token)
		program.want(200, get, api.PathQuery+"?query=up", nil)
		program.want(403, get, pending, nil)
		program.with("Authorization", "Bearer "+made.Token+"x").want(401, get, api.PathQuery+"?query=up", nil)
		rita.want(200, http.MethodDelete, api.PathAPITokens+"/"+made.ID, nil)
		program.want(401, get, api.PathQuery+"?query=up", nil)
	})

	t.Run("the admin secret", func(t *testing.T) {
		secret := func() string {
			text, err := os.ReadFile(f.path(model.DaemonCoordinator, "fleet", "admin.secret"))
			if err != nil {
				t.Fatal(err)
			}
			return strings.TrimSpace(string(text))
		}
		former := secret()
		f.login(200, "admin", former).want(200, get, api.PathUsers, nil)
		if err := f.admin.ResetSecret(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.login(401, "admin", former).want(401, get, api.PathUsers, nil)
		f.login(200, "admin", secret()).want(200, post, tokens, api.TokenRequest{})
		if e := f.entries(model.DaemonCoordinator, "secret.reset", ""); len(e) != 1 || !e[0].OK || e[0].From != "unix socket" {
			t.Errorf("audit log %+v", e)
		}
	})

	// The last one: it locks this address, too.
	t.Run("somebody who guesses", func(t *testing.T) {
		for range 3 {
			f.login(401, "mallory", "a guess of mine")
		}
		locked := f.browser()
		text := locked.want(429, post, api.PathLogin, api.Login{Name: "mallory", Password: password})
		if !strings.Contains(text, "locked") {
			t.Errorf("he is told %s", text)
		}
		users, err := f.client.Users(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, user := range users.Users {
			if until := user.Locked; (user.Name == "mallory") != until.After(time.Now()) {
				t.Errorf("%s is locked until %v", user.Name, until)
			}
		}
		if err := f.client.SetPassword(t.Context(), "mallory", password); err != nil { // an administrator helps
			t.Error(err)
		}
		if e := f.entries(model.DaemonCollector, "login.failed", ""); len(e) < 3 || e[len(e)-1].From != "127.0.0.1" || e[len(e)-1].OK {
			t.Errorf("audit log %+v", e)
		}
	})
}

func prefixed(prefix string, paths []string) []string {
	var all []string
	for _, path := range paths {
		all = append(all, prefix+path)
	}
	return all
}
