package collector

import (
	"net"
	"sync"
	"sync/atomic"
)

// bounded is a listener with at most so many connections at once: it closes what
// is beyond. Safe for concurrent use.
type bounded struct {
	net.Listener
	most int64
	open atomic.Int64
}

func newBounded(listener net.Listener, most int64) *bounded {
	return &bounded{Listener: listener, most: most}
}

// Accept implements net.Listener.
func (b *bounded) Accept() (net.Conn, error) {
	for {
		conn, err := b.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if b.open.Add(1) <= b.most {
			return &boundedConn{Conn: conn, leave: sync.OnceFunc(func() { b.open.Add(-1) })}, nil
		}
		b.open.Add(-1)
		conn.Close()
	}
}

type boundedConn struct {
	net.Conn
	leave func()
}

// Close implements net.Conn.
func (c *boundedConn) Close() error {
	defer c.leave()
	return c.Conn.Close()
}

// NetConn is what it wraps: package local looks for the socket there.
func (c *boundedConn) NetConn() net.Conn { return c.Conn }
