package crm

import (
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// MaxPacket is the largest packet in bytes, written or read. Legacy peers read
// 1024 bytes and see a longer packet cut off.
const MaxPacket = 1023

// Message is one of *ProbeInit, *ProbeAck and *RegisterAck.
type Message interface {
	// Append appends the packet to dst. On an error, which is an *Error, dst
	// is returned as it was.
	Append(dst []byte) ([]byte, error)
	isMessage()
}

// ProbeInit is a collector's call to all workers that hear it. The answer goes
// to Info.Endpoint(model.DaemonCoordinator, source).
type ProbeInit struct {
	// ID is the text of a random UUID; at most 128 bytes of graphic characters.
	ID      string
	Info    model.HostInfo
	Ext     *ProbeInitExt // nil: a legacy collector
	Dialect Dialect
}

// ProbeAck is a worker's answer to a ProbeInit, and so its sign of life. The
// answer goes to Info.Endpoint(model.DaemonWorker, source).
type ProbeAck struct {
	ID      string // as in ProbeInit; need not be the probe's
	Info    model.HostInfo
	Ext     *ProbeAckExt // nil: a legacy worker
	Dialect Dialect
}

// RegisterAck tells a worker what became of its registration.
type RegisterAck struct {
	ID      string // as in ProbeInit; need not be the ProbeAck's
	Info    RegisterInfo
	Ext     *RegisterAckExt // nil: a legacy coordinator
	Dialect Dialect
}

// RegisterInfo is the outcome of one attempt to register.
type RegisterInfo struct {
	Status bool
	// Message says it to people. It may hold any characters, as its sender
	// chose them: escape it where it is shown.
	Message string
	// MaxRetries is how many further attempts the worker has; 0 with a false
	// Status means none. 0 to MaxRetries.
	MaxRetries int
}

// MaxRetries bounds RegisterInfo.MaxRetries.
const MaxRetries = 1_000_000

// ProbeInitExt is what our collectors add to a ProbeInit.
type ProbeInitExt struct {
	// Fleet names the fleet, so that two on one wire ignore each other; 1 to
	// 64 bytes of graphic characters.
	Fleet string
	// FleetSize is how many workers may answer; workers spread their answers
	// accordingly. 0 (unknown) to MaxFleetSize.
	FleetSize int
	// Interval is the time to the collector's next ProbeInit, in whole
	// milliseconds from 1 ms to MaxPeriod.
	Interval time.Duration
	// Voucher is the authority's word for the beacon that has sealed the packet,
	// or ""; at most 256 characters of base64url, as is Seal.
	Voucher string
	// Seal says who has made the packet, when and for which fleet (package
	// trust/packet); "" is an unsigned packet. What is signed is the packet
	// without it: see AttachSeal.
	Seal string
	// ClockOffset is how far the sender's clock is ahead of ours, travel time
	// included, as whoever judged the seal has found. It does not travel: Append
	// leaves it out, Parse leaves it zero.
	ClockOffset time.Duration
}

// ProbeAckExt is what our workers add to a ProbeAck.
type ProbeAckExt struct {
	WorkerID model.WorkerID // never zero
	// KeepAlive is the lease the worker declares: after such a silence it is
	// gone. Whole milliseconds from 1 ms to MaxPeriod.
	KeepAlive time.Duration
	// Version is the worker's program version, or "". At most 64 bytes of
	// graphic characters.
	Version string
	// Seal and ClockOffset as in ProbeInitExt.
	Seal        string
	ClockOffset time.Duration
}

// RegisterAckExt is what our coordinators add to a RegisterAck.
type RegisterAckExt struct {
	// WorkerID is the worker meant, never zero: behind one address there may
	// be several.
	WorkerID model.WorkerID
	// Instance is the name under which the fleet shows the worker, or "". At
	// most 253 bytes of graphic characters.
	Instance string
	// State is the worker's state in the registry, or 0 when not told.
	State model.WorkerState
	// Voucher, Seal and ClockOffset as in ProbeInitExt.
	Voucher     string
	Seal        string
	ClockOffset time.Duration
}

// Bounds of the extension members.
const (
	MaxFleetSize = 10_000_000
	MaxPeriod    = 24 * time.Hour
)

func (*ProbeInit) isMessage()   {}
func (*ProbeAck) isMessage()    {}
func (*RegisterAck) isMessage() {}
