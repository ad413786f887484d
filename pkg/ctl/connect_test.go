package ctl

import (
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/trusttest"
)

func TestWhatCanBeWrongOnTheWay(t *testing.T) {
	f := newFleet(t)
	f.fleet = threeWorkers()
	operator := f.Files(trust.RoleOperator, "alice")
	nobody := freeAddress(t)
	s := f.transcript(t, filepath.Join(filepath.Dir(f.coordinator), "dead.sock"), "/run/dead.sock", nobody, "127.0.0.1:PORT", filepath.Dir(operator.CA), "TLS")
	failing := func(what, config string, args ...string) {
		t.Helper()
		s.remark(what)
		if code := s.run(append([]string{"workers", "--config", config}, args...)...); code != ExitFailed {
			t.Errorf("%s: got exit code %d, want %d", what, code, ExitFailed)
		}
	}
	write := func(name, text string) string { return writeFile(t, filepath.Join(f.dir, name), text) }
	failing("no settings", filepath.Join(f.dir, "none.toml"))
	failing("settings with mistakes", write("bad.toml", "colector = \"https://x\"\ncollector = 1\n[tls]\ncert = true\n"))
	failing("settings that are not valid", write("invalid.toml",
		"collector = \"collector:9090\"\ncollector_socket = \"api.sock\"\n[tls]\nkey = \"x\"\n"))

	dead := filepath.Join(filepath.Dir(f.coordinator), "dead.sock")
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: dead})
	if err != nil {
		t.Fatal(err)
	}
	listener.SetUnlinkOnClose(false)
	listener.Close()
	failing("no socket", f.config, "--collector-socket", filepath.Join(f.dir, "none.sock"))
	failing("a socket that nobody serves", f.config, "--collector-socket", dead)
	f.forbidden = true
	failing("a user of the host who may not look", f.config)
	f.forbidden = false

	away := write("away.toml", "collector = \""+f.url+"\"\n")
	failing("not logged in", away)
	failing("not logged in there", f.config, "--collector", "collector.example")
	token := func(value string) string {
		return write("token.toml", "collector = \""+f.url+"\"\ntoken = \""+value+"\"\n")
	}
	failing("an authority that nobody vouches for", token(goodToken))
	ca := write("ca.pem", string(f.Bundle().PEM()))
	withCA := func(value string) string {
		return write("token.toml", "collector = \""+f.url+"\"\ntoken = \""+value+"\"\n[tls]\nca = \""+ca+"\"\n")
	}
	failing("a token that is not good any more", withCA("cloudless_api1_bad"))
	f.forbidden = true
	failing("a token of too little scope", withCA(goodToken))
	f.forbidden = false
	failing("no file of a token", write("token.toml", "collector = \""+f.url+"\"\ntoken_file = \""+f.dir+"/none\"\n"))
	failing("a file of something else", write("token.toml", "collector = \""+f.url+"\"\ntoken_file = \""+ca+"\"\n"))
	failing("no file of an authority", write("token.toml", "collector = \""+f.url+"\"\ntoken = \"x\"\n[tls]\nca = \""+f.dir+"/none\"\n"))

	missing := operator
	missing.Cert = filepath.Join(f.dir, "none.crt")
	failing("no certificate", f.operator(t, "missing.toml", f.url, missing))
	failing("nobody listens", f.operator(t, "alice.toml", f.url, operator), "--collector", "https://"+nobody)
	failing("the collector of another fleet", f.operator(t, "foreign.toml", f.url, trusttest.New(t, "prod").Files(trust.RoleOperator, "alice")))
	failing("the collector of a fleet of the same name", f.operator(t, "twin.toml", f.url, trusttest.New(t, "lab").Files(trust.RoleOperator, "alice")))
	failing("a certificate that may not look", f.operator(t, "worker.toml", f.url, f.Files(trust.RoleCoordinator, "x")))
	s.golden("connect.golden")
}

// Every kind of access works, and each comes by itself.
func TestWaysIn(t *testing.T) {
	f := newFleet(t)
	f.script("DELETE admin/tokens/1", nil)
	ca := writeFile(t, filepath.Join(f.dir, "ca.pem"), string(f.Bundle().PEM()))
	tokenFile := writeFile(t, filepath.Join(f.dir, "token"), goodToken+"\n")
	settings := func(name, text string) string {
		return writeFile(t, filepath.Join(f.dir, name), "collector = \""+f.url+"\"\n"+text)
	}
	for _, way := range []struct {
		what, config string
		before       func(t *testing.T)
		want         string
	}{
		{"the sockets that the settings name", f.config, nil, "socket"},
		{"a token in the settings", settings("1.toml", "token = \""+goodToken+"\"\n[tls]\nca = \""+ca+"\"\n"), nil, "token"},
		{"a token of the environment", settings("2.toml", "[tls]\nca = \""+ca+"\"\n"), func(t *testing.T) { t.Setenv("CLOUDLESSCTL_TOKEN", goodToken) }, "token"},
		{"a token in a file", settings("3.toml", "token_file = \""+tokenFile+"\"\n[tls]\nca = \""+ca+"\"\n"), nil, "token"},
		{"a certificate", f.operator(t, "operator.toml", f.url, f.Files(trust.RoleOperator, "alice")), nil, "certificate"},
		{"a login", writeFile(t, filepath.Join(f.dir, "empty.toml"), ""), func(t *testing.T) { f.loggedIn(t) }, "token"},
	} {
		t.Run(way.what, func(t *testing.T) {
			if way.before != nil {
				way.before(t)
			}
			code, _, stderr := ctl(t.Context(), "token", "revoke", "1", "--config", way.config)
			if code != ExitOK {
				t.Fatalf("exit code %d: %s", code, stderr)
			}
			if got := f.over[len(f.over)-1]; got != way.want {
				t.Errorf("came by %s, want %s", got, way.want)
			}
		})
	}
}

// The most explicit word counts.
func TestRoutes(t *testing.T) {
	home := &login{Collector: "https://home:9090"}
	settings := func(change func(*Config)) Config {
		c := DefaultConfig()
		if change != nil {
			change(&c)
		}
		return c
	}
	address := func(c *Config) { c.Collector = "https://away:9090/" }
	socket := func(c *Config) { c.CollectorSocket = "/mine.sock" }
	both := func(c *Config) { address(c); socket(c) }
	homeToo := func(c *Config) { c.Collector = home.Collector }
	for _, test := range []struct {
		what  string
		given choices
		want  string
		login bool
	}{
		{"an option", choices{settings: settings(both), collector: "https://there:9090", login: home}, "https://there:9090", false},
		{"an option for a socket", choices{settings: settings(both), socket: "/opt.sock", login: home}, "/opt.sock", false},
		{"an address in the settings", choices{settings: settings(both), login: home}, "https://away:9090", false},
		{"a socket in the settings", choices{settings: settings(socket), login: home}, "/mine.sock", false},
		{"the login", choices{settings: settings(nil), login: home}, "https://home:9090", true},
		{"the login of that address", choices{settings: settings(homeToo), login: home}, "https://home:9090", true},
		{"the socket of this host", choices{settings: settings(nil)}, "/run/cloudless/collectord/api.sock", false},
	} {
		test.given.exists = func(path string) bool { return path == defaultCollectorSocket }
		got, err := test.given.route(model.DaemonCollector)
		if err != nil || got.String() != test.want || (got.login != nil) != test.login {
			t.Errorf("%s: got %s, login %v, %v; want %s", test.what, got, got.login != nil, err, test.want)
		}
	}
	nothing := choices{settings: settings(nil), exists: func(string) bool { return false }}
	if _, err := nothing.route(model.DaemonCoordinator); !errors.Is(err, errNoWay) || !strings.Contains(err.Error(), defaultCoordinatorSocket) {
		t.Errorf("got %v, want an error that names the socket", err)
	}
}

// A folder of sockets that does not let this user through.
func TestASocketThatIsClosedToTheUser(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root is let through everywhere")
	}
	f := newFleet(t)
	if err := os.Chmod(filepath.Dir(f.collector), 0); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(filepath.Dir(f.collector), 0o700)
	code, _, stderr := ctl(t.Context(), "workers", "--config", f.config)
	if code != ExitFailed || !strings.Contains(stderr, "usermod -aG cloudless") {
		t.Errorf("got exit code %d: %s", code, stderr)
	}
}

func TestEnvironmentGoesOverSettings(t *testing.T) {
	f := newFleet(t)
	f.fleet = threeWorkers()
	config := f.operator(t, "away.toml", "https://"+freeAddress(t), f.Files(trust.RoleOperator, "alice"))
	t.Setenv("CLOUDLESSCTL_COLLECTOR", f.url)
	if code, _, stderr := ctl(t.Context(), "workers", "--config", config); code != ExitOK {
		t.Errorf("got exit code %d: %s", code, stderr)
	}
	t.Setenv("CLOUDLESSCTL_TLS_KEYS", "x")
	if code, _, stderr := ctl(t.Context(), "workers", "--config", config); code != ExitFailed ||
		!strings.Contains(stderr, "environment: CLOUDLESSCTL_TLS_KEYS: unknown variable, did you mean CLOUDLESSCTL_TLS_KEY?") {
		t.Errorf("unknown variable: got exit code %d: %s", code, stderr)
	}
}

// A redirection would carry the token to somebody else.
func TestRedirectionsAreNotFollowed(t *testing.T) {
	f := newFleet(t)
	f.loggedIn(t)
	followed := false
	f.answer = func(path string, _ []byte) (answer, bool) {
		followed = followed || path == "/elsewhere"
		return answer{status: http.StatusTemporaryRedirect}, true
	}
	code, _, _ := ctl(t.Context(), "token", "list", "--collector", f.url)
	if code != ExitFailed || followed {
		t.Errorf("got exit code %d, followed %v", code, followed)
	}
}
