package worker

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
)

const (
	// dialTimeout is how long a connection to a coordinator may take, TLS
	// included: a dead address must not hold up the next one.
	dialTimeout = 10 * time.Second
	// callTimeout bounds one request and its answer.
	callTimeout = 20 * time.Second
)

// protocols are what a coordinator speaks on its TCP port.
var protocols = [...]string{"h2", "http/1.1"}

// link is the way to the coordinator at one address. Safe for concurrent use.
type link struct {
	*api.MemberClient
	address   string // host:port
	transport *http.Transport

	mu     sync.Mutex // guards what follows: of the newest connection
	remote netip.AddrPort
	shown  []*x509.Certificate
}

type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// newLink makes a link. config is asked for each connection, so that newer
// credentials are used by newer connections.
func newLink(address string, dial dialFunc, config func() *tls.Config) (*link, error) {
	l := &link{address: address}
	l.transport = &http.Transport{
		ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 1, IdleConnTimeout: 2 * time.Minute,
		// A host that has vanished must not swallow one request after the other.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 10 * time.Second, PingTimeout: 5 * time.Second},
		DialTLSContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, dialTimeout)
			defer cancel()
			raw, err := dial(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			conn := tls.Client(raw, config())
			if err := conn.HandshakeContext(ctx); err != nil {
				raw.Close()
				return nil, err
			}
			l.connected(conn)
			return conn, nil
		},
	}
	var err error
	base := "https://" + strings.ReplaceAll(address, "%", "%25") // of an IPv6 zone
	l.MemberClient, err = api.NewMemberClient(base, &http.Client{Transport: l.transport, Timeout: callTimeout})
	return l, err
}

func (l *link) connected(conn *tls.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.shown = conn.ConnectionState().PeerCertificates
	l.remote = netip.AddrPort{}
	if addr, err := netip.ParseAddrPort(conn.RemoteAddr().String()); err == nil {
		l.remote = netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
	}
}

// peer is who was reached by the newest connection: its address, and the
// certificates that it has shown.
func (l *link) peer() (remote netip.AddrPort, shown []*x509.Certificate) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.remote, l.shown
}

// close ends what is idle; what runs ends with its context.
func (l *link) close() { l.transport.CloseIdleConnections() }

// anybody is the TLS configuration of a machine that trusts nobody yet: it asks
// whoever answers, tells nothing but its public key and its name, and has a
// person compare the pairing code. name is sent in the clear, for servers that
// have several certificates; it may be "".
func anybody(name string, now func() time.Time) *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		Time:                   now,
		SessionTicketsDisabled: true,
		NextProtos:             protocols[:],
		ServerName:             name,
		InsecureSkipVerify:     true, // there is nothing yet to verify by
	}
}
