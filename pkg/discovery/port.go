package discovery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cloudless-fleet/cloudless/pkg/crm"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// packetConn is the part of *net.UDPConn that a port needs; tests put their
// own in place.
type packetConn interface {
	ReadFromUDPAddrPort(b []byte) (n int, from netip.AddrPort, err error)
	WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error)
	LocalAddr() net.Addr
	Close() error
}

// listen opens a port on address. An empty host hears both families.
func listen(address string, buffer model.Bytes) (*net.UDPConn, error) {
	at, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		return nil, err
	}
	conn, err := net.ListenUDP("udp", at)
	if err != nil {
		return nil, err
	}
	if err := forbidBroadcast(conn); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	// The kernel may grant less; that only loses packets sooner.
	_ = conn.SetReadBuffer(int(buffer))
	return conn, nil
}

// forbidBroadcast takes back what package net allows every UDP socket. The
// addresses that answers go to were read from packets: one that names a
// subnet's broadcast address must not make us shout.
func forbidBroadcast(conn *net.UDPConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return fmt.Errorf("forbid broadcast: %w", err)
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_BROADCAST, 0)
	})
	if err = errors.Join(err, failed); err != nil {
		return fmt.Errorf("forbid broadcast: %w", err)
	}
	return nil
}

// port hears packets on one socket, counts what is wrong with them, and sends
// answers from it.
type port struct {
	conn  packetConn
	log   *slog.Logger
	close func() error
	door  *door // nil: everything passes
	seal  Seal  // nil: answers go unsigned

	mu     sync.Mutex // guards what follows
	heard  ListenStats
	spoken SendStats
}

func newPort(conn packetConn, log *slog.Logger) *port {
	return &port{conn: conn, log: log, close: sync.OnceValue(conn.Close)}
}

// datagram is a packet that was heard.
type datagram struct {
	message crm.Message
	size    int // bytes
	source  netip.AddrPort

	unsealed []byte // the packet without its seal; not to be kept
	seal     string // "": none, or none in its place
}

// errUnexpected is a take's answer to a message that belongs on another port.
var errUnexpected = errors.New("unexpected message")

// run gives every good packet to take, one at a time, until ctx ends; then it
// closes the socket. Nothing that arrives and no error of the socket ends it
// before.
func (p *port) run(ctx context.Context, take func(datagram) error) {
	stop := context.AfterFunc(ctx, func() { _ = p.close() })
	defer stop()
	defer p.close()
	// Twice a packet's bound, so that a longer one is seen as such and not cut
	// to something that looks whole.
	buffer := make([]byte, 2*(crm.MaxPacket+1))
	pause := backoff{}
	for {
		n, from, err := p.conn.ReadFromUDPAddrPort(buffer)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			p.count(func() { p.heard.ReadErrors++ })
			p.log.Warn("reading a datagram went wrong", "err", err)
			if !pause.wait(ctx) {
				return
			}
			continue
		}
		pause = backoff{}
		p.hear(buffer[:n], unmap(from), take)
	}
}

func (p *port) hear(b []byte, from netip.AddrPort, take func(datagram) error) {
	p.count(func() { p.heard.Datagrams++; p.heard.Bytes += uint64(len(b)) })
	d := datagram{size: len(b), source: from, unsealed: b}
	if unsealed, seal, ok := crm.DetachSeal(b); ok {
		d.unsealed, d.seal = unsealed, seal
	}
	if reason := p.door.screen(d); reason != trusted {
		p.untrusted(d, verdictOf(reason))
		return
	}
	message, err := crm.Parse(b)
	if err == nil {
		d.message = message
		err = take(d)
	}
	if err == nil {
		return
	}
	var refused *crm.Error
	if errors.As(err, &refused) {
		p.count(func() { p.heard.Refused[refused.Reason]++ })
	} else {
		p.count(func() { p.heard.Unexpected++ })
	}
	p.log.Warn("datagram dropped", "source", from, "err", err)
}

// send sends m, an answer to a packet of request bytes.
func (p *port) send(m crm.Message, to netip.AddrPort, request int) {
	if !singleHost(to) {
		p.count(func() { p.spoken.BadDestination++ })
		p.log.Warn("answer not sent: its destination is no single host", "to", to)
		return
	}
	b, err := pack(m, p.seal)
	if err != nil {
		p.count(func() { p.spoken.Unencodable++ })
		p.log.Warn("answer not sent", "to", to, "err", err)
		return
	}
	if len(b) > 2*request {
		p.count(func() { p.spoken.TooLarge++ })
		p.log.Warn("answer not sent: more than twice the request's size", "to", to)
		return
	}
	if _, err := p.conn.WriteToUDPAddrPort(b, to); err != nil {
		p.count(func() { p.spoken.SendErrors++ })
		p.log.Warn("answer not sent", "to", to, "err", err)
		return
	}
	p.count(func() { p.spoken.Sent++ })
}

func (p *port) addr() netip.AddrPort { return addrPortOf(p.conn.LocalAddr()) }

func (p *port) count(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
}

// singleHost reports whether an address can be one host's.
func singleHost(to netip.AddrPort) bool {
	a := to.Addr()
	return a.IsValid() && to.Port() != 0 && !a.IsUnspecified() && !a.IsMulticast() &&
		a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

// backoff spaces repeated errors: 1 ms, doubled each time, at most 1 s.
type backoff struct{ last time.Duration }

// wait reports whether to go on.
func (b *backoff) wait(ctx context.Context) bool {
	b.last = min(max(2*b.last, time.Millisecond), time.Second)
	timer := time.NewTimer(b.last)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

func (p *port) stats() (ListenStats, SendStats) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.heard, p.spoken
}
