package crash

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/store"
	"github.com/cloudless-fleet/cloudless/pkg/store/ledger"
	"github.com/cloudless-fleet/cloudless/pkg/stream"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

const storeDir = "store"

// collector is the host that everything goes to.
type collector struct {
	*machine
	life   *life
	config store.Config
	server stream.ServerConfig
	starts int

	mu  sync.Mutex
	now *collectorProcess
}

// collectorProcess is one run of collectord.
type collectorProcess struct {
	collector *collector
	fs        *process
	store     *store.Store
	server    *stream.Server
	ctx       context.Context
	stop      context.CancelFunc
	tasks     sync.WaitGroup
}

func (c *collector) running() *collectorProcess {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.now == nil || c.now.fs.dead.Load() {
		return nil
	}
	return c.now
}

func (c *collector) set(p *collectorProcess) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = p
}

// start starts a process. It fails when the disk does.
func (c *collector) start() error {
	c.starts++
	p := &collectorProcess{collector: c}
	p.fs = c.process(c.life.net.cutAll)
	p.ctx, p.stop = context.WithCancel(context.Background())
	var err error
	p.store, err = store.Open(c.config, store.Deps{Log: c.life.log.With("at", fmt.Sprintf("%s.%d", c.name, c.starts)), Now: time.Now, FS: p.fs})
	if err != nil {
		p.stop()
		if left := p.fs.over(); left != nil && !p.fs.dead.Load() {
			c.life.fail("after an open that failed with %v: %v", err, left)
		}
		p.fs.die()
		return err
	}
	p.server, err = stream.NewServer(c.server, stream.ServerDeps{Sink: sink{p}, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	c.set(p)
	c.life.tell("collector: process %d", c.starts)
	if c.life.loud {
		for _, w := range c.life.workers {
			found, _ := p.store.Ledger().Find(ledger.Query{Worker: w.id, Limit: 1000})
			for _, e := range found {
				c.life.whisper("    %s: gap %+v, noted %d", w.name, e.Gap, e.Noted)
			}
		}
	}
	return nil
}

// serve speaks with a worker. The network holds its lock.
func (p *collectorProcess) serve(conn net.Conn, w *worker) {
	p.tasks.Go(func() {
		p.server.Serve(p.ctx, conn, trust.Identity{Fleet: "lab", Role: trust.RoleWorker, Name: w.id.String()})
	})
}

// end ends the process in an orderly way.
func (p *collectorProcess) end() error {
	p.collector.set(nil)
	p.stop()
	p.tasks.Wait()
	err := p.store.Close()
	if p.fs.dead.Load() { // it was killed at that
		err = nil
	} else if err == nil {
		err = p.fs.over()
	}
	p.fs.die()
	return err
}

// crash ends the process at once.
func (p *collectorProcess) crash() {
	p.collector.set(nil)
	p.fs.die()
	p.collector.life.net.cutAll()
	p.stop()
	p.tasks.Wait()
	_ = p.store.Close() // its disk is gone: this ends goroutines
}

// sink lets workers into the store, as package collector does.
type sink struct{ *collectorProcess }

var _ stream.Sink = sink{}

func (s sink) Open(_ context.Context, p stream.Peer) (stream.Session, error) {
	for _, w := range s.collector.life.workers {
		if w.id == p.Worker {
			opened, err := s.store.OpenSession(store.Source{Worker: p.Worker, Boot: p.Boot, Backfill: p.Backfill, First: p.First, Instance: w.name})
			if err != nil {
				return nil, told(err)
			}
			return session{opened, s.collector.life, p}, nil
		}
	}
	return nil, errors.New("a worker that does not exist")
}

type session struct {
	*store.Session
	life *life
	peer stream.Peer
}

func (s session) Append(record frame.Record, raw []byte) error {
	err := s.Session.Append(record, raw)
	if record.Kind == frame.KindFrame {
		s.life.whisper("    got %v %d, stream %d, backfill %v, context %v: %v", s.peer.Boot, record.Seq, record.Stream, s.peer.Backfill, record.Seq <= s.Resume(), err)
	}
	if err != nil {
		return told(err)
	}
	return nil
}

// told tells a worker what the store said.
func told(err error) error {
	var refused *store.Refusal
	if !errors.As(err, &refused) {
		return err
	}
	return &stream.Refusal{Cause: stream.CauseOther, Text: refused.Error(), Permanent: refused.Skipped}
}
