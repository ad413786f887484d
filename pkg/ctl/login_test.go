package ctl

import (
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/trusttest"
)

// people lets alice log in.
func (f *testFleet) people() {
	f.script("POST "+api.PathLogin, api.Principal{Name: "alice", Scope: api.ScopeAdmin, By: "session"})
	f.answers["POST "+api.PathLogout] = answer{http.StatusNoContent, nil}
	row := api.APITokenRow{ID: "t1", Name: "cloudlessctl on this host", Owner: "alice", Scope: api.ScopeAdmin, Created: date(1), Expires: date(31)}
	f.script("POST "+api.PathAPITokens, api.APITokenCreated{Token: goodToken, APITokenRow: row})
	f.answers["DELETE "+api.PathAPITokens+"/t1"] = answer{http.StatusNoContent, nil}
}

func TestLogin(t *testing.T) {
	f := newFleet(t)
	f.people()
	f.fleet = threeWorkers()
	home := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", home)
	host, _ := os.Hostname()
	s := f.transcript(t, "cloudlessctl on "+host, "cloudlessctl on HOST", home, "HOME")
	empty := writeFile(t, filepath.Join(f.dir, "empty.toml"), "")
	login := func(args ...string) int { return s.run(append([]string{"login"}, args...)...) }
	s.remark("the first contact: somebody compares the authority")
	s.types("yes", "alice", password)
	login(f.url)
	stored := read(t, filepath.Join(home, "cloudless", "cloudlessctl.json"))
	var got storedLogin
	if err := json.Unmarshal([]byte(stored), &got); err != nil {
		t.Fatal(err)
	}
	want := storedLogin{Version: 1, Collector: f.url, Fleet: "lab", Authorities: f.Bundle().Fingerprints(), User: "alice", Scope: "admin",
		TokenID: "t1", Token: goodToken, Expires: date(31)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("login (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"-rw------- cloudless/cloudlessctl.json", "drwx------ cloudless"}, listing(t, home)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	for _, secret := range []string{password, goodSession} {
		if strings.Contains(stored, secret) {
			t.Errorf("the file of the login holds %q", secret)
		}
	}
	s.remark("it is used, also for administration")
	f.script("DELETE admin/tokens/1", nil)
	s.run("token", "revoke", "1", "--config", empty)
	s.remark("again: the authority is known, and so is the user; the former token is ended")
	row := api.APITokenRow{ID: "t2", Owner: "alice", Scope: api.ScopeAdmin, Created: date(1), Expires: date(31)}
	f.script("POST "+api.PathAPITokens, api.APITokenCreated{Token: goodToken, APITokenRow: row})
	s.types("", password)
	login()
	s.remark("the end")
	f.answers["DELETE "+api.PathAPITokens+"/t2"] = answer{http.StatusNoContent, nil}
	s.run("logout")
	s.run("logout")
	if left := listing(t, home); len(left) != 1 {
		t.Errorf("left after logout: %v", left)
	}

	s.remark("not confirmed")
	s.types("no")
	login(f.url)
	s.remark("nobody to ask: the authority has to be given")
	s.pipes(password + "\n")
	login(f.url)
	s.pipes(password + "\n")
	login(f.url, "--authority", f.Bundle().Fingerprints()[0].String(), "--user", "alice", "--ttl", "1h")
	s.run("logout")
	s.remark("another authority than the one that was given")
	s.pipes(password + "\n")
	login(f.url, "--authority", strings.Repeat("ab", 32))
	s.remark("what the collector refuses")
	f.refuse("POST "+api.PathLogin, http.StatusUnauthorized, "unauthorized", "wrong name or password")
	s.types("yes", "", "wrong")
	login(f.url)
	f.refuse("POST "+api.PathLogin, http.StatusTooManyRequests, "locked", "alice is locked until 2027-01-01 08:45")
	s.types("yes", "alice", password)
	login(f.url)
	s.remark("no password")
	s.types("yes", "alice", "")
	login(f.url)
	s.golden("login.golden")
}

type storedLogin = login

// Whoever claims to be the collector must prove it before a password is sent.
func TestLoginAtAnImpostor(t *testing.T) {
	f := newFleet(t)
	f.people()
	impostor := trusttest.New(t, "lab")
	real := f.Bundle().Fingerprints()
	url := f.serveTLS(t, impostor.Member(trust.RoleCollector, "collector-1")) // and it claims the real authority
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	s := f.transcript(t, url, "https://impostor:9090")
	s.types("yes", "alice", password)
	s.run("login", url)
	s.pipes(password)
	s.run("login", url, "--authority", real[0].String(), "--user", "alice")
	s.remark("a worker of the fleet is no collector")
	worker := f.serveTLS(t, f.Member(trust.RoleCoordinator, "x"))
	s.hide = append(s.hide, worker, "https://worker:9090")
	s.types("yes", "alice", password)
	s.run("login", worker)
	s.remark("the collector was replaced since the login")
	l := f.loggedIn(t)
	l.Collector = url
	if err := l.write(); err != nil {
		t.Fatal(err)
	}
	s.run("workers", "--config", writeFile(t, filepath.Join(f.dir, "empty.toml"), ""))
	s.types("alice", password)
	s.run("login")
	s.remark("nobody listens")
	nobody := freeAddress(t)
	s.hide = append(s.hide, nobody, "127.0.0.1:PORT")
	s.types("yes", "alice", password)
	s.run("login", nobody)
	s.golden("impostor.golden")
	if strings.Contains(s.text.String(), password) {
		t.Error("the password was sent")
	}
}

// A login goes with the fleet to its new authority: whatever a recognised
// collector shows is remembered.
func TestALoginOutlivesTheAuthority(t *testing.T) {
	f := newFleet(t)
	l := f.loggedIn(t)
	next, err := trust.ParseBundle(trusttest.New(t, "lab").Bundle().PEM())
	if err != nil {
		t.Fatal(err)
	}
	p := newPins("lab", l.Authorities...)
	p.by = l.Authorities[0]
	shown := append(f.Bundle().Authorities, next.Authorities...)
	p.learn(shown)
	want := append(l.Authorities, next.Fingerprints()...)
	if diff := cmp.Diff(want, p.authorities()); diff != "" {
		t.Errorf("known (-want +got):\n%s", diff)
	}
	r := &reach{login: l, pins: p}
	r.done()
	stored, err := readLogin()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, stored.Authorities); diff != "" {
		t.Errorf("stored (-want +got):\n%s", diff)
	}
	// Authorities of others, or without the one that vouches, teach nothing.
	p.learn(trusttest.New(t, "prod").Bundle().Authorities)
	p.learn(next.Authorities)
	if diff := cmp.Diff(want, p.authorities()); diff != "" {
		t.Errorf("known after strangers (-want +got):\n%s", diff)
	}
}

func TestLoginsThatCannotBeUsed(t *testing.T) {
	f := newFleet(t)
	l := f.loggedIn(t)
	path, err := loginPath()
	if err != nil {
		t.Fatal(err)
	}
	good := read(t, path)
	for _, test := range []struct{ what, text, want string }{
		{"damaged", good[:20], "damaged"},
		{"of a later version", strings.Replace(good, `"version": 1`, `"version": 2`, 1), "it is of version 2, this cloudlessctl reads version 1"},
		{"without a token", strings.Replace(good, l.Token, "", 1), "incomplete"},
		{"with another address", strings.Replace(good, "https://", "http://", 1), "incomplete"},
	} {
		writeFile(t, path, test.text)
		if _, err := readLogin(); err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), l.Token) {
			t.Errorf("%s: got %v, want %s", test.what, err, test.want)
		}
	}
	writeFile(t, path, good)
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := readLogin(); err == nil || !strings.Contains(err.Error(), "can be read by others (mode 0640)") {
		t.Errorf("readable by others: got %v", err)
	}
}

// Without the server the login ends here, and it is told what is left.
func TestLogoutWithoutTheCollector(t *testing.T) {
	f := newFleet(t)
	f.loggedIn(t)
	f.server.Close()
	code, _, stderr := ctl(t.Context(), "logout")
	if code != ExitFailed || !strings.Contains(stderr, "`cloudlessctl api-token revoke t1` ends it before") {
		t.Errorf("got exit code %d: %s", code, stderr)
	}
	if l, err := readLogin(); l != nil || err != nil {
		t.Errorf("the login is still there: %v, %v", l, err)
	}
}

func FuzzParseLogin(f *testing.F) {
	f.Add([]byte(`{"version":1,"collector":"https://c:9090","fleet":"lab","authorities":["` + strings.Repeat("ab", 32) + `"],"token":"x"}`))
	f.Add([]byte(`{"version":2}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := parseLogin(data)
		if err != nil {
			return
		}
		text, err := json.Marshal(l)
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseLogin(text)
		if err != nil || again.Token != l.Token || again.Collector != l.Collector {
			t.Errorf("%s: got %v, %v", data, again, err)
		}
	})
}

func FuzzAddressOf(f *testing.F) {
	for _, typed := range []string{"collector", "https://c:1/x", "[::1]", "a b", "%"} {
		f.Add(typed)
	}
	f.Fuzz(func(t *testing.T, typed string) {
		address, err := addressOf(typed)
		if err != nil {
			return
		}
		if bad := checkAddress(address); bad != nil {
			t.Errorf("%q: %v", typed, bad)
		}
		if again, err := addressOf(address); err != nil || again != address {
			t.Errorf("%q gave %q, which gives %q, %v", typed, address, again, err)
		}
	})
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return string(data)
}
