package stream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/daemon/logkey"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// downlink is one connection of a Server. Two goroutines share it: the reader
// (run itself) gives records to the session and never writes; the writer sends
// acknowledgements, rejections, windows, pings and answers to pings.
type downlink struct {
	server  *Server
	worker  model.WorkerID
	leaf    *x509.Certificate // of the worker, nil when the connection is not TLS
	addr    netip.AddrPort
	since   time.Time
	wire    *wire
	ctx     context.Context // ends with the server or when the worker connects again
	cancel  context.CancelCauseFunc
	hello   hello // zero before it came, its parts left out; written under the server's lock
	session Session
	resume  uint64
	latest  uint64        // number of the newest record read; the reader's
	wake    chan struct{} // capacity 1: something for the writer to look at

	mu       sync.Mutex
	opened   time.Time // welcomed
	flight   flight    // read, and not acknowledged
	accepted uint64    // newest record that the session took
	handled  uint64    // newest record that was taken or rejected
	acked    uint64
	granted  uint32 // the window, as last told
	most     uint32 // the largest window that was ever told
	asked    *question
	pinged   int64
	rejects  []reject
	clock    clockFilter
	counts   counts
}

// counts are a connection's counters.
type counts struct{ records, bytes, missing, rejected uint64 }

// run does it all; the error says why the connection ended and is never nil.
func (d *downlink) run() error {
	h, received, err := d.hear()
	if err != nil {
		return err
	}
	p := d.named(h, received)
	if err := d.admitted(p); err != nil {
		return err
	}
	release, err := d.server.claim(d)
	defer release()
	if err != nil {
		return err
	}
	if err := d.open(p, h, received); err != nil {
		return err
	}
	defer d.server.unregister(d)
	defer d.close()
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		if err := d.write(stop); err != nil {
			d.cancel(err) // takes the reader along
		}
	}()
	err = d.read()
	if d.ctx.Err() != nil {
		err = context.Cause(d.ctx)
	}
	d.wire.lastWords(farewell)
	close(stop) // the writer sends what is due and returns
	<-done
	return err
}

// hear waits for the hello.
func (d *downlink) hear() (hello, int64, error) {
	d.wire.limit(time.Now().Add(d.server.config.HelloTimeout))
	m, err := d.wire.readMessage()
	if d.ctx.Err() != nil {
		return hello{}, 0, context.Cause(d.ctx)
	}
	if err != nil {
		return hello{}, 0, err
	}
	h, ok := m.(hello)
	if !ok {
		return hello{}, 0, ended(EndProtocol, fmt.Errorf("the first message is of type %d, want a hello", m.kind()))
	}
	d.wire.limit(time.Time{})
	if d.ctx.Err() != nil { // the limit that this set may just have been lifted
		return hello{}, 0, context.Cause(d.ctx)
	}
	return h, d.server.deps.Now().UnixNano(), nil
}

// named takes over from the hello who it is; Cut knows it from then on.
func (d *downlink) named(h hello, received int64) Peer {
	d.server.mu.Lock()
	d.hello = h
	d.hello.parts = nil // there may be thousands
	d.server.mu.Unlock()
	p := d.peer()
	p.First, p.Next, p.ClockOffset = h.first, h.next, time.Duration(h.clock-received)
	return p
}

// peer is who the connection is with, as far as it is known. The server's lock
// is held unless the reader asks.
func (d *downlink) peer() Peer {
	return Peer{Worker: d.worker, Leaf: d.leaf, Session: d.hello.session, Boot: d.hello.boot,
		Backfill: d.hello.role == roleBackfill, Addr: d.addr}
}

// admitted asks whether the connection may take the place of the one before.
func (d *downlink) admitted(p Peer) error {
	if d.server.deps.Admit == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(d.ctx, d.server.config.HelloTimeout)
	defer cancel()
	err := d.server.deps.Admit(ctx, p)
	switch {
	case d.ctx.Err() != nil:
		return context.Cause(d.ctx)
	case err != nil:
		return sinkError(fmt.Errorf("admit: %w", err))
	}
	return nil
}

// open begins the session and welcomes the worker.
func (d *downlink) open(p Peer, h hello, received int64) error {
	ctx, cancel := context.WithTimeout(d.ctx, d.server.config.HelloTimeout)
	defer cancel()
	session, err := d.server.deps.Sink.Open(ctx, p)
	if err != nil {
		if d.ctx.Err() != nil {
			return context.Cause(d.ctx)
		}
		return sinkError(fmt.Errorf("open session: %w", err))
	}
	d.session = session
	if err := d.welcome(h, received); err != nil {
		d.close()
		return err
	}
	d.server.register(d)
	d.server.log.Info("worker's stream established", logkey.Worker, d.worker, logkey.Addr, d.addr, "role", h.role.String(),
		logkey.Boot, h.boot, logkey.Seq, d.resume)
	return nil
}

func (d *downlink) welcome(h hello, received int64) error {
	// What is stored behind the end of a stretch is not the stretch's.
	d.resume = d.session.Resume()
	if h.role == roleBackfill {
		d.resume = min(d.resume, h.next-1)
	}
	if d.resume < h.first-1 {
		return ended(EndFailed, fmt.Errorf("session resumes after %d, the stretch begins with %d", d.resume, h.first))
	}
	wanted := d.session.Wanted(h.parts)
	if len(wanted) != len(h.parts) {
		return ended(EndFailed, fmt.Errorf("session wants %d of %d parts", len(wanted), len(h.parts)))
	}
	d.opened = time.Now()
	d.granted = d.server.grant()
	d.most = d.granted
	d.accepted, d.handled, d.acked = d.resume, d.resume, d.resume
	return d.wire.write(appendMessage(nil, welcome{resume: d.resume, window: d.granted, received: received,
		sent: d.server.deps.Now().UnixNano(), wanted: wanted}))
}

func (d *downlink) close() {
	if err := d.session.Close(); err != nil {
		d.server.log.Error("close session", logkey.Worker, d.worker, logkey.Err, err)
	}
}

// sinkError gives an error of the sink its reason.
func sinkError(err error) error {
	if refusalIn(err) != nil {
		return err
	}
	return ended(EndFailed, err)
}

// durable is up to where the session has everything from the beginning of the
// stretch on.
func (d *downlink) durable() (seq uint64, changed <-chan struct{}) {
	seq, changed = d.session.Durable()
	return max(seq, d.resume), changed
}

// nudge makes the writer look for something to send.
func (d *downlink) nudge() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// addrOf returns the peer's address, or the zero value if it has none.
func addrOf(conn net.Conn) netip.AddrPort {
	tcp, ok := conn.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	at := tcp.AddrPort()
	return netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
}

// leafOf returns the peer's certificate, or nil if the connection has none.
func leafOf(conn net.Conn) *x509.Certificate {
	secured, ok := conn.(interface{ ConnectionState() tls.ConnectionState })
	if !ok {
		return nil
	}
	if shown := secured.ConnectionState().PeerCertificates; len(shown) > 0 {
		return shown[0]
	}
	return nil
}
