package ctl

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/local"
	"github.com/cloudless-fleet/cloudless/pkg/trust/trusttest"
)

const (
	goodToken   = api.APITokenPrefix + "good"
	goodSession = "session-of-alice"
	password    = "correct horse battery"
)

// testFleet is both daemons with answers of the test's: behind unix sockets, and
// a collector behind the fleet's real TLS.
type testFleet struct {
	*trusttest.Fleet
	dir                string
	url                string
	coordinator        string // paths of the sockets
	collector          string
	config             string // settings that name the sockets
	server             *httptest.Server
	fleet              api.Fleet
	queries            map[string]string // bodies by query
	mu                 sync.Mutex        // guards what follows
	answers            map[string]answer // by "METHOD PATH", prefixes of administration being "admin"
	asked              []string          // "query time" of the queries that came
	heard              []string          // "METHOD PATH BODY" of all other requests but GET
	over               []string          // how each of them came: "socket", "token", "certificate"
	tokens             map[string]bool   // API tokens that are good
	forbidden, unknown bool              // everybody is refused with 403, or 401
	// answer goes before answers, when it is set and knows one.
	answer func(path string, body []byte) (answer, bool)
}

type answer struct {
	status int
	body   any
}

func newFleet(t *testing.T) *testFleet {
	t.Helper()
	f := &testFleet{Fleet: trusttest.New(t, "lab"), dir: t.TempDir(), queries: map[string]string{}, answers: map[string]answer{},
		tokens: map[string]bool{goodToken: true}}
	f.answers["GET "+api.PathIdentity] = answer{200, api.FleetIdentity{Fleet: "lab", Authorities: f.Bundle().Fingerprints()}}
	f.url = f.serveTLS(t, f.Member(trust.RoleCollector, "collector-1"))
	sockets, err := os.MkdirTemp("", "ctl-") // the path of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(sockets) })
	f.coordinator, f.collector = filepath.Join(sockets, "control.sock"), filepath.Join(sockets, "api.sock")
	for _, path := range []string{f.coordinator, f.collector} {
		listener, err := local.Listen(path)
		if err != nil {
			t.Fatal(err)
		}
		server := &http.Server{Handler: f, ConnContext: local.ConnContext}
		go func() { _ = server.Serve(listener) }()
		t.Cleanup(func() { server.Close() })
	}
	f.config = writeFile(t, filepath.Join(f.dir, "cloudlessctl.toml"),
		fmt.Sprintf("coordinator_socket = %q\ncollector_socket = %q\n", f.coordinator, f.collector))
	return f
}

func (f *testFleet) serveTLS(t *testing.T, as *trust.Credentials) string {
	t.Helper()
	f.server = httptest.NewUnstartedServer(f)
	f.server.TLS = as.Server([]string{"h2", "http/1.1"}, trust.ClientOptional)
	f.server.EnableHTTP2 = true
	f.server.Config.ErrorLog = log.New(io.Discard, "", 0) // of handshakes that fail on purpose
	f.server.StartTLS()
	t.Cleanup(f.server.Close)
	return f.server.URL
}

// script sets the answer to "METHOD PATH".
func (f *testFleet) script(what string, body any) { f.answers[what] = answer{http.StatusOK, body} }

// refuse has "METHOD PATH" refused.
func (f *testFleet) refuse(what string, status int, kind, text string) {
	f.answers[what] = answer{status, map[string]string{"status": "error", "errorType": kind, "error": text}}
}

func (f *testFleet) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	path := r.URL.Path
	for _, prefix := range []string{api.PrefixAdminCollector, api.PrefixAdminCoordinator} {
		if rest, is := strings.CutPrefix(path, prefix); is {
			path = "admin" + rest
		}
	}
	by := f.knows(r)
	if path != api.PathIdentity && path != api.PathLogin && (by == "" || f.unknown) {
		reply(w, answer{401, map[string]string{"status": "error", "errorType": "unauthorized", "error": "not logged in"}})
		return
	}
	if f.forbidden {
		reply(w, answer{403, map[string]string{"status": "error", "errorType": "forbidden", "error": "alice may not do this"}})
		return
	}
	switch path {
	case api.PathFleetWorkers:
		reply(w, answer{200, f.fleet})
		return
	case api.PathQuery:
		f.query(w, r)
		return
	}
	body, _ := io.ReadAll(r.Body)
	if r.Method != http.MethodGet || r.URL.RawQuery != "" {
		line := r.Method + " " + path
		if r.URL.RawQuery != "" {
			line += "?" + r.URL.RawQuery
		}
		f.heard, f.over = append(f.heard, strings.TrimSpace(line+" "+string(body))), append(f.over, by)
	}
	if f.answer != nil {
		if said, known := f.answer(path, body); known {
			reply(w, said)
			return
		}
	}
	said, known := f.answers[r.Method+" "+path]
	if !known {
		said = answer{404, map[string]string{"status": "error", "errorType": "not_found", "error": "no such thing: " + path}}
	}
	if path == api.PathLogin && said.status == 200 {
		http.SetCookie(w, &http.Cookie{Name: api.SessionCookie, Value: goodSession, Path: "/", Secure: true, HttpOnly: true})
	}
	reply(w, said)
}

func reply(w http.ResponseWriter, said answer) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(said.status)
	if said.body != nil {
		_ = json.NewEncoder(w).Encode(said.body)
	}
}

// knows tells by what the caller is known, if at all.
func (f *testFleet) knows(r *http.Request) string {
	if _, isLocal := local.CallerOf(r.Context()); isLocal {
		return "socket"
	}
	if token, found := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); found && f.tokens[token] {
		return "token"
	}
	if cookie, err := r.Cookie(api.SessionCookie); err == nil && cookie.Value == goodSession {
		return "session"
	}
	if r.TLS != nil {
		if peer, err := trust.PeerIdentity(*r.TLS); err == nil && peer.Role == trust.RoleOperator {
			return "certificate"
		}
	}
	return ""
}

func (f *testFleet) query(w http.ResponseWriter, r *http.Request) {
	f.asked = append(f.asked, r.FormValue("query")+" "+r.FormValue("time"))
	body, known := f.queries[r.FormValue("query")]
	if !known {
		body = `{"status":"error","errorType":"bad_data","error":"invalid parameter \"query\": 1:5: parse error: unexpected end of input"}`
		w.WriteHeader(http.StatusBadRequest)
	}
	_, _ = w.Write([]byte(body))
}

// transcript begins one that shows what the daemons heard.
func (f *testFleet) transcript(t *testing.T, hide ...string) *transcript {
	hide = append(hide, f.dir, "DIR", f.url, "https://collector:9090", strings.TrimPrefix(f.url, "https://"), "collector:9090",
		f.coordinator, "/run/control.sock", f.collector, "/run/api.sock", f.Bundle().Fingerprints()[0].String(), "AUTHORITY")
	s := newTranscript(t, hide...)
	s.heard = func() (lines []string) {
		f.mu.Lock()
		defer f.mu.Unlock()
		for i, line := range f.heard {
			lines = append(lines, f.over[i]+": "+line)
		}
		f.heard, f.over = nil, nil
		return lines
	}
	return s
}

// operator writes settings of an operator with a certificate.
func (f *testFleet) operator(t *testing.T, name, url string, files trust.Files) string {
	t.Helper()
	return writeFile(t, filepath.Join(f.dir, name),
		fmt.Sprintf("collector = %q\n[tls]\nca = %q\ncert = %q\nkey = %q\n", url, files.CA, files.Cert, files.Key))
}

// loggedIn leaves a login behind, in a home of the test's.
func (f *testFleet) loggedIn(t *testing.T) *login {
	t.Helper()
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	l := &login{Version: loginVersion, Collector: f.url, Fleet: "lab", Authorities: f.Bundle().Fingerprints(), User: "alice",
		Scope: "admin", TokenID: "t1", Token: goodToken, Expires: date(30)}
	if err := l.write(); err != nil {
		t.Fatal(err)
	}
	return l
}

// date is a time on a day of January 2027.
func date(day int) time.Time { return time.Date(2027, 1, day, 8, 30, 0, 0, time.UTC) }

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

func workerID(n byte) model.WorkerID { return model.WorkerIDFrom([16]byte{n}) }

// threeWorkers is a fleet with everything that a table can show.
func threeWorkers() api.Fleet {
	const now = 1_800_000_000_000
	return api.Fleet{Now: now, Workers: []api.Worker{
		{ID: workerID(1), Instance: "db-1", Hostname: "db-1", State: model.Registered,
			Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.7"), netip.MustParseAddr("fd00::7")},
			Ports:     []api.Port{{Daemon: model.DaemonWorker, Port: 10300}},
			Version:   "0.9.0", KeepAlive: 30_000, LeaseRemaining: 29_400, LastContact: now - 600, LastFrame: now - 700,
			LastFrameAge: 650, Connected: true, RetriesLeft: 3, Conflict: true, ClockOffset: 12_300,
			Labels: map[string]string{"site": "lab", "rack": "r 1"}},
		{ID: workerID(2), Instance: "web-1", Hostname: "web-1", State: model.Expired,
			Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.8")}, Ports: []api.Port{},
			Version: "0.9.0", KeepAlive: 30_000, LastContact: now - 7_500_000, LastFrame: now - 7_501_000, LastFrameAge: 7_500_500, ClockOffset: -61_000},
		{ID: workerID(3), Instance: "web-2", Hostname: "web-2", State: model.Pending,
			Addresses: []netip.Addr{}, Ports: []api.Port{}, KeepAlive: 30_000, LeaseRemaining: 95_000, LastFrameAge: -1, RetriesLeft: 3, ClockOffset: 999},
	}}
}
