package fleet

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

type source struct {
	workers []api.Worker
	err     error
}

func (s source) Workers(context.Context) ([]api.Worker, error) {
	return append([]api.Worker(nil), s.workers...), s.err
}

func (s source) Worker(_ context.Context, id model.WorkerID) (api.Worker, bool, error) {
	for _, w := range s.workers {
		if w.ID == id {
			return w, true, s.err
		}
	}
	return api.Worker{}, false, s.err
}

func id(n byte) model.WorkerID { return model.WorkerIDFrom([16]byte{n}) }

func row(n byte, instance string, state model.WorkerState) api.Worker {
	return api.Worker{ID: id(n), Instance: instance, Hostname: "h", State: state, Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.1")},
		Ports:     api.PortsOf([]model.PortInfo{{Daemon: "workerd", Port: 10300}}),
		KeepAlive: 30000, LeaseRemaining: 12000, LastContact: 1000, LastFrame: 900, LastFrameAge: 100, Connected: true, RetriesLeft: 3, Version: "0.1"}
}

func serve(t *testing.T, s Source) (*httptest.Server, *api.Client) {
	t.Helper()
	mux := http.NewServeMux()
	New(s, func() time.Time { return time.UnixMilli(1234) }).Register(mux, func(_ string, h http.Handler) http.Handler { return h })
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	client, err := api.NewClient(server.URL, server.Client())
	if err != nil {
		t.Fatal(err)
	}
	return server, client
}

func get(t *testing.T, address string) (int, string) {
	t.Helper()
	response, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(b)
}

func TestWorkersAreListedInOrder(t *testing.T) {
	s := source{workers: []api.Worker{row(3, "b", model.Registered), row(2, "a", model.Suspect), row(1, "a", model.Expired)}}
	server, client := serve(t, s)
	got, err := client.Workers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := api.Fleet{Now: 1234, Workers: []api.Worker{s.workers[2], s.workers[1], s.workers[0]}}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	f := func(query string, want int) {
		t.Helper()
		if _, body := get(t, server.URL+api.PathFleetWorkers+query); strings.Count(body, `"id":`) != want {
			t.Errorf("%s: got %s, want %d workers", query, body, want)
		}
	}
	f("?state=registered", 1)
	f("?state=registered&state=suspect", 2)
	f("?instance=a", 2)
	f("?instance=a&state=left", 0)
	if status, body := get(t, server.URL+api.PathFleetWorkers+"?state=happy"); status != 400 || !strings.Contains(body, "want one of probed") {
		t.Errorf("bad state: got %d %s", status, body)
	}
}

// TestTheWireForm is what other programs rely on.
func TestTheWireForm(t *testing.T) {
	bare := api.Worker{ID: id(1), State: model.Pending, LastFrameAge: -1}
	server, _ := serve(t, source{workers: []api.Worker{bare, row(2, "b", model.Registered)}})
	_, body := get(t, server.URL+api.PathFleetWorkers)
	want := `{"now_ms":1234,"workers":[` +
		`{"id":"01000000-0000-4000-8000-000000000000","instance":"","hostname":"","state":"pending","addresses":[],"ports":[],` +
		`"keep_alive_ms":0,"lease_remaining_ms":0,"last_contact_ms":0,"last_frame_ms":0,"last_frame_age_ms":-1,"connected":false,"retries_left":0,"conflict":false,"clock_offset_ms":0},` +
		`{"id":"02000000-0000-4000-8000-000000000000","instance":"b","hostname":"h","state":"registered","addresses":["10.0.0.1"],` +
		`"ports":[{"daemon":"workerd","port":10300}],"version":"0.1","keep_alive_ms":30000,"lease_remaining_ms":12000,"last_contact_ms":1000,` +
		`"last_frame_ms":900,"last_frame_age_ms":100,"connected":true,"retries_left":3,"conflict":false,"clock_offset_ms":0}]}`
	if diff := cmp.Diff(want, body); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	server, _ = serve(t, source{})
	if _, body := get(t, server.URL+api.PathFleetWorkers); body != `{"now_ms":1234,"workers":[]}` {
		t.Errorf("empty fleet: got %s", body)
	}
}

func TestOneWorker(t *testing.T) {
	server, client := serve(t, source{workers: []api.Worker{row(1, "a", model.Registered)}})
	if got, err := client.Worker(t.Context(), id(1)); err != nil || got.Instance != "a" {
		t.Errorf("got %+v, %v", got, err)
	}
	var refused *api.Error
	if _, err := client.Worker(t.Context(), id(2)); !errors.As(err, &refused) || refused.Status != 404 {
		t.Errorf("unknown worker: got %v", err)
	}
	if status, _ := get(t, server.URL+api.PathFleetWorkers+"/no-id"); status != 400 {
		t.Errorf("bad id: got %d", status)
	}
}

func TestASourceThatFails(t *testing.T) {
	server, _ := serve(t, source{err: errors.New("not connected to the coordinator")})
	for _, path := range []string{api.PathFleetWorkers, api.PathFleetWorkers + "/" + id(1).String()} {
		if status, body := get(t, server.URL+path); status != 503 || !strings.Contains(body, "not connected") {
			t.Errorf("%s: got %d %s", path, status, body)
		}
	}
}
