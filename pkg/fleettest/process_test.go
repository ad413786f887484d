package fleettest

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/collector"
	"github.com/cloudless-fleet/cloudless/pkg/coordinator"
	process "github.com/cloudless-fleet/cloudless/pkg/daemon"
	"github.com/cloudless-fleet/cloudless/pkg/daemon/config"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/trusttest"
	"github.com/cloudless-fleet/cloudless/pkg/worker"
)

// inProcess is a fleet of one worker whose daemons all run in this process, on
// loopback. The members have to know each other's ports, so these are chosen
// before anybody listens.
type inProcess struct {
	t       *testing.T
	log     lockedBuffer
	members *trusttest.Fleet
	id      model.WorkerID

	control, probes, data, workerd int // ports: TCP, UDP, TCP, UDP
}

func newInProcess(t *testing.T) *inProcess {
	f := &inProcess{t: t, members: trusttest.New(t, "test"), id: model.WorkerIDFrom([16]byte{1}),
		control: freeTCP(t), data: freeTCP(t)}
	f.probes, f.workerd = freeUDP(t), freeUDP(t)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the daemons said:\n%s", f.log.String())
		}
	})
	return f
}

func freeTCP(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

func freeUDP(t *testing.T) int {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).Port
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

func (f *inProcess) coordinator() coordinator.Config {
	cfg := coordinator.DefaultConfig()
	cfg.StateDirectory, cfg.TLS = f.t.TempDir(), f.members.Files(trust.RoleCoordinator, "hq")
	cfg.Control.Listen, cfg.Discovery.Listen = loopback(f.control), loopback(f.probes)
	return cfg
}

func (f *inProcess) collector() collector.Config {
	cfg := collector.DefaultConfig()
	cfg.Hostname, cfg.Listen, cfg.TLS = "hq", loopback(f.data), f.members.Files(trust.RoleCollector, "hq")
	cfg.Coordinator.URL, cfg.Coordinator.Port = "https://"+loopback(f.control), uint16(f.probes)
	cfg.Discovery.AutoInterfaces, cfg.Discovery.Multicast = false, false
	cfg.Discovery.Targets, cfg.Discovery.Interval = []string{loopback(f.workerd)}, 100*time.Millisecond
	cfg.Store.Dir, cfg.Store.MinFree = f.t.TempDir(), 0
	cfg.Self.Interval = time.Second
	return cfg
}

func (f *inProcess) worker() worker.Config {
	cfg := worker.DefaultConfig()
	cfg.Hostname, cfg.TLS = "w1", f.members.Worker(f.id)
	cfg.Discovery.Listen, cfg.Discovery.Multicast, cfg.Discovery.MaxDelay = loopback(f.workerd), false, 0
	cfg.Sampling.Interval = 100 * time.Millisecond
	return cfg
}

// start runs a daemon and returns when it serves. stop ends it.
func start[C config.Validator](f *inProcess, spec process.Spec[C], cfg C) (stop func()) {
	f.t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(f.t.Context()))
	ready, done := make(chan struct{}), make(chan error, 1)
	log := slog.New(slog.NewTextHandler(&f.log, nil)).With("daemon", spec.Name)
	go func() { done <- process.Embed(ctx, spec, cfg, log, func() { close(ready) }) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			f.t.Errorf("%s: %v", spec.Name, err)
		}
	})
	f.t.Cleanup(stop)
	select {
	case <-ready:
	case err := <-done:
		done <- err
		f.t.Fatalf("%s ended before it served: %v", spec.Name, err)
	}
	return stop
}

// operator returns a client of collectord, and what closes its connections.
func (f *inProcess) operator() (client *api.Client, close func()) {
	f.t.Helper()
	transport := &http.Transport{ForceAttemptHTTP2: true,
		TLSClientConfig: f.members.Member(trust.RoleOperator, "me").Client(trust.RoleCollector, "h2")}
	client, err := api.NewClient("https://"+loopback(f.data), &http.Client{Transport: transport, Timeout: slack})
	if err != nil {
		f.t.Fatal(err)
	}
	return client, transport.CloseIdleConnections
}

// TestOneProcess is the way from /proc to an answered query without programs,
// namespaces or root; everything that was started has ended afterwards.
func TestOneProcess(t *testing.T) {
	before := runtime.NumGoroutine()
	f := newInProcess(t)
	stopCoordinator := start(f, coordinator.Spec(), f.coordinator())
	stopCollector := start(f, collector.Spec(), f.collector())
	stopWorker := start(f, worker.Spec(), f.worker())
	client, closeClient := f.operator()

	f.eventually("the worker is registered and its frames arrive", func() error {
		row, err := client.Worker(t.Context(), f.id)
		if err == nil && (row.State != model.Registered || !row.Connected || row.LastFrameAge < 0 || row.Instance != "w1") {
			err = fmt.Errorf("got %+v", row)
		}
		return err
	})
	value := func(expr string) (float64, error) {
		result, err := client.Query(t.Context(), expr, time.Time{})
		if err == nil && len(result.Vector) != 1 {
			err = fmt.Errorf("%s: %d samples, want 1", expr, len(result.Vector))
		}
		if err != nil {
			return 0, err
		}
		return result.Vector[0].Value.Value, nil
	}
	want := memTotal(t)
	f.eventually("a query gives what /proc says", func() error {
		got, err := value(`node_memory_MemTotal_bytes{instance="w1"}`)
		if err == nil && got != want {
			err = fmt.Errorf("got %v bytes of memory, want %v as /proc/meminfo says", got, want)
		}
		return err
	})
	f.eventually("rounds go on", func() error {
		got, err := value(`changes(cloudless_sampler_rounds_total{instance="w1"}[1m])`)
		if err == nil && got < 3 {
			err = fmt.Errorf("%v rounds", got)
		}
		return err
	})
	f.eventually("the servers tell of themselves", func() error {
		if got, err := value(`cloudless_registry_members{job="coordinatord",instance="hq"}`); err != nil || got != 1 {
			return fmt.Errorf("members: %v, %w", got, err)
		}
		got, err := value(`cloudless_stream_streams{job="collectord",instance="hq"}`)
		if err == nil && got != 1 {
			err = fmt.Errorf("%v streams", got)
		}
		return err
	})

	closeClient()
	stopWorker()
	stopCollector()
	stopCoordinator()
	f.eventually("all goroutines end", func() error {
		if now := runtime.NumGoroutine(); now > before {
			stacks := make([]byte, 1<<20)
			return fmt.Errorf("%d goroutines, before there were %d:\n%s", now, before, stacks[:runtime.Stack(stacks, true)])
		}
		return nil
	})
	if said := f.log.String(); strings.Contains(said, "level=ERROR") || strings.Contains(said, "coordinator does not answer") {
		t.Errorf("something went wrong:\n%s", said)
	}
}

// eventually waits until check returns nil and fails with its last error
// otherwise.
func (f *inProcess) eventually(what string, check func() error) {
	f.t.Helper()
	const patience = 30 * time.Second // of a very busy machine
	ticks := time.NewTicker(20 * time.Millisecond)
	defer ticks.Stop()
	for begun := time.Now(); ; <-ticks.C {
		err := check()
		if err == nil {
			return
		}
		if time.Since(begun) > patience {
			f.t.Fatalf("%s: not within %v: %v", what, patience, err)
		}
	}
}

// memTotal reads this machine's memory from /proc/meminfo, in bytes.
func memTotal(t *testing.T) float64 {
	t.Helper()
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 || fields[0] != "MemTotal:" {
		t.Fatal("/proc/meminfo does not begin with MemTotal")
	}
	return number(t, fields[1]) * 1024
}

// lockedBuffer is a bytes.Buffer for several writers.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
