package ctl

import (
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/trusttest"
)

// testFleet is a collector behind the fleet's real TLS, with answers of the
// test's, and the settings of an operator.
type testFleet struct {
	*trusttest.Fleet
	dir    string
	url    string
	config string // path of cloudlessctl.toml

	fleet   api.Fleet
	answers map[string]string // bodies by query
	asked   []string          // "query time" of the queries that came
}

func newFleet(t *testing.T) *testFleet {
	t.Helper()
	f := &testFleet{Fleet: trusttest.New(t, "lab"), dir: t.TempDir(), answers: map[string]string{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+api.PathFleetWorkers, func(w http.ResponseWriter, r *http.Request) {
		if f.lets(w, r) {
			_ = json.NewEncoder(w).Encode(f.fleet)
		}
	})
	mux.HandleFunc("POST "+api.PathQuery, func(w http.ResponseWriter, r *http.Request) {
		if !f.lets(w, r) {
			return
		}
		f.asked = append(f.asked, r.FormValue("query")+" "+r.FormValue("time"))
		body, known := f.answers[r.FormValue("query")]
		if !known {
			body = `{"status":"error","errorType":"bad_data","error":"invalid parameter \"query\": 1:5: parse error: unexpected end of input"}`
			w.WriteHeader(http.StatusBadRequest)
		}
		_, _ = w.Write([]byte(body))
	})
	server := httptest.NewUnstartedServer(mux)
	server.TLS = f.Member(trust.RoleCollector, "collector-1").Server([]string{"h2", "http/1.1"}, trust.ClientOptional)
	server.EnableHTTP2 = true
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // of handshakes that fail on purpose
	server.StartTLS()
	t.Cleanup(server.Close)
	f.url = server.URL
	f.config = f.settings(t, "cloudlessctl.toml", f.url, f.Files(trust.RoleOperator, "alice"))
	return f
}

// lets answers whoever is no operator as collectord does.
func (f *testFleet) lets(w http.ResponseWriter, r *http.Request) bool {
	peer, err := trust.PeerIdentity(*r.TLS)
	if err == nil && peer.Role == trust.RoleOperator {
		return true
	}
	w.WriteHeader(http.StatusForbidden)
	_, _ = w.Write([]byte(`{"status":"error","errorType":"forbidden","error":"a ` + string(peer.Role) + ` may not look at the fleet"}`))
	return false
}

// settings writes a file of settings and returns its path.
func (f *testFleet) settings(t *testing.T, name, url string, files trust.Files) string {
	t.Helper()
	return writeFile(t, filepath.Join(f.dir, name), "collector = \""+url+"\"\n[tls]\nca = \""+files.CA+"\"\ncert = \""+files.Cert+"\"\nkey = \""+files.Key+"\"\n")
}

// threeWorkers is a fleet with everything that a table can show.
func threeWorkers() api.Fleet {
	const now = 1_800_000_000_000
	id := func(n byte) model.WorkerID { return model.WorkerIDFrom([16]byte{n}) }
	return api.Fleet{Now: now, Workers: []api.Worker{
		{ID: id(1), Instance: "db-1", Hostname: "db-1", State: model.Registered,
			Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.7"), netip.MustParseAddr("fd00::7")},
			Ports:     []api.Port{{Daemon: model.DaemonWorker, Port: 10300}},
			Version:   "0.9.0", KeepAlive: 30_000, LeaseRemaining: 29_400, LastContact: now - 600, LastFrame: now - 700,
			LastFrameAge: 650, Connected: true, RetriesLeft: 3, Conflict: true},
		{ID: id(2), Instance: "web-1", Hostname: "web-1", State: model.Expired,
			Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.8")}, Ports: []api.Port{},
			Version: "0.9.0", KeepAlive: 30_000, LastContact: now - 7_500_000, LastFrame: now - 7_501_000, LastFrameAge: 7_500_500},
		{ID: id(3), Instance: "web-2", Hostname: "web-2", State: model.Pending,
			Addresses: []netip.Addr{}, Ports: []api.Port{}, KeepAlive: 30_000, LeaseRemaining: 95_000, LastFrameAge: -1, RetriesLeft: 3},
	}}
}
