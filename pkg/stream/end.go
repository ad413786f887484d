package stream

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
)

// End says why a connection ended.
type End uint8

// The reasons.
const (
	EndLost     End = iota // closed or broken without a word
	EndBye                 // the worker said goodbye
	EndStopped             // this side stops, or goes to another address
	EndSilent              // nothing came, or nothing could be sent, for too long
	EndConnect             // no connection could be made
	EndTLS                 // one side did not accept the other's certificate
	EndProtocol            // a malformed message, or one that has no place here
	EndRecord              // a record that cannot be read
	EndOrder               // sequence numbers that do not rise
	EndWindow              // more bytes in flight than granted
	EndRefused             // refused with a cause, see Refusal
	EndReplaced            // the same worker has connected again
	EndFailed              // a fault on this side
	numEnds
)

// NumEnds is the length of arrays that count by End.
const NumEnds = int(numEnds)

var endNames = [...]string{EndLost: "lost", EndBye: "bye", EndStopped: "stopped", EndSilent: "silent", EndConnect: "connect",
	EndTLS: "tls", EndProtocol: "protocol", EndRecord: "record", EndOrder: "order", EndWindow: "window",
	EndRefused: "refused", EndReplaced: "replaced", EndFailed: "failed"}

func (e End) String() string { return endNames[e] }

// endError is an error that knows its reason.
type endError struct {
	end End
	err error
}

func (e *endError) Error() string { return e.err.Error() }
func (e *endError) Unwrap() error { return e.err }

func ended(end End, err error) error { return &endError{end, err} }

// endOf finds the reason of an error that ended a connection.
func endOf(err error) End {
	if known, ok := errors.AsType[*endError](err); ok {
		return known.end
	}
	if refusal, ok := errors.AsType[*Refusal](err); ok {
		if refusal.Cause == CauseReplaced {
			return EndReplaced
		}
		return EndRefused
	}
	_, untrusted := errors.AsType[*tls.CertificateVerificationError](err)
	switch {
	case remoteAlert(err) || untrusted:
		return EndTLS
	case errors.Is(err, os.ErrDeadlineExceeded):
		return EndSilent
	case errors.Is(err, context.Canceled):
		return EndStopped
	}
	return EndLost
}

// remoteAlert reports whether err is a TLS alert that the peer sent: its way of
// saying that it does not accept our certificate or anything else of ours.
func remoteAlert(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "remote error"
}
