package packet

import (
	"fmt"
	"time"
)

// Kind is the kind of packet; a signature is good for one.
type Kind uint8

// The kinds. Their numbers are part of what is signed.
const (
	ProbeInit   Kind = 1
	ProbeAck    Kind = 2
	RegisterAck Kind = 3
)

// Reason says what a Verifier thinks of a packet. The set is closed.
type Reason uint8

const (
	// OK: genuine, fresh, and seen for the first time.
	OK Reason = iota
	// Unsigned: no seal, or no voucher where there must be one.
	Unsigned
	// Malformed: a seal or a voucher that none can be.
	Malformed
	// ForeignFleet: of an authority that is not in the bundle.
	ForeignFleet
	// BadVoucher: not signed by the authority that it names.
	BadVoucher
	// VoucherExpired.
	VoucherExpired
	// UnknownSender: a worker whose key is not known.
	UnknownSender
	// BadSignature: forged, changed on its way, or signed for something else.
	BadSignature
	// TooOld and FromFuture: by more than the window's skew, or older than what
	// the window remembers of this sender.
	TooOld
	FromFuture
	// Replayed: this very packet was accepted before.
	Replayed
	// WindowFull: a new sender, while the window remembers as many as it may.
	WindowFull

	// NumReasons is for arrays of counters.
	NumReasons = int(WindowFull) + 1
)

// String is the reason as counters spell it.
func (r Reason) String() string {
	names := [NumReasons]string{"ok", "unsigned", "malformed", "foreign_fleet", "bad_voucher", "voucher_expired",
		"unknown_sender", "bad_signature", "too_old", "from_future", "replayed", "window_full"}
	if int(r) < len(names) {
		return names[r]
	}
	return fmt.Sprintf("reason(%d)", r)
}

// Verdict is what became of a packet.
type Verdict struct {
	Reason Reason
	// Offset is how far the sender's clock is ahead of ours, travel time
	// included. It is proved, also when the packet is too old or from the
	// future, and zero unless the signature is good.
	Offset time.Duration
}

// OK reports whether the packet is to be obeyed.
func (v Verdict) OK() bool { return v.Reason == OK }
