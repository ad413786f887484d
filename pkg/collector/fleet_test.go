package collector

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

func TestRowsOfTheFleet(t *testing.T) {
	leased := row(1, registered)
	leased.LeaseRemaining, leased.LastContact, leased.Conflict, leased.RetriesLeft = 30_000, 5, true, 2
	o := newOffice(leased)
	door := doorOf(t, o)
	later := time.Duration(0)
	rows := fleetRows{door.view, door.store, func() time.Time { return time.Now().Add(later) }}
	want := api.Worker{ID: id(1), Instance: "w", State: registered, LastContact: 5, LastFrameAge: -1, Conflict: true, RetriesLeft: 2}
	f := func(least, most int64) {
		t.Helper()
		got, known, err := rows.Worker(t.Context(), id(1))
		if err != nil || !known {
			t.Fatalf("worker 1: known %v, %v", known, err)
		}
		all, err := rows.Workers(t.Context())
		if err != nil || len(all) != 1 {
			t.Fatalf("%d workers, %v", len(all), err)
		}
		if got.LeaseRemaining < least || got.LeaseRemaining > most {
			t.Errorf("%d ms remain of the lease, want %d to %d", got.LeaseRemaining, least, most)
		}
		if got.LastFrameAge >= 0 != (want.LastFrame != 0) || got.LastFrameAge > int64(time.Minute/time.Millisecond) {
			t.Errorf("last frame came %d ms ago", got.LastFrameAge)
		}
		got.LeaseRemaining, got.LastFrameAge = 0, want.LastFrameAge
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	f(20_000, 30_000)
	session, err := door.Open(t.Context(), peer(1))
	if err != nil {
		t.Fatal(err)
	}
	want.Connected = true
	f(20_000, 30_000)
	all := records(t, 1)
	for _, record := range all {
		if err := session.Append(record, frame.AppendRecord(nil, record)); err != nil {
			t.Fatal(err)
		}
	}
	header, err := frame.Peek(all[len(all)-1].Payload)
	if err != nil {
		t.Fatal(err)
	}
	want.LastFrame = header.At
	f(20_000, 30_000)
	session.Close()
	want.Connected = false
	o.set(func() { o.trouble = away{} })
	later = 25 * time.Second
	f(0, 5_000) // the lease goes on being spent
	later = 40 * time.Second
	f(0, 0)

	if got, known, err := rows.Worker(t.Context(), id(2)); known || err != nil || got.State != model.WorkerState(0) {
		t.Errorf("a stranger: got %+v, %v, %v", got, known, err)
	}
}
