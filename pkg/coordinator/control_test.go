package coordinator

import (
	"context"
	"errors"
	"math"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/registry"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

func TestWhoMayCallWhat(t *testing.T) {
	h := start(t)
	f := func(who *trust.Credentials, workers, contacts, stats, revocations int) {
		t.Helper()
		client := h.as(who)
		_, errWorkers := client.Workers(t.Context(), 0, 0)
		_, errContacts := client.Contacts(t.Context(), 0, []api.Contact{{ID: id(1)}})
		_, errStats := client.Stats(t.Context())
		_, errRevocations := client.Revocations(t.Context(), 7, 0)
		got := []int{status(errWorkers), status(errContacts), status(errStats), status(errRevocations)}
		if diff := cmp.Diff([]int{workers, contacts, stats, revocations}, got); diff != "" {
			t.Errorf("%s may call workers, contacts, stats, revocations (-want +got):\n%s", who.Identity(), diff)
		}
	}
	f(h.member(trust.RoleCollector, "hq"), 200, 200, 200, 200)
	f(h.member(trust.RoleOperator, "me"), 200, 403, 200, 403)
	f(h.member(trust.RoleWorker, id(1).String()), 403, 403, 403, 403)
	f(h.member(trust.RoleCoordinator, "hq"), 403, 403, 403, 403)
}

func TestAPollIsToldThatTheCoordinatorStops(t *testing.T) {
	h := start(t)
	client := h.as(h.member(trust.RoleCollector, "hq"))
	first, err := client.Workers(t.Context(), 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	failed := make(chan error, 1)
	go func() {
		_, err := client.Workers(t.Context(), first.Version, api.MaxWait)
		failed <- err
	}()
	soon(t, "the poll is there", 5*time.Second, func() bool { return h.http.Stats().InFlight > 0 })
	h.stop()
	if err := <-failed; status(err) != http.StatusServiceUnavailable || err.Error() != "unavailable: coordinator is stopping" {
		t.Errorf("got %v, want 503 coordinator is stopping", err)
	}
}

func TestRow(t *testing.T) {
	now := time.Unix(1e9, 0)
	f := func(state model.WorkerState, silent time.Duration, want int64) {
		t.Helper()
		w := registry.Worker{State: state, KeepAlive: 30 * time.Second, LeaseFrom: now.Add(-silent), LastContact: now.Add(-silent)}
		if got := row(&w, now); got.LeaseRemaining != want || got.KeepAlive != 30_000 || got.LastContact != model.Millis(now.Add(-silent).UnixMilli()) {
			t.Errorf("%v, silent for %v: got %+v, want %d ms remaining", state, silent, got, want)
		}
	}
	f(model.Registered, 0, 30_000)
	f(model.Registered, 10*time.Second, 20_000)
	f(model.Suspect, 29_999*time.Millisecond, 1)
	f(model.Suspect, 30*time.Second, 0)
	f(model.Suspect, time.Hour, 0)
	f(model.Left, time.Second, 0) // its lease is not spent, it has none
	f(model.Expired, time.Hour, 0)
	f(model.Registered, -time.Second, 31_000) // a clock that was set back

	w := registry.Worker{ID: id(1), Instance: "web", State: model.Registered, Version: "v1", RetriesLeft: 2, Conflict: true,
		Boot: model.BootIDFrom([16]byte{1}), ClockOffset: -1500 * time.Millisecond, Labels: map[string]string{"rack": "7"},
		Host:   model.HostInfo{Hostname: "web-1", Addr: netip.MustParseAddr("10.0.0.7"), Ports: []model.PortInfo{{Daemon: "workerd", Port: 10300}}},
		Source: netip.MustParseAddr("10.0.0.8"), KeepAlive: time.Second, LeaseFrom: now, LastContact: now}
	want := api.RegisteredWorker{ID: id(1), Instance: "web", Hostname: "web-1", State: model.Registered,
		Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.7"), netip.MustParseAddr("10.0.0.8")},
		Ports:     []api.Port{{Daemon: "workerd", Port: 10300}}, Version: "v1", KeepAlive: 1000, LeaseRemaining: 1000,
		LastContact: 1e12, RetriesLeft: 2, Conflict: true, Boot: model.BootIDFrom([16]byte{1}), ClockOffset: -1500, Labels: map[string]string{"rack": "7"}}
	if diff := cmp.Diff(want, row(&w, now), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAddresses(t *testing.T) {
	f := func(announced, source, rivalAnnounced, rivalSource string, want ...string) {
		t.Helper()
		w := registry.Worker{Host: model.HostInfo{Addr: addr(announced)}, Source: addr(source)}
		if rivalSource != "" {
			w.Rival = &registry.Rival{Host: model.HostInfo{Addr: addr(rivalAnnounced)}, Source: addr(rivalSource)}
		}
		got := []string{}
		for _, a := range addresses(&w) {
			got = append(got, a.String())
		}
		if diff := cmp.Diff(append([]string{}, want...), got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	f("", "", "", "")
	f("10.0.0.7", "10.0.0.7", "", "", "10.0.0.7")
	f("10.0.0.7", "10.0.0.8", "", "", "10.0.0.7", "10.0.0.8")
	f("0.0.0.0", "10.0.0.8", "", "", "10.0.0.8")
	f("::ffff:10.0.0.8", "10.0.0.8", "", "", "10.0.0.8")
	f("10.0.0.7", "10.0.0.8", "10.0.0.7", "10.0.0.9", "10.0.0.7", "10.0.0.8", "10.0.0.9")
}

func addr(text string) netip.Addr {
	if text == "" {
		return netip.Addr{}
	}
	return netip.MustParseAddr(text)
}

func TestContactsCountFromOurClock(t *testing.T) {
	start := time.Now()
	var later time.Duration
	c := bare(t, func() time.Time { return start.Add(later) })
	f := func(passed time.Duration, at int64, remaining time.Duration) {
		t.Helper()
		later += passed
		result, err := controlRegistry{c}.Contacts(t.Context(), "collector", []api.Contact{{ID: id(1), At: model.Millis(at)}, {ID: id(2)}})
		if err != nil || result.Renewed != 1 || !cmp.Equal(result.Unknown, []model.WorkerID{id(2)}) {
			t.Errorf("got %+v, %v; want one renewed, one unknown", result, err)
		}
		changes, err := controlRegistry{c}.Changes(t.Context(), 0)
		if err != nil || len(changes.Workers) != 1 {
			t.Fatalf("got %+v, %v; want one worker", changes, err)
		}
		left := time.Duration(changes.Workers[0].LeaseRemaining) * time.Millisecond
		if off := left - remaining; off < -2*time.Millisecond || off > 2*time.Millisecond { // a contact is in whole milliseconds
			t.Errorf("%v remain of the lease, want %v", left, remaining)
		}
	}
	c.register(wish(id(1), "web"), source())
	millis := func(after time.Duration) int64 { return start.Add(after).UnixMilli() }
	f(5*time.Second, millis(5*time.Second), 30*time.Second)
	f(5*time.Second, millis(8*time.Second), 28*time.Second)
	f(0, millis(6*time.Second), 28*time.Second) // older news
	f(0, 0, 28*time.Second)
	f(time.Second, millis(time.Hour), 30*time.Second) // the future is now
	f(time.Second, math.MaxInt64, 30*time.Second)
	f(time.Second, math.MinInt64, 29*time.Second)
}

func TestChangesEndWithTheirContext(t *testing.T) {
	c := bare(t, time.Now)
	first, err := controlRegistry{c}.Changes(t.Context(), 0)
	if err != nil || !first.Full || first.Workers == nil {
		t.Errorf("got %+v, %v; want everything, which is nothing", first, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (controlRegistry{c}).Changes(ctx, first.Version); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}

// status is the code of an answer, 0 when there was none.
func status(err error) int {
	var refused *api.Error
	switch {
	case err == nil:
		return http.StatusOK
	case errors.As(err, &refused):
		return refused.Status
	}
	return 0
}
