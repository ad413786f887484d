package stream

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

func workerIdentity() trust.Identity {
	return trust.Identity{Fleet: "lab", Role: trust.RoleWorker, Name: testWorker.String()}
}

// field is a client and a server that meet over pipes.
type field struct {
	source *testSource
	supply Supply // of source alone, if nil
	sink   *testSink
	store  Sink // sink, if nil
	client *Client
	server *Server

	clientConfig ClientConfig
	serverConfig ServerConfig
	clientClock  time.Duration                   // the worker's clock is ahead by this
	slow         time.Duration                   // the source takes as long to give records
	down         bool                            // no connection can be made
	wrap         func(net.Conn) net.Conn         // of the worker's end, if not nil
	serve        func(context.Context, net.Conn) // instead of the server, if not nil

	mu    sync.Mutex
	dials []time.Time
	conn  net.Conn // the newest, the worker's end
}

func newField() *field {
	f := &field{source: newTestSource(1), sink: newTestSink(),
		clientConfig: DefaultClientConfig(), serverConfig: DefaultServerConfig()}
	return f
}

// run starts both sides and returns when ctx has ended and everything stands
// still. Fields must be set before.
func (f *field) start(t *testing.T) (stop func()) {
	t.Helper()
	if f.store == nil {
		f.store = f.sink
	}
	var err error
	f.server, err = NewServer(f.serverConfig, ServerDeps{Sink: f.store, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	connect := func(dialing context.Context, addr string) (net.Conn, error) {
		f.mu.Lock()
		f.dials = append(f.dials, time.Now())
		down := f.down
		f.mu.Unlock()
		if down {
			return nil, errors.New("no route")
		}
		near, far := net.Pipe()
		running.Go(func() {
			if f.serve != nil {
				f.serve(ctx, far)
				return
			}
			f.server.Serve(ctx, far, workerIdentity())
		})
		if f.wrap != nil {
			near = f.wrap(near)
		}
		f.mu.Lock()
		f.conn = near
		f.mu.Unlock()
		return near, nil
	}
	if f.supply == nil {
		f.supply = Single(slowSource{f.source, f.slow}, f.source.Boot())
	}
	f.client, err = NewClient(f.clientConfig, ClientDeps{Supply: f.supply, Connect: connect,
		Now: func() time.Time { return time.Now().Add(f.clientClock) }, Random: func() float64 { return 0.5 }})
	if err != nil {
		t.Fatal(err)
	}
	stopped := make(chan struct{})
	clientCtx, stopClient := context.WithCancel(context.Background())
	go func() {
		defer close(stopped)
		if err := f.client.Run(clientCtx); err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	return func() {
		stopClient()
		<-stopped
		cancel()
		running.Wait()
		if _, faults := f.sink.snapshot(); len(faults) > 0 {
			t.Errorf("faults: %q", faults)
		}
	}
}

func (f *field) dialed() []time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]time.Time(nil), f.dials...)
}

// cut breaks the newest connection.
func (f *field) cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.conn.Close()
}
