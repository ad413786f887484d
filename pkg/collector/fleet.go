package collector

import (
	"context"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/api/fleet"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store"
)

// fleetRows joins what the coordinator knows of the workers with what the store
// has of them, for the fleet API.
type fleetRows struct {
	view  *fleetView
	store *store.Store
	now   func() time.Time
}

var _ fleet.Source = fleetRows{}

// Workers implements fleet.Source.
func (f fleetRows) Workers(ctx context.Context) ([]api.Worker, error) {
	seen := f.view.all(ctx)
	rows := make([]api.Worker, len(seen))
	for i, one := range seen {
		rows[i] = f.row(one)
	}
	return rows, nil
}

// Worker implements fleet.Source.
func (f fleetRows) Worker(ctx context.Context, id model.WorkerID) (api.Worker, bool, error) {
	if _, known := f.view.find(ctx, id); !known {
		return api.Worker{}, false, nil
	}
	f.view.refresh(ctx, f.now().Add(-refreshAfter))
	one, known := f.view.get(id)
	if !known {
		return api.Worker{}, false, nil // forgotten just now
	}
	return f.row(one), true, nil
}

func (f fleetRows) row(one seenWorker) api.Worker {
	now := f.now()
	left := one.LeaseRemaining - now.Sub(one.at).Milliseconds()
	row := api.Worker{ID: one.ID, Instance: one.Instance, Hostname: one.Hostname, State: one.State,
		Addresses: one.Addresses, Ports: one.Ports, Version: one.Version, KeepAlive: one.KeepAlive,
		LeaseRemaining: max(0, left), LastContact: one.LastContact, LastFrameAge: -1,
		Connected: f.store.Connected(one.ID), RetriesLeft: one.RetriesLeft, Conflict: one.Conflict,
		ClockOffset: one.ClockOffset, Labels: one.Labels}
	if newest, known := f.store.Newest(one.ID); known {
		row.LastFrame = newest.At
		if !newest.Received.IsZero() {
			row.LastFrameAge = now.Sub(newest.Received).Milliseconds()
		}
	}
	return row
}
