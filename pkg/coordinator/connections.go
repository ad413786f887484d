package coordinator

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

const (
	// strangerLife is how long a connection may stay that has not shown the
	// certificate of a member: an enrolment takes milliseconds.
	strangerLife = 30 * time.Second
	// strangersPerPlace bounds such connections from one address (IPv6: one /64),
	// or of one local user.
	strangersPerPlace = 64
	// connectionsPerMember bounds those of one identity. Daemons need one or two;
	// two machines with one identity have twice as many.
	connectionsPerMember = 64
)

// connections are those of one port: bounded in number, in time for those who
// have not shown who they are, and found by identity to be cut. Safe for
// concurrent use.
type connections struct {
	maxMembers, maxStrangers int
	life                     time.Duration // of a stranger's

	mu        sync.Mutex // guards what follows
	open      map[*connection]struct{}
	strangers int
	byPlace   map[string]int // strangers
	byMember  map[trust.Identity]int
	refused   refusedConnections
	cut       uint64
	lapsed    uint64
}

// refusedConnections counts connections that were closed at once, by reason.
type refusedConnections struct {
	full, place, members, member uint64
}

func newConnections(maxMembers, maxStrangers int) *connections {
	return &connections{maxMembers: maxMembers, maxStrangers: maxStrangers, life: strangerLife, open: map[*connection]struct{}{},
		byPlace: map[string]int{}, byMember: map[trust.Identity]int{}}
}

// connection is one of them, below TLS.
type connection struct {
	net.Conn
	table *connections
	place string
	lapse *time.Timer

	// Guarded by table.mu.
	closed   bool
	admitted bool // else a stranger
	leaf     *x509.Certificate
	identity trust.Identity // zero on a unix socket
}

// NetConn is what it wraps: package local looks for the socket there.
func (c *connection) NetConn() net.Conn { return c.Conn }

// listener lets through what the table takes.
type listener struct {
	net.Listener
	table *connections
}

// Accept closes what is too much and waits for the next one.
func (l listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if taken, ok := l.table.take(c); ok {
			return taken, nil
		}
		_ = c.Close()
	}
}

// placeOf is what one stranger can call his own: an IPv4 address, an IPv6 /64, or
// a user of this host.
func placeOf(c net.Conn) string {
	if socket, ok := c.(*net.UnixConn); ok {
		return userOf(socket)
	}
	tcp, ok := c.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return ""
	}
	addr := tcp.AddrPort().Addr().Unmap().WithZone("")
	if addr.Is6() {
		network, _ := addr.Prefix(64)
		return network.String()
	}
	return addr.String()
}

func userOf(socket *net.UnixConn) (user string) {
	raw, err := socket.SyscallConn()
	if err != nil {
		return ""
	}
	_ = raw.Control(func(fd uintptr) {
		if credentials, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			user = fmt.Sprintf("uid %d", credentials.Uid)
		}
	})
	return user
}

// addrOf is the address that a request came from; not valid on a unix socket.
func addrOf(remote string) netip.Addr {
	at, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Addr{}
	}
	return at.Addr().Unmap().WithZone("")
}

// take enters a new connection as a stranger's.
func (t *connections) take(c net.Conn) (*connection, bool) {
	made := &connection{Conn: c, table: t, place: placeOf(c)}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.strangers >= t.maxStrangers:
		t.refused.full++
		return nil, false
	case t.byPlace[made.place] >= strangersPerPlace:
		t.refused.place++
		return nil, false
	}
	t.open[made] = struct{}{}
	t.strangers++
	t.byPlace[made.place]++
	made.lapse = time.AfterFunc(t.life, made.lapsed)
	return made, true
}

func (c *connection) lapsed() {
	c.table.mu.Lock()
	stranger := !c.admitted && !c.closed
	if stranger {
		c.table.lapsed++
	}
	c.table.mu.Unlock()
	if stranger {
		_ = c.Close()
	}
}

// admit makes a connection a member's, with a certificate that TLS has verified,
// or that of a user who may be here. It is false when there are too many; the
// connection stays a stranger's then.
func (c *connection) admit(leaf *x509.Certificate, identity trust.Identity) bool {
	t := c.table
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case c.admitted || c.closed:
		return true // one connection, one handshake, one certificate
	case len(t.open)-t.strangers >= t.maxMembers:
		t.refused.members++
		return false
	case t.byMember[identity] >= connectionsPerMember:
		t.refused.member++
		return false
	}
	t.leavePlaceLocked(c)
	t.byMember[identity]++
	c.admitted, c.leaf, c.identity = true, leaf, identity
	c.lapse.Stop()
	return true
}

func (t *connections) leavePlaceLocked(c *connection) {
	t.strangers--
	if t.byPlace[c.place]--; t.byPlace[c.place] <= 0 {
		delete(t.byPlace, c.place)
	}
}

// Close implements net.Conn.
func (c *connection) Close() error {
	t := c.table
	t.mu.Lock()
	if !c.closed {
		c.closed = true
		delete(t.open, c)
		if !c.admitted {
			t.leavePlaceLocked(c)
		} else if t.byMember[c.identity]--; t.byMember[c.identity] <= 0 {
			delete(t.byMember, c.identity)
		}
	}
	t.mu.Unlock()
	c.lapse.Stop()
	return c.Conn.Close()
}

// cutIf closes the members' connections that match says are to be closed.
func (t *connections) cutIf(match func(leaf *x509.Certificate, identity trust.Identity) bool) (n int) {
	t.mu.Lock()
	var found []*connection
	for c := range t.open {
		if c.admitted && match(c.leaf, c.identity) {
			found = append(found, c)
		}
	}
	t.cut += uint64(len(found))
	t.mu.Unlock()
	for _, c := range found {
		_ = c.Close()
	}
	return len(found)
}

// figures are gauges and counters for metrics.
type connectionFigures struct {
	strangers, members int
	refused            refusedConnections
	cut, lapsed        uint64
}

func (t *connections) figures() connectionFigures {
	t.mu.Lock()
	defer t.mu.Unlock()
	return connectionFigures{strangers: t.strangers, members: len(t.open) - t.strangers, refused: t.refused, cut: t.cut, lapsed: t.lapsed}
}

type connectionKey struct{}

// connContext is for http.Server.ConnContext: it runs before the handshake.
func connContext(ctx context.Context, c net.Conn) context.Context {
	if secure, ok := c.(*tls.Conn); ok {
		c = secure.NetConn()
	}
	if ours, ok := c.(*connection); ok {
		return context.WithValue(ctx, connectionKey{}, ours)
	}
	return ctx
}

func connectionOf(ctx context.Context) (*connection, bool) {
	c, ok := ctx.Value(connectionKey{}).(*connection)
	return c, ok
}
