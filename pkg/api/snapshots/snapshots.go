// Package snapshots serves the making of snapshots to administrators, in the form that
// Prometheus has for it, and their import. It stands behind an access.Guard, which lets
// administrators through only.
//
// What was done is in the audit log before it is acknowledged. Both last as long as the disk
// needs: no limit of time is set on a request, and whoever hangs up ends it.
package snapshots

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/api/access"
	"github.com/cloudless-fleet/cloudless/pkg/api/middleware"
	"github.com/cloudless-fleet/cloudless/pkg/api/reply"
	"github.com/cloudless-fleet/cloudless/pkg/audit"
	"github.com/cloudless-fleet/cloudless/pkg/daemon/logkey"
)

// Store makes snapshots; the collector daemon implements it. Errors wrap those of package
// reply where the caller can do something about them.
type Store interface {
	// Snapshot makes one; without a name it is called by the time.
	Snapshot(ctx context.Context, name string) (api.Snapshot, error)
	// Import takes over what a snapshot of that name has that the store has not.
	Import(ctx context.Context, name string) (api.SnapshotImported, error)
}

// Log is where it is written down; *audit.Log implements it.
type Log interface {
	Append(audit.Entry) error
}

var _ Log = (*audit.Log)(nil)

// Handlers serve snapshots.
type Handlers struct {
	store Store
	audit Log
	log   *slog.Logger
}

// New returns the handlers.
func New(store Store, audit Log, log *slog.Logger) *Handlers { return &Handlers{store, audit, log} }

// Register adds the routes to mux, each wrapped by wrap under its own name. wrap holds an
// access.Guard.
func (h *Handlers) Register(mux *http.ServeMux, wrap func(name string, next http.Handler) http.Handler) {
	snapshot := wrap("snapshot", http.HandlerFunc(h.snapshot))
	mux.Handle("POST "+api.PathSnapshot, snapshot)
	mux.Handle("PUT "+api.PathSnapshot, snapshot)
	mux.Handle("POST "+api.PathSnapshotImport, wrap("snapshot_import", http.HandlerFunc(h.load)))
}

func (h *Handlers) snapshot(w http.ResponseWriter, r *http.Request) {
	name := parameter(w, r, "name")
	if text := parameter(w, r, "skip_head"); text != "" {
		if skip, err := strconv.ParseBool(text); err != nil || skip {
			reply.Error(w, reply.BadData, `invalid parameter "skip_head": what is not sealed yet is always in a snapshot`)
			return
		}
	}
	r, release := middleware.Endless(w, r)
	defer release()
	made, err := h.store.Snapshot(r.Context(), name)
	if err != nil {
		reply.Failure(w, err)
		return
	}
	h.done(w, r, audit.SnapshotMake, made.Name, made)
}

func (h *Handlers) load(w http.ResponseWriter, r *http.Request) {
	name := parameter(w, r, "name")
	if name == "" {
		reply.Error(w, reply.BadData, `missing parameter "name"`)
		return
	}
	r, release := middleware.Endless(w, r)
	defer release()
	done, err := h.store.Import(r.Context(), name)
	if err != nil {
		reply.Failure(w, err)
		return
	}
	h.done(w, r, audit.SnapshotImport, done.Name, done)
}

// maxForm bounds the body of a request, in bytes.
const maxForm = 64 << 10

// parameter reads a parameter of the address or of a form, as everywhere in that API. It is
// to be called while reading is still bounded in time.
func parameter(w http.ResponseWriter, r *http.Request, name string) string {
	if r.Form == nil {
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	}
	return r.FormValue(name)
}

// done records what was done and acknowledges it.
func (h *Handlers) done(w http.ResponseWriter, r *http.Request, what, on string, data any) {
	entry := audit.Entry{What: what, On: on, OK: true, Who: access.Who(r.Context())}
	_, entry.From = access.From(r.Context())
	if err := h.audit.Append(entry); err != nil {
		h.log.Error("audit log cannot be written", logkey.Err, err)
		reply.Failure(w, reply.Because(reply.ErrUnavailable, "the audit log cannot be written: %s", fmt.Sprintf("%s was done all the same", what)))
		return
	}
	reply.JSON(w, struct {
		Status string `json:"status"`
		Data   any    `json:"data"`
	}{"success", data})
}
