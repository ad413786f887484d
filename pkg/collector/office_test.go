package collector

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/api/control"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

func id(n int) model.WorkerID {
	return model.WorkerIDFrom([16]byte{byte(n), byte(n >> 8), byte(n >> 16)})
}

func row(n int, state model.WorkerState) api.RegisteredWorker {
	return api.RegisteredWorker{ID: id(n), Instance: "w", State: state}
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// office is a coordinator with a register that a test writes.
type office struct {
	mu       sync.Mutex
	version  uint64
	rows     map[model.WorkerID]api.RegisteredWorker
	changed  chan struct{}
	trouble  error // every request fails with it
	hangs    bool  // requests are not answered
	asked    int   // requests for the register
	contacts [][]api.Contact
	metrics  []model.Metric
}

var _ control.Registry = (*office)(nil)

func newOffice(rows ...api.RegisteredWorker) *office {
	o := &office{rows: map[model.WorkerID]api.RegisteredWorker{}, changed: make(chan struct{})}
	o.write(rows...)
	return o
}

// write changes rows.
func (o *office) write(rows ...api.RegisteredWorker) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, row := range rows {
		o.rows[row.ID] = row
	}
	o.version++
	close(o.changed)
	o.changed = make(chan struct{})
}

// set changes how the office behaves.
func (o *office) set(change func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	change()
}

func (o *office) look() (asked int, contacts [][]api.Contact) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.asked, o.contacts
}

func (o *office) enter() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.trouble
}

func (o *office) hanging() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.hangs
}

// Changes implements control.Registry; it always tells everything.
func (o *office) Changes(ctx context.Context, since uint64) (api.WorkerChanges, error) {
	o.set(func() { o.asked++ })
	for {
		if err := o.enter(); err != nil {
			return api.WorkerChanges{}, err
		}
		o.mu.Lock()
		answer, changed := api.WorkerChanges{Version: o.version, Full: true}, o.changed
		for _, row := range o.rows {
			answer.Workers = append(answer.Workers, row)
		}
		o.mu.Unlock()
		if answer.Version != since {
			return answer, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return api.WorkerChanges{}, ctx.Err()
		}
	}
}

// Contacts implements control.Registry.
func (o *office) Contacts(_ context.Context, _ string, contacts []api.Contact) (result api.ContactsResult, err error) {
	if err := o.enter(); err != nil {
		return api.ContactsResult{}, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.contacts = append(o.contacts, contacts)
	for _, contact := range contacts {
		if _, known := o.rows[contact.ID]; known {
			result.Renewed++
		} else {
			result.Unknown = append(result.Unknown, contact.ID)
		}
	}
	return result, nil
}

// Stats implements control.Registry.
func (o *office) Stats(context.Context) ([]model.Metric, error) {
	if err := o.enter(); err != nil {
		return nil, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.metrics, nil
}

// handler is the control API of the office, open to everybody.
func (o *office) handler() http.Handler {
	all := func(*http.Request) (string, bool) { return "somebody", true }
	mux := http.NewServeMux()
	control.New(o, control.Roles{Workers: all, Contacts: all, Stats: all}, quiet(), time.Now).Register(mux,
		func(_ string, next http.Handler) http.Handler { return next })
	return mux
}

// nearby is a connection to the office without a network, for virtual time.
type nearby struct{ *office }

func (n nearby) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	if n.hanging() {
		<-r.Context().Done()
	} else {
		n.handler().ServeHTTP(w, r)
	}
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return w.Result(), nil
}

func (o *office) client(t *testing.T) *api.ControlClient {
	t.Helper()
	client, err := api.NewControlClient("http://office", &http.Client{Transport: nearby{o}})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// words is a log; safe for concurrent use.
type words struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (w *words) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(b)
}

func (w *words) logger() *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

// count is how many lines hold text.
func (w *words) count(text string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Count(w.text.String(), text)
}

type away struct{}

func (away) Error() string { return "away" }
