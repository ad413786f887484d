package stream

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
)

// TLSConnect returns the ClientDeps.Connect for TCP and TLS. config is called
// for each connection, so that credentials loaded meanwhile are used; it must
// offer ALPN and verify the collector, as trust.Credentials.Client does.
func TLSConnect(config func() *tls.Config) func(ctx context.Context, addr string) (net.Conn, error) {
	return func(ctx context.Context, addr string) (net.Conn, error) {
		dialer := tls.Dialer{Config: config()}
		conn, err := dialer.DialContext(ctx, "tcp", addr)
		if err != nil {
			return nil, err
		}
		if got := conn.(*tls.Conn).ConnectionState().NegotiatedProtocol; got != ALPN {
			conn.Close()
			return nil, fmt.Errorf("%s speaks %q, want %q: not a collector's port", addr, got, ALPN)
		}
		return conn, nil
	}
}
