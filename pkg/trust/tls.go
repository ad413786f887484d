package trust

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// ClientAuth says what a server wants of its clients.
type ClientAuth uint8

const (
	// ClientRequired: without a certificate of the fleet the handshake fails.
	ClientRequired ClientAuth = iota
	// ClientOptional: a client may come without a certificate, but not with
	// one that is not good. PeerIdentity tells which it was.
	ClientOptional
)

// ErrNoCertificate says that a peer has shown no certificate.
var ErrNoCertificate = errors.New("no certificate")

// ErrRole says that a peer is a member of the fleet, but not one of the role
// that was wanted.
var ErrRole = errors.New("certificate of another role")

// Server returns the TLS configuration of a listener which offers nextProtos by
// ALPN. It follows Reload: every handshake uses the newest credentials.
func (c *Credentials) Server(nextProtos []string, auth ClientAuth) *tls.Config {
	config := c.serverConfig(nextProtos, auth)
	config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		return c.serverConfig(nextProtos, auth), nil
	}
	return config
}

func (c *Credentials) serverConfig(nextProtos []string, auth ClientAuth) *tls.Config {
	m := c.current.Load()
	config := c.config(m)
	config.NextProtos = nextProtos
	config.ClientCAs = m.pool
	config.ClientAuth = tls.RequireAndVerifyClientCert
	if auth == ClientOptional {
		config.ClientAuth = tls.VerifyClientCertIfGiven
	}
	config.VerifyConnection = func(state tls.ConnectionState) error {
		if len(state.PeerCertificates) == 0 && auth == ClientOptional {
			return nil
		}
		_, err := c.judge(m, state)
		return err
	}
	return config
}

// Client returns the TLS configuration for one connection to a server of the
// role want. It is a snapshot: take a new one for each dial, so that Reload
// takes effect.
func (c *Credentials) Client(want Role, nextProtos ...string) *tls.Config {
	m := c.current.Load()
	config := c.config(m)
	config.NextProtos = nextProtos
	config.RootCAs = m.pool
	config.ServerName = serverName(m.identity.Fleet, want)
	config.VerifyConnection = func(state tls.ConnectionState) error {
		peer, err := c.judge(m, state)
		if err == nil && peer.Role != want {
			err = fmt.Errorf("%w: %s, want %s", ErrRole, peer, want)
		}
		return err
	}
	return config
}

// Client returns the TLS configuration of a connection to a server of the role
// want without a certificate of one's own: the server is verified, the client
// stays unknown, as a host is whose certificate ran out.
func (b Bundle) Client(want Role, now func() time.Time, nextProtos ...string) *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		Time:                   now,
		SessionTicketsDisabled: true,
		NextProtos:             nextProtos,
		RootCAs:                poolOf(b.Authorities),
		ServerName:             serverName(b.Fleet, want),
		VerifyConnection: func(state tls.ConnectionState) error {
			leaf, err := verifiedLeaf(state)
			if err != nil {
				return err
			}
			peer, err := CertificateIdentity(leaf)
			switch {
			case err != nil:
				return err
			case peer.Fleet != b.Fleet:
				return fmt.Errorf("%w: %s", ErrForeignFleet, peer)
			case peer.Role != want:
				return fmt.Errorf("%w: %s, want %s", ErrRole, peer, want)
			}
			return nil
		},
	}
}

func (c *Credentials) config(m *material) *tls.Config {
	return &tls.Config{
		Certificates:           []tls.Certificate{m.leaf},
		MinVersion:             tls.VersionTLS13,
		Time:                   c.now,
		SessionTicketsDisabled: true, // see the package comment
	}
}

// judge returns the identity of the peer, a member of this fleet that is not
// refused.
func (c *Credentials) judge(m *material, state tls.ConnectionState) (Identity, error) {
	leaf, err := verifiedLeaf(state)
	if err != nil {
		return Identity{}, err
	}
	peer, err := CertificateIdentity(leaf)
	if err == nil && peer.Fleet != m.identity.Fleet {
		err = fmt.Errorf("%w: %s", ErrForeignFleet, peer)
	}
	if ask := c.refuse.Load(); err == nil && ask != nil {
		err = (*ask)(leaf, peer)
	}
	return peer, err
}

// PeerIdentity returns who is at the other end of a connection that was made
// with a configuration of this package: a member of the same fleet. A client
// that came without a certificate gives ErrNoCertificate.
func PeerIdentity(state tls.ConnectionState) (Identity, error) {
	if !state.HandshakeComplete {
		return Identity{}, fmt.Errorf("peer identity: handshake not complete")
	}
	leaf, err := verifiedLeaf(state)
	if err != nil {
		return Identity{}, fmt.Errorf("peer identity: %w", err)
	}
	return CertificateIdentity(leaf)
}

// verifiedLeaf never returns a certificate that the TLS library has not
// verified: without a chain the certificates are only claims.
func verifiedLeaf(state tls.ConnectionState) (*x509.Certificate, error) {
	if len(state.VerifiedChains) == 0 || len(state.VerifiedChains[0]) == 0 {
		return nil, ErrNoCertificate
	}
	return state.VerifiedChains[0][0], nil
}
