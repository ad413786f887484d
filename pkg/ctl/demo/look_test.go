package demo

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudless-fleet/cloudless/pkg/api"
)

func TestLook(t *testing.T) {
	worker := `{"id":"0a1b2c3d-0000-4000-8000-000000000001","instance":"vm","state":"registered","addresses":["127.0.0.1","::1"],"lease_remaining_ms":29500,"last_frame_age_ms":-1}`
	workers := ""
	answers := map[string]string{}
	tokens := `{"tokens":[]}`
	s := &show{Options: Options{Interval: time.Second}, token: "0011"}
	s.admin, s.client = serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case adminPath(api.PathAdminFleet):
			_, _ = w.Write([]byte(`{"fleet":"demo","authorities":[{"fingerprint":"` + strings.Repeat("ab", 32) + `","phase":"issuing"}]}`))
			return
		case adminPath(api.PathAdminTokens):
			_, _ = w.Write([]byte(tokens))
			return
		}
		if r.URL.Path == api.PathFleetWorkers {
			_, _ = w.Write([]byte(`{"now_ms":1,"workers":[` + workers + `]}`))
			return
		}
		for part, value := range answers {
			if strings.Contains(r.FormValue("query"), part) {
				_, _ = w.Write([]byte(`{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"` + value + `"]}]}}`))
				return
			}
		}
		_, _ = w.Write([]byte(`{"status":"success","data":{"resultType":"vector","result":[]}}`))
	})
	steps := []stepRow{{"Fleet", `"demo" made, authority abababababababab...`}, {"Join token", "0011 made, waiting for workerd to join by it"}}
	f := func(want view) {
		t.Helper()
		want.Steps = steps
		if diff := cmp.Diff(want, s.look(t.Context())); diff != "" {
			t.Errorf("view (-want +got):\n%s", diff)
		}
	}
	const waiting = "waiting for the worker to be found and registered"
	f(view{Waiting: waiting})
	workers = worker
	tokens = `{"tokens":[{"id":"0010","used":1},{"id":"0011","used":1}]}`
	steps[1].State = "0011 used: workerd is a member"
	row := workerRow{Name: "vm", State: "registered", Address: "127.0.0.1", FrameAge: -1, LeaseLeft: 29500 * time.Millisecond}
	values := []valueRow{{"CPU busy", "no data yet"}, {"Load, 1 minute", "no data yet"}, {"Memory available", "no data yet"},
		{"Disk writes", "no data yet"}, {"Network received", "no data yet"}, {"Series in a frame", "no data yet"}}
	f(view{Waiting: waiting, Workers: []workerRow{row}, Values: values})
	workers = strings.Replace(worker, "-1", "250", 1)
	row.FrameAge = 250 * time.Millisecond
	answers = map[string]string{"node_cpu_seconds_total": "12.345", "node_load1": "0.5", "MemAvailable": "24696061952",
		"written": "1023", "receive": "1536", "count": "474"}
	values = []valueRow{{"CPU busy", "12.3 %"}, {"Load, 1 minute", "0.50"}, {"Memory available", "23.0 GiB"},
		{"Disk writes", "1023 B/s"}, {"Network received", "1.5 KiB/s"}, {"Series in a frame", "474"}}
	f(view{Waiting: waiting, Workers: []workerRow{row}, Values: values})
}

func TestLookAtDaemonsThatDoNotAnswer(t *testing.T) {
	s := &show{token: "0011"}
	s.admin, s.client = serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write([]byte(`{"status":"error","errorType":"unavailable","error":"the fleet is not known yet"}`))
	})
	want := view{Waiting: "waiting for collectord: unavailable: the fleet is not known yet", Steps: []stepRow{
		{"Fleet", "waiting for coordinatord: unavailable: the fleet is not known yet"},
		{"Join token", "waiting for coordinatord: unavailable: the fleet is not known yet"}}}
	if diff := cmp.Diff(want, s.look(t.Context())); diff != "" {
		t.Errorf("view (-want +got):\n%s", diff)
	}
}

// A rate needs two rounds, however seldom they are.
func TestRatesReachOverSeveralRounds(t *testing.T) {
	for interval, want := range map[time.Duration]string{100 * time.Millisecond: "[15000ms]", time.Second: "[15000ms]", 10 * time.Second: "[40000ms]"} {
		if expr := shown(interval)[0].expr; !strings.Contains(expr, want) {
			t.Errorf("interval %v: got %s, want %s in it", interval, expr, want)
		}
	}
}

func TestSizes(t *testing.T) {
	for v, want := range map[float64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1536: "1.5 KiB", 1 << 20: "1.0 MiB",
		5.5 * (1 << 40): "5.5 TiB", 1 << 60: "1048576.0 TiB"} {
		if got := size(v); got != want {
			t.Errorf("%v bytes: got %s, want %s", v, got, want)
		}
	}
}

func adminPath(path string) string { return api.PrefixAdminCoordinator + path }

func serve(t *testing.T, handler http.HandlerFunc) (*api.AdminClient, *api.Client) {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	admin, err := api.NewAdminClient(server.URL, api.PrefixAdminCoordinator, server.Client())
	if err != nil {
		t.Fatal(err)
	}
	client, err := api.NewClient(server.URL, server.Client())
	if err != nil {
		t.Fatal(err)
	}
	return admin, client
}
