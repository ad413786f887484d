package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// registry is a Registry whose version a test moves.
type registry struct {
	mu       sync.Mutex
	version  uint64
	changed  chan struct{}
	contacts []api.Contact
	from     string
	err      error
}

func (r *registry) bump() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.version++
	close(r.changed)
	r.changed = make(chan struct{})
}

func (r *registry) Changes(ctx context.Context, since uint64) (api.WorkerChanges, error) {
	for {
		r.mu.Lock()
		version, changed, err := r.version, r.changed, r.err
		r.mu.Unlock()
		if err != nil {
			return api.WorkerChanges{}, err
		}
		if version > since {
			return api.WorkerChanges{Version: version, Full: since == 0, Workers: []api.RegisteredWorker{{ID: id(1), State: model.Registered}}}, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return api.WorkerChanges{}, ctx.Err()
		}
	}
}

func (r *registry) Contacts(_ context.Context, from string, contacts []api.Contact) (api.ContactsResult, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.from = from
	r.contacts = append(r.contacts, contacts...)
	return api.ContactsResult{Renewed: len(contacts), Unknown: []model.WorkerID{id(9)}}, r.err
}

func (r *registry) Stats(context.Context) ([]model.Metric, error) {
	return []model.Metric{{Name: "cloudless_x", Type: model.Counter, Value: 3}}, r.err
}

func id(n byte) model.WorkerID { return model.WorkerIDFrom([16]byte{n}) }

func newRegistry() *registry { return &registry{version: 7, changed: make(chan struct{})} }

// byHeader authorises whoever names himself.
func byHeader(r *http.Request) (string, bool) {
	who := r.Header.Get("X-Who")
	return who, who == "collector"
}

type asCollector struct{ next http.RoundTripper }

func (a asCollector) RoundTrip(r *http.Request) (*http.Response, error) {
	r.Header.Set("X-Who", "collector")
	return a.next.RoundTrip(r)
}

func serve(t *testing.T, r Registry, roles Roles) (*httptest.Server, *api.ControlClient) {
	t.Helper()
	mux := http.NewServeMux()
	h := New(r, roles, slog.New(slog.NewTextHandler(io.Discard, nil)), func() time.Time { return time.UnixMilli(1234) })
	h.Register(mux, func(_ string, next http.Handler) http.Handler { return next })
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	client, err := api.NewControlClient(server.URL, &http.Client{Transport: asCollector{server.Client().Transport}})
	if err != nil {
		t.Fatal(err)
	}
	return server, client
}

func all(may Authorize) Roles { return Roles{Workers: may, Contacts: may, Stats: may} }

func TestALongPollReturnsWithTheNextChange(t *testing.T) {
	r := newRegistry()
	_, client := serve(t, r, all(byHeader))
	first, err := client.Workers(t.Context(), 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	want := api.WorkerChanges{Version: 7, Full: true, Now: 1234, Workers: []api.RegisteredWorker{{ID: id(1), State: model.Registered}}}
	if diff := cmp.Diff(want, first); diff != "" {
		t.Errorf("first answer (-want +got):\n%s", diff)
	}
	got := make(chan api.WorkerChanges)
	go func() {
		changes, err := client.Workers(t.Context(), 7, api.MaxWait)
		if err != nil {
			t.Error(err)
		}
		got <- changes
	}()
	r.bump()
	if changes := <-got; changes.Version != 8 || changes.Full {
		t.Errorf("second answer: got %+v", changes)
	}
}

func TestALongPollWithoutChangesIsEmpty(t *testing.T) {
	_, client := serve(t, newRegistry(), all(byHeader))
	for _, wait := range []time.Duration{0, 10 * time.Millisecond} {
		changes, err := client.Workers(t.Context(), 7, wait)
		want := api.WorkerChanges{Version: 7, Now: 1234, Workers: []api.RegisteredWorker{}}
		if diff := cmp.Diff(want, changes); err != nil || diff != "" {
			t.Errorf("wait %s: error %v, (-want +got):\n%s", wait, err, diff)
		}
	}
}

func TestPollsAreBounded(t *testing.T) {
	r := newRegistry()
	mux := http.NewServeMux()
	h := New(r, all(byHeader), slog.New(slog.NewTextHandler(io.Discard, nil)), time.Now)
	h.Register(mux, func(_ string, next http.Handler) http.Handler { return next })
	for range maxPolls {
		h.polls <- struct{}{}
	}
	w := httptest.NewRecorder()
	request := httptest.NewRequest(http.MethodGet, api.PathControlWorkers, nil)
	request.Header.Set("X-Who", "collector")
	mux.ServeHTTP(w, request)
	if w.Code != http.StatusTooManyRequests {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}

func TestContactsAreSplitAndSummedUp(t *testing.T) {
	r := newRegistry()
	_, client := serve(t, r, all(byHeader))
	contacts := make([]api.Contact, 2*api.MaxContacts+1)
	for i := range contacts {
		contacts[i] = api.Contact{ID: id(byte(i)), At: model.Millis(1_700_000_000_000 + i)}
	}
	result, err := client.Contacts(t.Context(), 0, contacts)
	if err != nil || result.Renewed != len(contacts) || len(result.Unknown) != 3 {
		t.Errorf("got %+v, %v", result, err)
	}
	if diff := cmp.Diff(contacts, r.contacts); diff != "" {
		t.Errorf("contacts (-want +got):\n%s", diff)
	}
	if r.from != "collector" {
		t.Errorf("identity: got %q", r.from)
	}
}

// TestContactsOfAClockThatIsBehindRenew: a collector whose clock was further
// behind than a lease used to renew nothing.
func TestContactsOfAClockThatIsBehindRenew(t *testing.T) {
	r := newRegistry()
	_, client := serve(t, r, all(byHeader)) // whose clock shows 1234
	for _, now := range []model.Millis{1_700_000_000_000, 1100, 1234} {
		r.contacts = nil
		if _, err := client.Contacts(t.Context(), now, []api.Contact{{ID: id(1), At: now - 34}, {ID: id(2), At: now}}); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]api.Contact{{ID: id(1), At: 1200}, {ID: id(2), At: 1234}}, r.contacts); diff != "" {
			t.Errorf("sent at %d (-want +got):\n%s", now, diff)
		}
	}
}

func TestStats(t *testing.T) {
	_, client := serve(t, newRegistry(), all(byHeader))
	stats, err := client.Stats(t.Context())
	if err != nil || stats.Now != 1234 || len(stats.Metrics) != 1 || stats.Metrics[0].Value != 3 || stats.Metrics[0].Type != "counter" {
		t.Errorf("got %+v, %v", stats, err)
	}
}

// ask sends a raw request and returns status and body.
func ask(t *testing.T, base, method, target, who, body string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, base+target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Who", who)
	response, err := http.DefaultClient.Do(request)
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

func TestOnlyTheAuthorisedMayCall(t *testing.T) {
	r := newRegistry()
	f := func(roles Roles, who, want string) {
		t.Helper()
		server, _ := serve(t, r, roles)
		for _, call := range []string{"GET /v1/workers", "POST /v1/contacts", "GET /v1/stats"} {
			method, path, _ := strings.Cut(call, " ")
			if status, body := ask(t, server.URL, method, path, who, "{}"); status != 403 || !strings.Contains(body, want) {
				t.Errorf("%s as %q: got %d %s, want 403 with %q", call, who, status, body, want)
			}
		}
	}
	f(all(byHeader), "", "an unknown caller may not")
	f(all(byHeader), "worker", "worker may not")
	f(Roles{}, "collector", "may not")
	if len(r.contacts) != 0 {
		t.Error("an unauthorised contact was taken")
	}
}

func TestBadRequests(t *testing.T) {
	server, _ := serve(t, newRegistry(), all(byHeader))
	f := func(method, target, body string, status int, want string) {
		t.Helper()
		if got, text := ask(t, server.URL, method, target, "collector", body); got != status || !strings.Contains(text, want) {
			t.Errorf("%s %s: got %d %s, want %d with %q", method, target, got, text, status, want)
		}
	}
	f("GET", "/v1/workers?since=x", "", 400, "since")
	f("GET", "/v1/workers?wait=x", "", 400, "wait")
	f("GET", "/v1/workers?wait=-1s", "", 400, "wait")
	f("POST", "/v1/contacts", "", 400, "contacts")
	f("POST", "/v1/contacts", `{"contacts":[{"id":"x"}]}`, 400, "worker id")
	f("POST", "/v1/contacts", `{"contacts":"`+strings.Repeat("x", maxContactsBody), 413, "longer than")
	many := fmt.Sprintf(`{"contacts":[%s{"at_ms":1}]}`, strings.Repeat(`{"at_ms":1},`, api.MaxContacts))
	f("POST", "/v1/contacts", many, 413, "at most")
	f("DELETE", "/v1/workers", "", 405, "")
}

func TestARegistryThatFails(t *testing.T) {
	r := newRegistry()
	r.err = errors.New("registry is closed")
	server, _ := serve(t, r, all(byHeader))
	for _, call := range []string{"GET /v1/workers", "POST /v1/contacts", "GET /v1/stats"} {
		method, path, _ := strings.Cut(call, " ")
		if status, body := ask(t, server.URL, method, path, "collector", "{}"); status != 503 || !strings.Contains(body, "registry is closed") {
			t.Errorf("%s: got %d %s", call, status, body)
		}
	}
}

// FuzzRequests: whatever is asked, the answer is one of the known codes.
func FuzzRequests(f *testing.F) {
	h := New(newRegistry(), all(func(*http.Request) (string, bool) { return "x", true }), slog.New(slog.NewTextHandler(io.Discard, nil)), time.Now)
	mux := http.NewServeMux()
	h.Register(mux, func(_ string, next http.Handler) http.Handler { return next })
	f.Add("since=7&wait=0s", []byte(`{"contacts":[{"id":"01000000-0000-4000-8000-000000000000","at_ms":1}]}`))
	f.Add("since=-1", []byte(`{"contacts":null}`))
	f.Fuzz(func(t *testing.T, query string, body []byte) {
		if strings.Contains(query, "wait") {
			query = ""
		}
		for _, r := range []*http.Request{
			httptest.NewRequest(http.MethodGet, api.PathControlWorkers, nil),
			httptest.NewRequest(http.MethodPost, api.PathControlContacts, strings.NewReader(string(body))),
		} {
			r.URL.RawQuery = query
			w := httptest.NewRecorder()
			mux.ServeHTTP(w, r)
			if w.Code != 200 && w.Code != 400 && w.Code != 413 {
				t.Errorf("%s: status %d", r.URL, w.Code)
			}
		}
	})
}
