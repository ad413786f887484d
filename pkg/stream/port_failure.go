package stream

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"os"
	"strings"
	"syscall"

	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

// Failure says why a connection to a Port came to nothing.
type Failure uint8

// The reasons.
const (
	FailOther         Failure = iota
	FailNotTLS                // not the beginning of a TLS handshake
	FailVersion               // older than TLS 1.3
	FailProtocol              // none of our protocols
	FailNoCertificate         // a stream without a certificate
	FailExpired               // a certificate that is not valid now
	FailUntrusted             // a certificate of another authority
	FailIdentity              // a certificate without an identity of this fleet
	FailRole                  // a stream by somebody who is not a worker
	FailRejected              // the client did not accept our certificate, or gave up in words
	FailClosed                // the client went away
	FailTimeout               // too slow
	FailCrowded               // cut off for newcomers
	FailFull                  // as many HTTP connections as there may be
	FailRevoked               // a certificate that the fleet has revoked
	numFailures
)

// NumFailures is the length of arrays that count by Failure.
const NumFailures = int(numFailures)

var failureNames = [...]string{FailOther: "other", FailNotTLS: "not_tls", FailVersion: "tls_version", FailProtocol: "protocol",
	FailNoCertificate: "no_certificate", FailExpired: "expired", FailUntrusted: "untrusted", FailIdentity: "identity",
	FailRole: "role", FailRejected: "rejected", FailClosed: "closed", FailTimeout: "timeout", FailCrowded: "crowded", FailFull: "full", FailRevoked: "revoked"}

func (f Failure) String() string { return failureNames[f] }

// failureOf finds the reason of a failed handshake on the server's side.
func failureOf(err error) Failure {
	_, plain := errors.AsType[tls.RecordHeaderError](err)
	invalid, isInvalid := errors.AsType[x509.CertificateInvalidError](err)
	_, unknown := errors.AsType[x509.UnknownAuthorityError](err)
	_, unverified := errors.AsType[*tls.CertificateVerificationError](err)
	switch {
	case plain:
		return FailNotTLS
	case isInvalid && invalid.Reason == x509.Expired:
		return FailExpired
	case errors.Is(err, trust.ErrRevoked):
		return FailRevoked
	case errors.Is(err, trust.ErrIdentity), errors.Is(err, trust.ErrForeignFleet):
		return FailIdentity
	case unknown, unverified:
		return FailUntrusted
	case remoteAlert(err):
		return FailRejected
	case errors.Is(err, os.ErrDeadlineExceeded):
		return FailTimeout
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return FailClosed
	}
	// The library gives these no type. If its words change they count as other.
	switch text := err.Error(); {
	case strings.Contains(text, "unsupported versions"):
		return FailVersion
	case strings.Contains(text, "unsupported application protocols"):
		return FailProtocol
	}
	return FailOther
}
