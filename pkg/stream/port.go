package stream

import (
	"container/list"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/daemon/logkey"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

// Port is one TLS listener for two protocols: connections that negotiate ALPN
// and prove to be a worker of the fleet are streams, all others are given to
// whoever accepts from HTTP. Safe for concurrent use.
type Port struct {
	config PortConfig
	deps   PortDeps
	log    *slog.Logger
	http   *handover

	mu      sync.Mutex
	shaking list.List // of net.Conn, the one that began first in front
	stats   PortStats
}

// PortStats are the figures of a Port at one moment. Counters begin with zero
// when the port is made.
type PortStats struct {
	// Connections now, by what they are. Lingering ones were refused and are
	// about to be closed.
	Handshakes, Streams, HTTP, Lingering int

	Accepted     uint64              // connections, counter
	AcceptErrors uint64              // failed attempts to accept one, counter
	Failed       [NumFailures]uint64 // connections that came to nothing by reason, counters
}

// NewPort makes a port; Run serves it. When NewPort fails the listener is left
// open.
func NewPort(config PortConfig, deps PortDeps) (*Port, error) {
	if err := config.Validate(); err != nil {
		return nil, fmt.Errorf("stream port: %w", err)
	}
	if err := deps.check(); err != nil {
		return nil, err
	}
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	return &Port{config: config, deps: deps, http: newHandover(deps.Listener.Addr()),
		log: deps.Log.With(logkey.Component, "port", logkey.Listen, deps.Listener.Addr().String())}, nil
}

// HTTP returns the listener for an http.Server. What it accepts is *tls.Conn
// after the handshake: Serve, not ServeTLS. Closing it stops handing over and
// nothing else.
func (p *Port) HTTP() net.Listener { return p.http }

// Addr is where the port listens.
func (p *Port) Addr() net.Addr { return p.deps.Listener.Addr() }

// Stats returns the present figures.
func (p *Port) Stats() PortStats {
	p.mu.Lock()
	defer p.mu.Unlock()
	stats := p.stats
	stats.Handshakes = p.shaking.Len()
	return stats
}

// Run accepts connections until ctx ends, and returns when all but those of
// HTTP are closed; the listener is closed then, too. An error means that the
// listener broke: trouble with single connections, or too few file descriptors,
// does not end it.
func (p *Port) Run(ctx context.Context) error {
	defer p.http.Close()
	ctx, cancel := context.WithCancel(ctx)
	var open sync.WaitGroup
	defer open.Wait()
	defer p.cutAll()
	defer cancel()
	defer context.AfterFunc(ctx, func() { p.deps.Listener.Close() })()
	defer p.deps.Listener.Close()
	for pause := time.Duration(0); ; {
		conn, err := p.deps.Listener.Accept()
		if err == nil {
			pause = 0
			open.Go(func() { p.serve(ctx, conn) })
			continue
		}
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, net.ErrClosed) {
			return fmt.Errorf("accept on %v: %w", p.Addr(), err)
		}
		pause = min(max(2*pause, 5*time.Millisecond), time.Second)
		p.count(func(s *PortStats) { s.AcceptErrors++ })
		p.log.Error("cannot accept connections", logkey.Err, err)
		sleep(ctx, pause)
	}
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// serve takes one connection from its first byte to its end, or to whoever
// serves HTTP.
func (p *Port) serve(ctx context.Context, raw net.Conn) {
	counted := &countedConn{Conn: raw}
	given := false
	defer func() {
		if !given {
			counted.Close()
		}
	}()
	conn, failure, err := p.handshake(ctx, counted)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		p.fail(raw, failure, err)
		p.linger(raw)
		return
	}
	if conn.ConnectionState().NegotiatedProtocol == ALPN {
		p.stream(ctx, conn)
		return
	}
	if !p.take(counted) {
		p.fail(raw, FailFull, errors.New("too many HTTP connections"))
		return
	}
	given = p.http.give(ctx, conn)
}

// stream serves a worker, or tells whoever it is why not.
func (p *Port) stream(ctx context.Context, conn *tls.Conn) {
	who, err := trust.PeerIdentity(conn.ConnectionState())
	failure := FailNoCertificate
	if err == nil && who.Role != trust.RoleWorker {
		failure, err = FailRole, fmt.Errorf("%w: %v", trust.ErrRole, who)
	}
	if err != nil {
		p.fail(conn, failure, err)
		if p.mayLinger() {
			defer p.count(func(s *PortStats) { s.Lingering-- })
			refusal := &Refusal{Cause: CauseIdentity, Permanent: true, Text: "a stream needs the certificate of a worker: " + err.Error()}
			newWire(conn, newBuffers(), farewell).refuse(refusal)
		}
		return
	}
	p.count(func(s *PortStats) { s.Streams++ })
	defer p.count(func(s *PortStats) { s.Streams-- })
	p.deps.Stream(ctx, conn, who)
}

// take counts an HTTP connection in, unless there are too many. It is counted
// out when it is closed.
func (p *Port) take(conn *countedConn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stats.HTTP >= p.config.MaxHTTP {
		return false
	}
	p.stats.HTTP++
	conn.onClose = func() { p.count(func(s *PortStats) { s.HTTP-- }) }
	return true
}

func (p *Port) fail(conn net.Conn, why Failure, err error) {
	p.count(func(s *PortStats) { s.Failed[why]++ })
	// Not an error of ours, and at the pace of whoever is out there.
	p.log.Warn("connection came to nothing", logkey.Addr, conn.RemoteAddr(), logkey.Reason, why.String(), logkey.Err, err)
}

func (p *Port) count(add func(*PortStats)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	add(&p.stats)
}
