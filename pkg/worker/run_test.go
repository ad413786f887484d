package worker

import (
	"context"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudless-fleet/cloudless/pkg/daemon"
	"github.com/cloudless-fleet/cloudless/pkg/discovery"
	"github.com/cloudless-fleet/cloudless/pkg/kernel"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/sampler"
	"github.com/cloudless-fleet/cloudless/pkg/selfmetrics/metricstest"
	"github.com/cloudless-fleet/cloudless/pkg/spool"
	"github.com/cloudless-fleet/cloudless/pkg/stream"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/trusttest"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// loopback is a configuration that needs nothing of the host.
func loopback(files trust.Files) Config {
	cfg := DefaultConfig()
	cfg.TLS = files
	cfg.Discovery.Listen, cfg.Discovery.Multicast = "127.0.0.1:0", false
	cfg.Sampling.Interval = sampler.MinInterval
	return cfg
}

func TestOnlyTheCertificateOfAWorkerWillDo(t *testing.T) {
	fleet := trusttest.New(t, ours)
	err := daemon.Embed(t.Context(), Spec(), loopback(fleet.Files(trust.RoleCollector, "hq")), quiet(), nil)
	if err == nil || !strings.Contains(err.Error(), "certificate of the role collectord, want worker") {
		t.Errorf("got %v", err)
	}
}

func TestRunStopsInOrder(t *testing.T) {
	fleet := trusttest.New(t, ours)
	ctx, cancel := context.WithCancel(t.Context())
	if err := daemon.Embed(ctx, Spec(), loopback(fleet.Worker(id(1))), quiet(), cancel); err != nil {
		t.Errorf("got %v, want an orderly end", err)
	}
}

// newWorker makes a worker whose parts do not run.
func newWorker(t *testing.T) *worker {
	t.Helper()
	cfg := loopback(trust.Files{})
	w := &worker{build: daemon.Build{Version: "v1"}}
	w.registration = newTested(time.Now).registration
	var err error
	if w.spool, err = spool.New(cfg.Spool, model.BootIDFrom([16]byte{1}), time.Now); err != nil {
		t.Fatal(err)
	}
	if w.client, err = stream.NewClient(cfg.Stream, stream.ClientDeps{Source: w.spool, Now: time.Now,
		Connect: stream.TLSConnect(nil), Random: func() float64 { return 0 }}); err != nil {
		t.Fatal(err)
	}
	if w.responder, err = discovery.NewResponder(cfg.Discovery, discovery.ResponderDeps{Handler: w.registration, Logger: quiet()}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.responder.Close() })
	if w.sampler, err = sampler.New(cfg.Sampling, kernel.Host(), sampler.Deps{Log: quiet(), Now: time.Now, Worker: id(1),
		Self: func() []model.Metric { return w.metrics() }}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.sampler.Close() })
	return w
}

func TestMetricsAreTheSameSeriesInEveryRound(t *testing.T) {
	w := newWorker(t)
	before := w.metrics()
	metricstest.Check(t, before)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.sampler.Run(ctx, w.spool) }()
	var last uint64
	for w.sampler.Stats().Rounds < 2 { // each round is a record at least
		var err error
		if _, last, err = w.spool.Next(t.Context(), last, nil, 1); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	after := w.metrics()
	metricstest.Check(t, after)
	metricstest.SameSeries(t, before, after)
	if stats := w.sampler.Stats(); stats.Rounds == 0 || stats.SchemaErrors != 0 || stats.OutputFails != 0 {
		t.Errorf("sampler: %+v", stats)
	}
}

func TestConnectTellsTheStream(t *testing.T) {
	w := newWorker(t)
	f := func(to netip.AddrPort, want string) {
		t.Helper()
		w.connect(to)
		if got := w.client.Stats().Endpoint; got != want {
			t.Errorf("connect to %v: the stream's endpoint is %q, want %q", to, got, want)
		}
	}
	f(at("10.0.0.1:9090"), "10.0.0.1:9090")
	f(at("[fd00::1]:9090"), "[fd00::1]:9090")
	f(netip.AddrPort{}, "")
}

func TestAcknowledgementsAreSignsOfLife(t *testing.T) {
	w := newWorker(t)
	heard := 0
	source := heardSource{w.spool, func() { heard++ }}
	source.Acked(0)
	source.Acked(0)
	if heard != 2 {
		t.Errorf("heard %d times, want 2", heard)
	}
}

func TestReloadOfCertificates(t *testing.T) {
	fleet := trusttest.New(t, ours)
	credentials, err := trust.Load(fleet.Worker(id(1)), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorker(t)
	reload := w.reloadCertificates(credentials)
	f := func(files trust.Files, want string) {
		t.Helper()
		apply, err := reload.Prepare(t.Context(), Config{TLS: files})
		got := ""
		if err != nil {
			got = err.Error()
		} else {
			apply()
		}
		if (apply == nil) != (err != nil) || !strings.Contains(got, want) || (got != "") != (want != "") {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	f(fleet.Worker(id(1)), "")
	f(fleet.Worker(id(2)), "somebody else")
	f(trust.Files{}, "ca")
	if diff := cmp.Diff(id(1).String(), credentials.Identity().Name); diff != "" {
		t.Errorf("identity (-want +got):\n%s", diff)
	}
}
