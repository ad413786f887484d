package stream

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

// PortConfig bounds what a listener takes on.
type PortConfig struct {
	// HandshakeTimeout is how long a TLS handshake may take.
	HandshakeTimeout time.Duration `toml:"handshake_timeout"`
	// MaxHandshakes is how many handshakes may be under way at once. When there
	// are as many, the one that began first is cut off for the newcomer: whoever
	// opens connections and says nothing loses them first.
	// More bears a larger crowd, at about 20 KiB each.
	MaxHandshakes int `toml:"max_handshakes"`
	// MaxHTTP is how many connections of HTTP clients may be open at once;
	// one more is closed. Streams are bounded by the Server.
	MaxHTTP int `toml:"max_http"`
}

// DefaultPortConfig returns what suits a fleet of ten thousand.
func DefaultPortConfig() PortConfig {
	return PortConfig{HandshakeTimeout: 10 * time.Second, MaxHandshakes: 512, MaxHTTP: 1024}
}

// maxConnections is what no configuration may exceed: more than a process may
// have files open.
const maxConnections = 1 << 20

// Validate names the fields that are wrong (model.FieldError).
func (c PortConfig) Validate() error {
	return errors.Join(
		model.FieldWithin("handshake_timeout", c.HandshakeTimeout, time.Millisecond, time.Hour),
		model.FieldWithin("max_handshakes", c.MaxHandshakes, 1, maxConnections),
		model.FieldWithin("max_http", c.MaxHTTP, 1, maxConnections),
	)
}

// PortProtocols are the protocols that a Port's TLS configuration must offer.
func PortProtocols() []string { return []string{ALPN, "h2", "http/1.1"} }

// PortDeps is what a Port works with. All but Log are required.
type PortDeps struct {
	// Listener accepts plain TCP; the Port closes it.
	Listener net.Listener
	// TLS offers PortProtocols and verifies client certificates if they are
	// given: trust.Credentials.Server(PortProtocols(), trust.ClientOptional).
	TLS *tls.Config
	// Stream speaks with a worker and returns when the connection has ended,
	// soon after ctx has: Server.Serve.
	Stream func(ctx context.Context, conn net.Conn, who trust.Identity)
	Log    *slog.Logger
}

func (d PortDeps) check() error {
	if d.Listener == nil || d.TLS == nil || d.Stream == nil {
		return errors.New("stream port: a dependency is missing")
	}
	return nil
}
