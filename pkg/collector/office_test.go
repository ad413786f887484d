package collector

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/api/control"
	"github.com/cloudless-fleet/cloudless/pkg/api/reply"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/packet"
	"github.com/cloudless-fleet/cloudless/pkg/trust/revocation"
)

func id(n int) model.WorkerID {
	return model.WorkerIDFrom([16]byte{byte(n), byte(n >> 8), byte(n >> 16)})
}

func row(n int, state model.WorkerState) api.RegisteredWorker {
	return api.RegisteredWorker{ID: id(n), Instance: "w", State: state, Boot: boot(1)}
}

func boot(n byte) model.BootID { return model.BootIDFrom([16]byte{n}) }

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

	ca       *trust.CA // vouches for beacons; nil: nobody does
	web      *trust.WebCA
	revoked  *revocation.List                                // nil: there never is one
	welcome  func(api.CollectorHello, *api.CollectorWelcome) // changes the answer
	secret   string                                          // of the admin
	requests []*http.Request                                 // for administration
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

// revoke shuts workers out.
func (o *office) revoke(t *testing.T, subjects ...revocation.Subject) {
	t.Helper()
	if _, err := o.revoked.Add("stolen", time.Now(), time.Time{}, subjects...); err != nil {
		t.Fatal(err)
	}
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
	o.serveTrust(mux)
	return mux
}

// serveTrust serves what a collector asks about trust.
func (o *office) serveTrust(mux *http.ServeMux) {
	all := func(*http.Request) (string, bool) { return "somebody", true }
	control.New(o, control.Roles{}, quiet(), time.Now).RegisterTrust(mux,
		func(_ string, next http.Handler) http.Handler { return next }, o, control.TrustRoles{Revocations: all, Hello: all})
	mux.HandleFunc("POST "+api.PrefixAdminCoordinator+api.PathAdminSecret, func(w http.ResponseWriter, r *http.Request) {
		var sent api.SecretCheck
		_ = json.NewDecoder(r.Body).Decode(&sent)
		reply.JSON(w, api.SecretResult{OK: sent.Secret == o.secret && o.secret != ""})
	})
	mux.HandleFunc("POST "+api.PrefixAdminCoordinator+api.PathAdminWeb, func(w http.ResponseWriter, r *http.Request) {
		var sent api.WebRequest
		_ = json.NewDecoder(r.Body).Decode(&sent)
		key, _ := x509.ParsePKIXPublicKey(sent.PublicKey)
		public, _ := key.(*ecdsa.PublicKey)
		cert, until, err := o.web.Sign(public, sent.Hosts, rand.Reader, time.Now())
		if err != nil {
			reply.Error(w, reply.BadData, err.Error())
			return
		}
		reply.JSON(w, api.WebCertificate{Certificate: string(cert), Authority: string(o.web.CertPEM()), NotAfter: until})
	})
	mux.HandleFunc(api.PrefixAdminCoordinator+"/", func(w http.ResponseWriter, r *http.Request) {
		o.set(func() { o.requests = append(o.requests, r) })
		reply.JSON(w, api.PendingList{})
	})
}

// Revocations implements control.Trust.
func (o *office) Revocations(ctx context.Context, since uint64) ([]byte, error) {
	for {
		if err := o.enter(); err != nil {
			return nil, err
		}
		if o.revoked == nil {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		_, revision, changed := o.revoked.Since(0)
		if revision != since {
			return o.revoked.Snapshot()
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Hello implements control.Trust.
func (o *office) Hello(_ context.Context, _ string, _ netip.Addr, hello api.CollectorHello) (api.CollectorWelcome, error) {
	if err := o.enter(); err != nil {
		return api.CollectorWelcome{}, err
	}
	if o.ca == nil {
		return api.CollectorWelcome{}, away{}
	}
	until := time.Now().Add(time.Hour)
	voucher, err := packet.Vouch(o.ca, hello.Beacon, until)
	if err != nil {
		return api.CollectorWelcome{}, err
	}
	welcome := api.CollectorWelcome{Voucher: voucher.String(), Authority: o.ca.Fingerprint(), Until: until}
	if o.welcome != nil {
		o.welcome(hello, &welcome)
	}
	return welcome, nil
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

// clients are those of a collector, without a network.
func (o *office) clients(t *testing.T) clients {
	t.Helper()
	made, err := newClients("https://office", nearby{o})
	if err != nil {
		t.Fatal(err)
	}
	return made
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

func (w *words) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// count is how many lines hold text.
func (w *words) count(text string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Count(w.text.String(), text)
}

type away struct{}

func (away) Error() string { return "away" }
