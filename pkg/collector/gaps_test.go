package collector

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/api/reply"
	"github.com/cloudless-fleet/cloudless/pkg/durable/durabletest"
	"github.com/cloudless-fleet/cloudless/pkg/event"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/ledger"
)

// listed is a fleet.Source of some rows.
type listed []api.Worker

func (l listed) Workers(context.Context) ([]api.Worker, error) { return l, nil }
func (l listed) Worker(context.Context, model.WorkerID) (api.Worker, bool, error) {
	return api.Worker{}, false, nil
}

const gapNow model.Millis = 1795311060000

// gapsOver are the gaps of a ledger with one report of worker 1, one of worker 9,
// which nobody knows, and refused frames of worker 2.
func gapsOver(t *testing.T, workers ...api.Worker) gapRows {
	t.Helper()
	now := func() time.Time { return time.UnixMilli(int64(gapNow)) }
	book, _, err := ledger.Open("/gaps", ledger.DefaultConfig(), ledger.Deps{FS: durabletest.New(1), Now: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { book.Close() })
	for _, r := range []ledger.Report{
		{Worker: id(1), Boot: model.BootIDFrom([16]byte{1}), Seq: 1, Gap: event.Gap{Cause: event.SpoolFull, From: gapNow - 50_000, To: gapNow - 40_000, Frames: 10, Samples: 5000, Text: "64MiB are used"}},
		{Worker: id(9), Boot: model.BootIDFrom([16]byte{1}), Seq: 1, Gap: event.Gap{Cause: "from_tomorrow", From: gapNow - 60_000, To: gapNow - 55_000, Text: "who knows"}},
	} {
		if _, err := book.Add(r); err != nil {
			t.Fatal(err)
		}
	}
	book.Refused(id(2), model.BootIDFrom([16]byte{2}), 7, event.RefusedFuture, gapNow-30_000, 500)
	return gapRows{book, listed(workers), now}
}

func TestGapsOfTheLedger(t *testing.T) {
	g := gapsOver(t, api.Worker{ID: id(1), Instance: "web1"}, api.Worker{ID: id(2), Instance: "web2"}, api.Worker{ID: id(3), Instance: "web2"})
	full := api.Gap{Worker: id(1), Instance: "web1", Cause: event.SpoolFull, Text: "the worker's spool was full: 64MiB are used", Frames: 10, Samples: 5000}
	full.SetTimes(gapNow-50_000, gapNow-40_000)
	unknown := api.Gap{Worker: id(9), Cause: "from_tomorrow", Text: "who knows"}
	unknown.SetTimes(gapNow-60_000, gapNow-55_000)
	refused := api.Gap{Worker: id(2), Instance: "web2", Cause: event.RefusedFuture, Text: "refused: the worker's clock is ahead", Frames: 1, Samples: 500,
		Boot: model.BootIDFrom([16]byte{2}), FirstSeq: 7, LastSeq: 7}
	refused.SetTimes(gapNow-30_000, gapNow-30_000)
	f := func(q api.GapQuery, more bool, want ...api.Gap) {
		t.Helper()
		got, err := g.Gaps(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got.Gaps); diff != "" || got.More != more || got.Now != gapNow {
			t.Errorf("%+v: more is %t (-want +got):\n%s", q, got.More, diff)
		}
	}
	f(api.GapQuery{}, false, unknown, full, refused)
	f(api.GapQuery{Limit: 1}, true, refused)
	f(api.GapQuery{Worker: "web1"}, false, full)
	f(api.GapQuery{Worker: id(9).String()}, false, unknown)
	f(api.GapQuery{Worker: id(8).String()}, false)
	f(api.GapQuery{Causes: []event.Cause{event.RefusedFuture}}, false, refused)
	f(api.GapQuery{To: time.UnixMilli(int64(gapNow - 55_000))}, false, unknown)

	got, err := g.Gaps(t.Context(), api.GapQuery{Worker: "web1", Limit: 1})
	if diff := cmp.Diff([]api.GapTotal{{Cause: event.SpoolFull, Gaps: 1, Frames: 10, Samples: 5000}}, got.Totals); err != nil || diff != "" {
		t.Errorf("%v, totals (-want +got):\n%s", err, diff)
	}
	if _, err := g.Gaps(t.Context(), api.GapQuery{Worker: "web9"}); !errors.Is(err, reply.ErrNotFound) {
		t.Errorf("unknown name: got %v", err)
	}
	if _, err := g.Gaps(t.Context(), api.GapQuery{Worker: "web2"}); !errors.Is(err, reply.ErrConflict) {
		t.Errorf("name of two: got %v", err)
	}
}

func TestWorkersThatAreSilent(t *testing.T) {
	lately := api.Worker{ID: id(1), Instance: "web1", State: model.Registered, KeepAlive: 30_000, Connected: true,
		LastContact: gapNow - 1000, LastFrame: gapNow - 2000, LastFrameAge: 500}
	f := func(change func(*api.Worker), text string, from model.Millis) {
		t.Helper()
		row := lately
		change(&row)
		gap, silent := silence(row, gapNow)
		if silent != (text != "") || silent && (gap.Text != text || gap.FromMillis != from || gap.ToMillis != gapNow || !gap.Open || gap.Cause != event.Unreachable) {
			t.Errorf("%+v: got %t, %+v", row, silent, gap)
		}
	}
	f(func(row *api.Worker) {}, "", 0)
	f(func(row *api.Worker) { row.State = model.Suspect }, "silent now", gapNow-2000)
	f(func(row *api.Worker) { row.State = model.Expired }, "silent now: its lease is spent", gapNow-2000)
	f(func(row *api.Worker) { row.State = model.Left }, "", 0)
	f(func(row *api.Worker) { row.State = model.Pending }, "", 0)
	f(func(row *api.Worker) { row.LastFrameAge = 30_000 }, "", 0)
	f(func(row *api.Worker) { row.LastFrameAge = 30_001 }, "silent now: it is connected, and sends no frames", gapNow-2000)
	f(func(row *api.Worker) { row.LastFrameAge, row.Connected = 30_001, false }, "silent now: it keeps its lease, but does not reach the collector", gapNow-2000)
	// The collector has just started.
	f(func(row *api.Worker) { row.LastFrameAge = -1 }, "", 0)
	f(func(row *api.Worker) { row.LastFrameAge, row.LastFrame = -1, 0 }, "", 0)
	f(func(row *api.Worker) { row.LastFrameAge, row.LastFrame, row.ClockOffset = -1, gapNow-31_000, -2000 }, "", 0)
	f(func(row *api.Worker) { row.LastFrameAge, row.LastFrame, row.Connected = -1, gapNow-31_000, false },
		"silent now: it keeps its lease, but does not reach the collector", gapNow-31_000)
	f(func(row *api.Worker) { row.State, row.LastFrame = model.Expired, 0 }, "silent now: its lease is spent", gapNow-1000)
	f(func(row *api.Worker) { row.State, row.LastFrame, row.LastContact = model.Expired, 0, 0 }, "", 0)
	f(func(row *api.Worker) { row.State, row.LastFrame = model.Suspect, gapNow+5000 }, "silent now", gapNow) // its clock is ahead
}

func TestSilentWorkersAreAmongTheGaps(t *testing.T) {
	silent := api.Worker{ID: id(1), Instance: "web1", State: model.Suspect, LastFrame: gapNow - 45_000}
	g := gapsOver(t, silent)
	f := func(q api.GapQuery, want ...event.Cause) {
		t.Helper()
		got, err := g.Gaps(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		var causes []event.Cause
		for _, gap := range got.Gaps {
			causes = append(causes, gap.Cause)
		}
		if diff := cmp.Diff(want, causes); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", q, diff)
		}
	}
	f(api.GapQuery{}, "from_tomorrow", event.SpoolFull, event.Unreachable, event.RefusedFuture)
	f(api.GapQuery{Limit: 2}, event.Unreachable, event.RefusedFuture)
	f(api.GapQuery{Worker: "web1"}, event.SpoolFull, event.Unreachable)
	f(api.GapQuery{Worker: id(2).String()}, event.RefusedFuture)
	f(api.GapQuery{Causes: []event.Cause{event.Unreachable}}, event.Unreachable)
	f(api.GapQuery{Causes: []event.Cause{event.HostOff}})
	f(api.GapQuery{From: time.UnixMilli(int64(gapNow - 1000))}, event.Unreachable, event.RefusedFuture)
	f(api.GapQuery{To: time.UnixMilli(int64(gapNow - 46_000))}, "from_tomorrow", event.SpoolFull)
}

func TestMetricsOfTheLedger(t *testing.T) {
	g := gapsOver(t)
	var m model.Metrics
	gapMetrics(&m, g.book.(*ledger.Ledger).Stats())
	want := map[string]float64{"spool_full": 5000, "refused_future": 500, "other": 0, "host_off": 0}
	for _, one := range m {
		if cause := one.Labels.Get("cause"); one.Name == "cloudless_gaps_samples_total" {
			if sum, is := want[cause]; is && sum != one.Value {
				t.Errorf("cause %s: got %v samples, want %v", cause, one.Value, sum)
			}
			delete(want, cause)
		}
	}
	if len(want) > 0 {
		t.Errorf("nothing of %v", want)
	}
}
