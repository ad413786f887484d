package collector

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

// controlTransport carries requests to the coordinator. It shows the newest
// certificate: long polls keep a connection in use for ever, so after a renewal
// new requests go by a new one, and the old one ends with its last request.
type controlTransport struct {
	credentials *trust.Credentials
	current     atomic.Pointer[http.Transport]
}

func newControlTransport(credentials *trust.Credentials) *controlTransport {
	t := &controlTransport{credentials: credentials}
	t.current.Store(t.fresh())
	return t
}

// fresh makes a transport without connections.
func (t *controlTransport) fresh() *http.Transport {
	return &http.Transport{ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 2, IdleConnTimeout: 30 * time.Second,
		// A connection to a host that has vanished must not swallow one
		// request after the other.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 10 * time.Second, PingTimeout: 5 * time.Second},
		DialTLSContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			dialer := tls.Dialer{Config: t.credentials.Client(trust.RoleCoordinator, "h2", "http/1.1"),
				NetDialer: &net.Dialer{Timeout: 10 * time.Second}}
			return dialer.DialContext(ctx, network, addr)
		}}
}

// RoundTrip implements http.RoundTripper.
func (t *controlTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	return t.current.Load().RoundTrip(r)
}

// renew has requests made from now on go by new connections. Those of before end
// when they have been idle for a while.
func (t *controlTransport) renew() { t.current.Swap(t.fresh()).CloseIdleConnections() }

// CloseIdleConnections closes what is not in use, for http.Client.
func (t *controlTransport) CloseIdleConnections() { t.current.Load().CloseIdleConnections() }
