package ctl

import (
	"context"
	"errors"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/trusttest"
)

func TestWhatCanBeWrongOnTheWay(t *testing.T) {
	fleet := newFleet(t)
	fleet.fleet = threeWorkers()
	operator := fleet.Files(trust.RoleOperator, "alice")
	nobody := freeAddress(t)
	s := newTranscript(t)
	failing := func(what, config string, args ...string) {
		t.Helper()
		s.remark(what)
		if code := s.run(append([]string{"workers", "--config", config}, args...)...); code != ExitFailed {
			t.Errorf("%s: got exit code %d, want %d", what, code, ExitFailed)
		}
	}
	settings := func(name, url string, files trust.Files) string { return fleet.settings(t, name, url, files) }
	failing("no settings", filepath.Join(fleet.dir, "none.toml"))
	failing("settings with mistakes", writeFile(t, filepath.Join(fleet.dir, "bad.toml"),
		"colector = \"https://x\"\ncollector = 1\n[tls]\ncert = true\n"))
	failing("settings that are not valid", writeFile(t, filepath.Join(fleet.dir, "invalid.toml"),
		"collector = \"collector:9090\"\n[tls]\nca = \"\"\nkey = \"\"\n"))
	missing := operator
	missing.Cert = filepath.Join(fleet.dir, "none.crt")
	failing("no certificate", settings("missing.toml", fleet.url, missing))
	failing("nobody listens", fleet.config, "--collector", "https://"+nobody)
	failing("the collector of another fleet", settings("foreign.toml", fleet.url, trusttest.New(t, "prod").Files(trust.RoleOperator, "alice")))
	failing("the collector of a fleet of the same name", settings("twin.toml", fleet.url, trusttest.New(t, "lab").Files(trust.RoleOperator, "alice")))
	failing("a certificate that may not look", settings("worker.toml", fleet.url, fleet.Files(trust.RoleCoordinator, "x")))

	text := strings.NewReplacer(nobody, "127.0.0.1:PORT", fleet.url, "https://collector", fleet.dir, "DIR",
		filepath.Dir(operator.CA), "TLS").Replace(s.text.String())
	s.text.Reset()
	s.text.WriteString(text)
	s.golden("connect.golden")
}

// freeAddress is one on which nobody listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

func TestEnvironmentGoesOverSettings(t *testing.T) {
	fleet := newFleet(t)
	fleet.fleet = threeWorkers()
	config := fleet.settings(t, "away.toml", "https://"+freeAddress(t), fleet.Files(trust.RoleOperator, "alice"))
	t.Setenv("CLOUDLESSCTL_COLLECTOR", fleet.url)
	if code, _, stderr := ctl(t.Context(), "workers", "--config", config); code != ExitOK {
		t.Errorf("got exit code %d: %s", code, stderr)
	}
	t.Setenv("CLOUDLESSCTL_TLS_KEYS", "x")
	if code, _, stderr := ctl(t.Context(), "workers", "--config", config); code != ExitFailed ||
		!strings.Contains(stderr, "environment: CLOUDLESSCTL_TLS_KEYS: unknown variable, did you mean CLOUDLESSCTL_TLS_KEY?") {
		t.Errorf("unknown variable: got exit code %d: %s", code, stderr)
	}
}

func TestExplain(t *testing.T) {
	late := &url.Error{Op: "Post", URL: "https://collector:9090/api/v1/query?x=1", Err: context.DeadlineExceeded}
	if got, want := explain(late).Error(), "https://collector:9090: no answer within 2m"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	other := errors.New("other")
	if got := explain(other); got != other {
		t.Errorf("got %v, want it unchanged", got)
	}
}
