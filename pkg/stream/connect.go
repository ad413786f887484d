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
		raw, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
		if err != nil {
			return nil, err
		}
		return Handshake(ctx, raw, addr, config())
	}
}

// Handshake makes TLS of raw, a connection to the collector at addr, as TLSConnect
// does. It closes raw when it fails.
func Handshake(ctx context.Context, raw net.Conn, addr string, config *tls.Config) (net.Conn, error) {
	conn := tls.Client(raw, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, err
	}
	if got := conn.ConnectionState().NegotiatedProtocol; got != ALPN {
		conn.Close()
		return nil, fmt.Errorf("%s speaks %q, want %q: not a collector's port", addr, got, ALPN)
	}
	return conn, nil
}
