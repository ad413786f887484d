package worker

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
)

// wire is a network in memory: what is dialled arrives at the town that listens
// there. Its connections stand still in virtual time.
type wire struct {
	mu    sync.Mutex
	towns map[string]*pipeListener
	cut   bool
	dials int
}

func (n *wire) listen(address string) *pipeListener {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.towns == nil {
		n.towns = map[string]*pipeListener{}
	}
	l := &pipeListener{at: address, conns: make(chan net.Conn), closed: make(chan struct{})}
	n.towns[address] = l
	return l
}

func (n *wire) dial(ctx context.Context, _, address string) (net.Conn, error) {
	n.mu.Lock()
	l, cut := n.towns[address], n.cut
	n.dials++
	n.mu.Unlock()
	if l == nil || cut {
		return nil, fmt.Errorf("dial %s: no route to host", address)
	}
	here, there := net.Pipe()
	select {
	case l.conns <- pipeConn{there, "10.0.0.7:40000"}:
		return pipeConn{here, address}, nil
	case <-l.closed:
		return nil, fmt.Errorf("dial %s: connection refused", address)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (n *wire) dialled() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.dials
}

func (n *wire) setCut(cut bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut = cut
}

type pipeListener struct {
	at     string
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { l.once.Do(func() { close(l.closed) }); return nil }
func (l *pipeListener) Addr() net.Addr { return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(l.at)) }

type pipeConn struct {
	net.Conn
	remote string
}

func (c pipeConn) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(c.remote))
}
