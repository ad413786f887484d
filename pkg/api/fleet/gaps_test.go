package fleet

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/api/reply"
	"github.com/cloudless-fleet/cloudless/pkg/event"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// book is a Gaps that remembers what it was asked.
type book struct {
	asked  api.GapQuery
	answer api.Gaps
	err    error
}

func (b *book) Gaps(_ context.Context, q api.GapQuery) (api.Gaps, error) {
	b.asked = q
	return b.answer, b.err
}

func serveGaps(t *testing.T, b *book) (address string, client *api.Client) {
	t.Helper()
	mux := http.NewServeMux()
	New(source{}, time.Now).WithGaps(b).Register(mux, func(_ string, h http.Handler) http.Handler { return h })
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	client, err := api.NewClient(server.URL, server.Client())
	if err != nil {
		t.Fatal(err)
	}
	return server.URL + api.PathFleetGaps, client
}

func TestQueriesForGaps(t *testing.T) {
	b := &book{}
	address, client := serveGaps(t, b)
	f := func(query string, want api.GapQuery) {
		t.Helper()
		if status, body := get(t, address+query); status != 200 {
			t.Errorf("%s: got %d %s", query, status, body)
		}
		if diff := cmp.Diff(want, b.asked); diff != "" {
			t.Errorf("%s (-want +got):\n%s", query, diff)
		}
	}
	at := time.UnixMilli(1795311000500)
	f("", api.GapQuery{Limit: api.DefaultGaps})
	f("?worker=web1&limit=7", api.GapQuery{Worker: "web1", Limit: 7})
	f("?from=1795311000.5&to=2026-11-22T01:31:00Z", api.GapQuery{From: at, To: time.Date(2026, 11, 22, 1, 31, 0, 0, time.UTC), Limit: api.DefaultGaps})
	f("?cause=host_off&cause=new_one", api.GapQuery{Causes: []event.Cause{event.HostOff, "new_one"}, Limit: api.DefaultGaps})

	full := api.GapQuery{Worker: "a b", From: at, To: at.Add(time.Second), Causes: []event.Cause{event.HostOff, event.SpoolOld}, Limit: 5}
	if _, err := client.Gaps(t.Context(), full); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(full, b.asked); diff != "" {
		t.Errorf("by the client (-want +got):\n%s", diff)
	}
}

func TestQueriesForGapsThatAreWrong(t *testing.T) {
	address, _ := serveGaps(t, &book{})
	f := func(query, text string) {
		t.Helper()
		if status, body := get(t, address+query); status != 400 || !strings.Contains(body, text) {
			t.Errorf("%s: got %d %s, want 400 with %q", query, status, body, text)
		}
	}
	f("?from=yesterday", `\"from\": want Unix seconds`)
	f("?to=NaN", `\"to\": want Unix seconds`)
	f("?to=1e30", `\"to\"`)
	f("?from=-1", `\"from\"`)
	f("?from=2&to=1", "before")
	f("?cause=Host+off", "want a cause like host_off")
	f("?limit=0", "want 1 to 10000")
	f("?limit=10001", "want 1 to 10000")
	f("?limit=x", "want 1 to 10000")
}

// TestTheWireFormOfGaps is what other programs rely on.
func TestTheWireFormOfGaps(t *testing.T) {
	lost := api.Gap{Worker: id(1), Instance: "web1", Cause: event.SpoolFull, Text: "full", Frames: 60, Samples: 30000, Boot: model.BootIDFrom([16]byte{2}), FirstSeq: 17, LastSeq: 76}
	lost.SetTimes(1795311000000, 1795311060000)
	silent := api.Gap{Worker: id(2), Instance: "web2", Cause: event.Unreachable, Text: "silent", Open: true}
	silent.SetTimes(1795311000001, 1795311060000)
	b := &book{answer: api.Gaps{Now: 1795311060000, Gaps: []api.Gap{lost, silent}, More: true,
		Totals: []api.GapTotal{{Cause: event.SpoolFull, Gaps: 1, Frames: 60, Samples: 30000}}}}
	address, client := serveGaps(t, b)
	_, body := get(t, address)
	want := `{"now_ms":1795311060000,"gaps":[` +
		`{"worker":"01000000-0000-4000-8000-000000000000","instance":"web1","cause":"spool_full","text":"full",` +
		`"from":"2026-11-22T01:30:00.000Z","to":"2026-11-22T01:31:00.000Z","from_ms":1795311000000,"to_ms":1795311060000,` +
		`"open":false,"frames":60,"samples":30000,"boot":"02000000-0000-4000-8000-000000000000","first_seq":17,"last_seq":76},` +
		`{"worker":"02000000-0000-4000-8000-000000000000","instance":"web2","cause":"unreachable","text":"silent",` +
		`"from":"2026-11-22T01:30:00.001Z","to":"2026-11-22T01:31:00.000Z","from_ms":1795311000001,"to_ms":1795311060000,` +
		`"open":true,"frames":0,"samples":0}],` +
		`"more":true,"totals":[{"cause":"spool_full","gaps":1,"frames":60,"samples":30000}]}`
	if diff := cmp.Diff(want, body); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	got, err := client.Gaps(t.Context(), api.GapQuery{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(b.answer, got); diff != "" {
		t.Errorf("by the client (-want +got):\n%s", diff)
	}
	b.answer = api.Gaps{}
	if _, body := get(t, address); body != `{"now_ms":0,"gaps":[],"more":false,"totals":[]}` {
		t.Errorf("none: got %s", body)
	}
}

func TestGapsThatCannotBeTold(t *testing.T) {
	b := &book{}
	address, _ := serveGaps(t, b)
	f := func(err error, want int) {
		t.Helper()
		b.err = err
		if status, body := get(t, address+"?"+url.Values{"worker": {"web9"}}.Encode()); status != want || !strings.Contains(body, err.Error()) {
			t.Errorf("%v: got %d %s", err, status, body)
		}
	}
	f(reply.Because(reply.ErrNotFound, "no worker web9"), 404)
	f(reply.Because(reply.ErrConflict, "two workers are web9"), 409)
	f(errors.New("not open"), 503)
}

// TestWithoutALedger: the path is nobody's.
func TestWithoutALedger(t *testing.T) {
	server, _ := serve(t, source{})
	if status, _ := get(t, server.URL+api.PathFleetGaps); status != 404 {
		t.Errorf("got %d", status)
	}
}
