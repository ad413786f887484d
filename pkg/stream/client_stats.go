package stream

import (
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// ClientState is what one of a Client's connections is doing.
type ClientState uint8

// The states of a connection.
const (
	Idle       ClientState = iota // no endpoint is known, nothing to send, or not running
	Connecting                    // dialling, shaking hands, saying hello
	Connected                     // welcome
	Waiting                       // until RetryAt
	Yielding                      // the live one: until older records are delivered
)

var clientStates = [...]string{Idle: "idle", Connecting: "connecting", Connected: "connected", Waiting: "waiting", Yielding: "yielding"}

func (s ClientState) String() string { return clientStates[s] }

// LinkStats are the figures of one of a Client's connections at one moment, over
// all attempts. Counters begin with zero when the client is made.
type LinkStats struct {
	State          ClientState
	ConnectedSince time.Time // zero when not connected
	RetryAt        time.Time // while Waiting
	LastEnd        End       // of the last attempt or connection; with LastError
	LastError      string    // "" if there was none yet
	LastRefusal    Refusal   // zero if there was none yet
	LastReject     Refusal   // why records were given up; zero if none were

	Connects uint64            // connections that were welcome, counter
	Ended    [NumEnds]uint64   // attempts and connections by reason, counters
	Refused  [NumCauses]uint64 // connections by cause, counters
	Rejected [NumCauses]uint64 // records that the collector gave up, counters

	Boot              model.BootID // whose records the newest connection sends
	FirstSeq          uint64       // where its stretch begins
	SentSeq, AckedSeq uint64       // newest record sent, and acknowledged, on it
	SentBytes         uint64       // of records, counter; repetitions count again
	ContextBytes      uint64       // of them records that only bring decoders up to date, counter
	AckedBytes        uint64       // of records, counter
	InFlight, Window  uint64       // bytes sent and not acknowledged, and how many may be
	// Blocked is how often sending had to wait for the window, counter.
	Blocked uint64
	// AckDelay is how long the newest acknowledgement was in coming, from sending
	// the oldest record that it covers; zero before the first.
	AckDelay time.Duration
}

// ClientStats are the figures of a Client at one moment.
type ClientStats struct {
	LinkStats           // of the live connection
	Backfill  LinkStats // of the other one
	Endpoint  string

	// ClockOffset is our clock minus the collector's, right to half of
	// RoundTrip. Both are zero until ClockKnown.
	ClockKnown  bool
	ClockOffset time.Duration
	RoundTrip   time.Duration
}

// Stats returns the present figures.
func (c *Client) Stats() ClientStats {
	c.mu.Lock()
	defer c.mu.Unlock()
	stats := ClientStats{LinkStats: c.live.stats, Backfill: c.backfill.stats, Endpoint: c.endpoint}
	if best, ok := c.clock.best(); ok {
		// Asked from here, the measured offset is the collector's.
		stats.ClockKnown, stats.ClockOffset, stats.RoundTrip = true, -best.offset, best.roundTrip
	}
	return stats
}
