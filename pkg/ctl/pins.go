package ctl

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

// maxPins bounds the authorities that are remembered: a fleet has two while it
// moves to a new one.
const maxPins = 8

// pins recognise the collector of a fleet by its authorities. Safe for concurrent
// use.
type pins struct {
	fleet string

	mu    sync.Mutex // guards known and by
	known []trust.Fingerprint
	by    trust.Fingerprint // the one that has vouched for the last server
}

func newPins(fleet string, known ...trust.Fingerprint) *pins {
	return &pins{fleet: fleet, known: slices.Clone(known)}
}

// client returns the TLS configuration of connections to the collector: nothing
// is sent before it is recognised.
func (p *pins) client() *tls.Config {
	config := trust.Pinned{Fleet: p.fleet, Role: trust.RoleCollector, Now: time.Now}.Client()
	config.VerifyConnection = p.verify
	return config
}

func (p *pins) verify(state tls.ConnectionState) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	for _, authority := range p.known {
		one := trust.Pinned{Fleet: p.fleet, Authority: authority, Role: trust.RoleCollector, Now: time.Now}
		err := one.Client().VerifyConnection(state)
		if err == nil {
			p.by = authority
			p.learn(state.PeerCertificates[1:])
			return nil
		}
		errs = append(errs, err)
	}
	// One that is about to expire says more than one that was never shown.
	for _, err := range errs {
		if _, invalid := errors.AsType[x509.CertificateInvalidError](err); invalid {
			return err
		}
	}
	if len(errs) == 0 {
		return trust.ErrPin
	}
	return errs[0]
}

// learn remembers the authorities that a recognised collector shows beside its
// own certificate, so that a login outlives the fleet's move to a new one. They
// replace those known before: what is not shown any more was dropped.
func (p *pins) learn(shown []*x509.Certificate) {
	var pem trust.Bundle
	for _, cert := range shown {
		if cert.IsCA {
			pem.Authorities = append(pem.Authorities, cert)
		}
	}
	bundle, err := trust.ParseBundle(pem.PEM())
	if err != nil || bundle.Fleet != p.fleet {
		return
	}
	found := bundle.Fingerprints()
	if slices.Contains(found, p.by) && len(found) <= maxPins {
		p.known = found
	}
}

// authorities are those known by now.
func (p *pins) authorities() []trust.Fingerprint {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.known)
}

// vouched is the authority by which the last server was recognised.
func (p *pins) vouched() trust.Fingerprint {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.by
}
