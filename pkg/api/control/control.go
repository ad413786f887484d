// Package control serves coordinatord's control API to collectord and to
// operators: the registry by long poll, contacts in the other direction, and
// the daemon's own figures.
//
// Every route asks its own Authorize function first; a route without one
// refuses everybody.
package control

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/api/body"
	"github.com/cloudless-fleet/cloudless/pkg/api/reply"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Registry is what the coordinator daemon puts behind the API. All methods may
// be called concurrently.
type Registry interface {
	// Changes returns the rows that changed after version since (the handler
	// fills Now), at once when there are any, even if ctx is done; otherwise
	// it blocks until there are or ctx is done, and then returns ctx's error.
	// since 0, and a version that it does not remember, mean everything, with
	// Full set.
	Changes(ctx context.Context, since uint64) (api.WorkerChanges, error)
	// Contacts renews leases. from is the authorised identity of the caller. The
	// times are by the coordinator's clock.
	Contacts(ctx context.Context, from string, contacts []api.Contact) (api.ContactsResult, error)
	// Stats lists the daemon's own metrics.
	Stats(ctx context.Context) ([]model.Metric, error)
}

// Authorize decides whether a request may pass, and who sent it. It must not
// read the body.
type Authorize func(*http.Request) (identity string, ok bool)

// Roles say who may call what.
type Roles struct {
	Workers  Authorize // GET /v1/workers
	Contacts Authorize // POST /v1/contacts
	Stats    Authorize // GET /v1/stats
}

// maxContactsBody bounds the body of a POST, in bytes: MaxContacts of them at
// about 80 bytes each, with room.
const maxContactsBody = 1 << 20

// Handlers serve the control API.
type Handlers struct {
	registry Registry
	roles    Roles
	log      *slog.Logger
	now      func() time.Time
	polls    chan struct{}
}

// New returns the handlers. now is the coordinator's clock; answers carry it.
func New(registry Registry, roles Roles, log *slog.Logger, now func() time.Time) *Handlers {
	return &Handlers{registry: registry, roles: roles, log: log, now: now, polls: make(chan struct{}, maxPolls)}
}

func (h *Handlers) millis() model.Millis { return model.Millis(h.now().UnixMilli()) }

// Register adds the routes to mux, each wrapped by wrap under its own name.
func (h *Handlers) Register(mux *http.ServeMux, wrap func(name string, next http.Handler) http.Handler) {
	route := func(pattern, name string, may Authorize, serve func(http.ResponseWriter, *http.Request, string)) {
		mux.Handle(pattern, wrap(name, h.authorized(may, serve)))
	}
	route("GET "+api.PathControlWorkers, "control_workers", h.roles.Workers, h.workers)
	route("POST "+api.PathControlContacts, "control_contacts", h.roles.Contacts, h.contacts)
	route("GET "+api.PathControlStats, "control_stats", h.roles.Stats, h.stats)
}

func (h *Handlers) authorized(may Authorize, serve func(http.ResponseWriter, *http.Request, string)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		identity, ok := "", false
		if may != nil {
			identity, ok = may(r)
		}
		if !ok {
			h.log.Warn("control request refused", "path", r.URL.Path, "peer", r.RemoteAddr, "identity", identity)
			reply.Error(w, reply.Forbidden, fmt.Sprintf("%s may not %s %s", named(identity), r.Method, r.URL.Path))
			return
		}
		serve(w, r, identity)
	})
}

func named(identity string) string {
	if identity == "" {
		return "an unknown caller"
	}
	return identity
}

func (h *Handlers) workers(w http.ResponseWriter, r *http.Request, _ string) {
	poll(h, w, r, h.registry.Changes, func(since uint64, changes *api.WorkerChanges) {
		if changes == nil {
			changes = &api.WorkerChanges{Version: since}
		}
		if changes.Workers == nil {
			changes.Workers = []api.RegisteredWorker{}
		}
		changes.Now = h.millis()
		reply.JSON(w, changes)
	})
}

func (h *Handlers) contacts(w http.ResponseWriter, r *http.Request, identity string) {
	data, ok := body.Read(w, r, maxContactsBody)
	if !ok {
		return
	}
	var sent api.Contacts
	if err := json.Unmarshal(data, &sent); err != nil {
		reply.Error(w, reply.BadData, "contacts: "+err.Error())
		return
	}
	if len(sent.Contacts) > api.MaxContacts {
		reply.Error(w, reply.TooLarge, fmt.Sprintf("%d contacts, at most %d in one request", len(sent.Contacts), api.MaxContacts))
		return
	}
	if sent.Now != 0 {
		behind := h.millis() - sent.Now
		for i := range sent.Contacts {
			sent.Contacts[i].At += behind
		}
	}
	result, err := h.registry.Contacts(r.Context(), identity, sent.Contacts)
	if err != nil {
		reply.Error(w, reply.Unavailable, err.Error())
		return
	}
	reply.JSON(w, result)
}

func (h *Handlers) stats(w http.ResponseWriter, r *http.Request, _ string) {
	metrics, err := h.registry.Stats(r.Context())
	if err != nil {
		reply.Error(w, reply.Unavailable, err.Error())
		return
	}
	reply.JSON(w, api.Stats{Now: h.millis(), Metrics: api.StatMetricsOf(metrics)})
}
