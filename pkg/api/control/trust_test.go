package control

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/api/reply"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

// trusted is a Trust whose list has the revision 7.
type trusted struct {
	hello api.CollectorHello
	from  string
	addr  netip.Addr
	err   error
}

func (f *trusted) Revocations(ctx context.Context, since uint64) ([]byte, error) {
	if f.err != nil {
		return nil, f.err
	}
	if since != 7 {
		return []byte(`{"version":1,"revision":7}`), nil
	}
	<-ctx.Done()
	return nil, ctx.Err()
}

func (f *trusted) Hello(_ context.Context, from string, addr netip.Addr, hello api.CollectorHello) (api.CollectorWelcome, error) {
	f.from, f.addr, f.hello = from, addr, hello
	return api.CollectorWelcome{Voucher: "v", Authority: trust.Fingerprint{1}}, f.err
}

func serveTrust(t *testing.T, f *trusted, may Authorize) (*httptest.Server, *api.ControlClient) {
	t.Helper()
	mux := http.NewServeMux()
	h := New(newRegistry(), Roles{}, slog.New(slog.NewTextHandler(io.Discard, nil)), func() time.Time { return time.UnixMilli(1234) })
	h.RegisterTrust(mux, func(_ string, next http.Handler) http.Handler { return next }, f, TrustRoles{Revocations: may, Hello: may})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	client, err := api.NewControlClient(server.URL, &http.Client{Transport: asCollector{server.Client().Transport}})
	if err != nil {
		t.Fatal(err)
	}
	return server, client
}

func TestTheRevocationListIsPolled(t *testing.T) {
	f := &trusted{}
	_, client := serveTrust(t, f, byHeader)
	for _, since := range []uint64{0, 6, 8} { // 8: the coordinator came back with an older one
		snapshot, err := client.Revocations(t.Context(), since, 0)
		if err != nil || string(snapshot) != `{"version":1,"revision":7}` {
			t.Errorf("since %d: got %s, %v", since, snapshot, err)
		}
	}
	if snapshot, err := client.Revocations(t.Context(), 7, 10*time.Millisecond); err != nil || snapshot != nil {
		t.Errorf("unchanged: got %s, %v", snapshot, err)
	}
	f.err = errors.New("no list")
	if _, err := client.Revocations(t.Context(), 7, 0); err == nil || !strings.Contains(err.Error(), "unavailable: no list") {
		t.Errorf("got %v", err)
	}
}

func goodHello() api.CollectorHello {
	return api.CollectorHello{Hostname: "monitor", Port: 9090, Beacon: make([]byte, 32), Bundle: strings.Repeat("0f", 32)}
}

func TestACollectorSaysHello(t *testing.T) {
	f := &trusted{}
	_, client := serveTrust(t, f, byHeader)
	welcome, err := client.Hello(t.Context(), goodHello())
	if err != nil || welcome.Voucher != "v" || welcome.Now != 1234 {
		t.Errorf("got %+v, %v", welcome, err)
	}
	if f.from != "collector" || !f.addr.IsLoopback() || f.hello.Hostname != "monitor" {
		t.Errorf("the coordinator heard %q from %s: %+v", f.from, f.addr, f.hello)
	}
	f.err = reply.Because(reply.ErrForbidden, "not one of ours")
	if _, err := client.Hello(t.Context(), goodHello()); err == nil || err.Error() != "forbidden: not one of ours" {
		t.Errorf("got %v", err)
	}
}

func TestHellosThatAreRefused(t *testing.T) {
	f := &trusted{}
	server, client := serveTrust(t, f, byHeader)
	bad := func(change func(*api.CollectorHello), want string) {
		t.Helper()
		hello := goodHello()
		change(&hello)
		if _, err := client.Hello(t.Context(), hello); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	bad(func(h *api.CollectorHello) { h.Hostname = "" }, "hostname")
	bad(func(h *api.CollectorHello) { h.Hostname = "a\x1b[2J" }, "hostname")
	bad(func(h *api.CollectorHello) { h.Address = "a b" }, "address")
	bad(func(h *api.CollectorHello) { h.Address = "http://x" }, "address")
	bad(func(h *api.CollectorHello) { h.Port = 0 }, "port")
	bad(func(h *api.CollectorHello) { h.Beacon = h.Beacon[:31] }, "beacon")
	bad(func(h *api.CollectorHello) { h.Bundle = "xyz" }, "bundle")
	if status, text := ask(t, server.URL, "POST", "/v1/collector", "collector", `{"hostname":"x","color":"red"}`); status != 400 || !strings.Contains(text, "not known") {
		t.Errorf("unknown member: got %d %s", status, text)
	}
	for _, call := range []string{"GET /v1/revocations", "POST /v1/collector"} {
		method, path, _ := strings.Cut(call, " ")
		if status, _ := ask(t, server.URL, method, path, "worker", "{}"); status != 403 {
			t.Errorf("%s by a worker: got %d", call, status)
		}
	}
	closed, _ := serveTrust(t, f, nil)
	if status, _ := ask(t, closed.URL, "GET", "/v1/revocations", "collector", ""); status != 403 {
		t.Errorf("without Authorize: got %d", status)
	}
	if f.from != "" {
		t.Error("a refused hello was taken")
	}
}
