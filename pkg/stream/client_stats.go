package stream

import "time"

// ClientState is what a Client is doing.
type ClientState uint8

// The states of a Client.
const (
	Idle       ClientState = iota // no endpoint is known, or not running
	Connecting                    // dialling, shaking hands, saying hello
	Connected                     // welcome
	Waiting                       // until RetryAt
)

var clientStates = [...]string{Idle: "idle", Connecting: "connecting", Connected: "connected", Waiting: "waiting"}

func (s ClientState) String() string { return clientStates[s] }

// ClientStats are the figures of a Client at one moment. Counters begin with
// zero when the client is made.
type ClientStats struct {
	State          ClientState
	Endpoint       string
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

	SentSeq, AckedSeq uint64 // newest record sent, and acknowledged, on the newest connection
	SentBytes         uint64 // of records, counter; repetitions count again
	ContextBytes      uint64 // of them records that only bring decoders up to date, counter
	AckedBytes        uint64 // of records, counter
	InFlight, Window  uint64 // bytes sent and not acknowledged, and how many may be
	// Blocked is how often sending had to wait for the window, counter.
	Blocked uint64

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
	stats := c.stats
	if best, ok := c.clock.best(); ok {
		// Asked from here, the measured offset is the collector's.
		stats.ClockKnown, stats.ClockOffset, stats.RoundTrip = true, -best.offset, best.roundTrip
	}
	return stats
}
