package coordinator

import (
	"context"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/api/control"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/registry"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

// allow lets callers pass that the guard has found to be of one of the roles.
// Others are named all the same, for the log.
func allow(roles ...trust.Role) control.Authorize {
	return func(r *http.Request) (string, bool) {
		who := callerIn(r.Context())
		return who.name, who.role != "" && slices.Contains(roles, who.role)
	}
}

// allowCollectors lets collectors pass, and administrators of this host, as whom
// a collectord of the same user is known.
func allowCollectors(r *http.Request) (string, bool) {
	who := callerIn(r.Context())
	return who.name, who.role == trust.RoleCollector || who.localAdmin()
}

// controlRegistry puts the registry behind the control API.
type controlRegistry struct {
	*coordinator
}

var _ control.Registry = controlRegistry{}

func (r controlRegistry) Changes(ctx context.Context, since uint64) (api.WorkerChanges, error) {
	delta, err := r.registry.Changes(ctx, since)
	if err != nil {
		return api.WorkerChanges{}, err
	}
	now := r.now()
	changes := api.WorkerChanges{Version: delta.Version, Full: delta.Full, Removed: delta.Removed,
		Workers: make([]api.RegisteredWorker, len(delta.Workers))}
	for i := range delta.Workers {
		changes.Workers[i] = row(&delta.Workers[i], now)
	}
	return changes, nil
}

func row(w *registry.Worker, now time.Time) api.RegisteredWorker {
	return api.RegisteredWorker{
		ID: w.ID, Instance: w.Instance, Hostname: w.Host.Hostname, State: w.State,
		Addresses: addresses(w), Ports: api.PortsOf(w.Host.Ports), Version: w.Version,
		KeepAlive: w.KeepAlive.Milliseconds(), LeaseRemaining: leaseRemaining(w, now).Milliseconds(),
		LastContact: model.Millis(w.LastContact.UnixMilli()),
		RetriesLeft: w.RetriesLeft, Conflict: w.Conflict,
		Boot: w.Boot, ClockOffset: w.ClockOffset.Milliseconds(), Labels: w.Labels,
	}
}

// leaseRemaining is what is left of a lease; nobody else has one than a living
// member.
func leaseRemaining(w *registry.Worker, now time.Time) time.Duration {
	if w.State != model.Registered && w.State != model.Suspect {
		return 0
	}
	return max(0, w.ExpiresAt().Sub(now))
}

// addresses lists where the worker is: what it announced, then where it was
// heard from, then the same of a machine that uses its id.
func addresses(w *registry.Worker) []netip.Addr {
	candidates := []netip.Addr{w.Host.Addr, w.Source}
	if w.Rival != nil {
		candidates = append(candidates, w.Rival.Host.Addr, w.Rival.Source)
	}
	found := []netip.Addr{}
	for _, addr := range candidates {
		addr = addr.Unmap()
		if addr.IsValid() && !addr.IsUnspecified() && !slices.Contains(found, addr) {
			found = append(found, addr)
		}
	}
	return found
}

func (r controlRegistry) Contacts(_ context.Context, _ string, contacts []api.Contact) (api.ContactsResult, error) {
	batch := make([]registry.Sighting, len(contacts))
	now := r.now()
	for i, contact := range contacts {
		// The age of the contact, taken from one clock reading, keeps the
		// monotonic part that wall-clock times from a request lack. A time in
		// the future is now.
		ago := max(0, now.Sub(time.UnixMilli(int64(contact.At))))
		batch[i] = registry.Sighting{ID: contact.ID, At: now.Add(-ago)}
	}
	unknown := r.registry.Contacts(batch)
	return api.ContactsResult{Renewed: len(contacts) - len(unknown), Unknown: unknown}, nil
}

// Stats leaves out what is absent: JSON has no way to say so.
func (r controlRegistry) Stats(context.Context) ([]model.Metric, error) {
	return slices.DeleteFunc(r.metrics(), func(m model.Metric) bool { return model.IsAbsent(m.Value) }), nil
}
