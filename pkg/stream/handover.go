package stream

import (
	"context"
	"net"
	"sync"
)

// handover is a net.Listener whose connections are accepted elsewhere.
type handover struct {
	addr   net.Addr
	conns  chan net.Conn // without buffer: a connection is the giver's or the taker's
	once   sync.Once
	closed chan struct{}
}

func newHandover(addr net.Addr) *handover {
	return &handover{addr: addr, conns: make(chan net.Conn), closed: make(chan struct{})}
}

// Accept returns the next connection; after Close it returns net.ErrClosed.
func (h *handover) Accept() (net.Conn, error) {
	select {
	case conn := <-h.conns:
		return conn, nil
	case <-h.closed:
		return nil, net.ErrClosed
	}
}

// Close makes Accept return. Connections that were accepted stay open.
func (h *handover) Close() error {
	h.once.Do(func() { close(h.closed) })
	return nil
}

func (h *handover) Addr() net.Addr { return h.addr }

// give waits until somebody accepts the connection; false if nobody will.
func (h *handover) give(ctx context.Context, conn net.Conn) bool {
	select {
	case h.conns <- conn:
		return true
	case <-h.closed:
	case <-ctx.Done():
	}
	return false
}

// countedConn tells when it is closed, once.
type countedConn struct {
	net.Conn
	once    sync.Once
	onClose func() // set before the connection is given away, if at all
}

// Close closes the connection; closing it again does nothing.
func (c *countedConn) Close() (err error) {
	c.once.Do(func() {
		err = c.Conn.Close()
		if c.onClose != nil {
			c.onClose()
		}
	})
	return err
}
