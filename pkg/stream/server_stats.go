package stream

import (
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// ServerStats are the figures of a Server at one moment. Counters begin with
// zero when the server is made.
type ServerStats struct {
	Connections int // now, those that have not said hello included
	Streams     int // now, those that were welcomed
	Backfills   int // of Streams those that deliver a backlog

	// Of all streams now: bytes read and not acknowledged, how many may be, and
	// for how long the oldest of them have been waiting.
	InFlight, Window uint64
	OldestUnacked    time.Duration

	Acks     uint64            // acknowledgements, counter
	AckDelay time.Duration     // sum over Acks of the time since the oldest record that it covers was read
	Opened   uint64            // streams that were welcomed, counter
	Cut      uint64            // connections that Cut has ended, counter
	Ended    [NumEnds]uint64   // connections by reason, counters
	Refused  [NumCauses]uint64 // connections by the cause that the worker was told, counters
	Rejected [NumCauses]uint64 // single records by cause, counters
	Records  uint64            // received, context included, counter
	Bytes    uint64            // of these records, counter
	// Missing counts sequence numbers that workers skipped because their spools
	// had dropped them, counter. A stretch counts when what follows it is
	// acknowledged, so once however often it is sent. What lies before the first
	// record of a stretch is not counted: it may come in another one.
	Missing uint64
}

// ConnectionStats are the figures of one welcomed connection.
type ConnectionStats struct {
	Worker    model.WorkerID
	Session   model.BootID // the process that has connected
	Boot      model.BootID // whose records come
	Backfill  bool
	Addr      netip.AddrPort
	Since     time.Time
	ResumeSeq uint64 // where it began
	LatestSeq uint64 // newest record read
	AckedSeq  uint64
	InFlight  uint64 // bytes read and not acknowledged
	Window    uint64 // bytes granted

	Records, Bytes, Missing, Rejected uint64 // as in ServerStats, of this connection

	// ClockOffset is the worker's clock minus ours, right to half of RoundTrip.
	// Both are zero until ClockKnown.
	ClockKnown  bool
	ClockOffset time.Duration
	RoundTrip   time.Duration
}

// totals are the counters that every message touches.
type totals struct {
	records, bytes, missing atomic.Uint64
	rejected                [NumCauses]atomic.Uint64
	acks                    atomic.Uint64
	ackDelay                atomic.Int64 // nanoseconds
}

func (t *totals) add(c counts) {
	t.records.Add(c.records)
	t.bytes.Add(c.bytes)
}

// Stats returns the present figures.
func (s *Server) Stats() ServerStats {
	links := s.welcomed()
	s.mu.Lock()
	stats := s.stats
	stats.Connections, stats.Streams = len(s.links), len(s.active)
	s.mu.Unlock()
	for _, d := range links {
		one, waiting := d.stats()
		stats.InFlight += one.InFlight
		stats.Window += one.Window
		stats.OldestUnacked = max(stats.OldestUnacked, waiting)
		if one.Backfill {
			stats.Backfills++
		}
	}
	t := &s.totals
	stats.Records, stats.Bytes, stats.Missing = t.records.Load(), t.bytes.Load(), t.missing.Load()
	stats.Acks, stats.AckDelay = t.acks.Load(), time.Duration(t.ackDelay.Load())
	for cause := range stats.Rejected {
		stats.Rejected[cause] = t.rejected[cause].Load()
	}
	return stats
}

// Connections returns the figures of every welcomed connection, in no order.
func (s *Server) Connections() []ConnectionStats {
	links := s.welcomed()
	all := make([]ConnectionStats, len(links))
	for i, d := range links {
		all[i], _ = d.stats()
	}
	return all
}

func (s *Server) welcomed() []*downlink {
	s.mu.Lock()
	defer s.mu.Unlock()
	links := make([]*downlink, 0, len(s.active))
	for d := range s.active {
		links = append(links, d)
	}
	return links
}

// stats returns the figures of a connection that was welcomed, and for how long
// its oldest record waits for an acknowledgement.
func (d *downlink) stats() (stats ConnectionStats, waiting time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	stats = ConnectionStats{Worker: d.worker, Session: d.hello.session, Boot: d.hello.boot, Backfill: d.hello.role == roleBackfill,
		Addr: d.addr, Since: d.since,
		ResumeSeq: d.resume, LatestSeq: d.handled, AckedSeq: d.acked, InFlight: d.flight.bytes, Window: uint64(d.granted),
		Records: d.counts.records, Bytes: d.counts.bytes, Missing: d.counts.missing, Rejected: d.counts.rejected}
	if best, ok := d.clock.best(); ok {
		stats.ClockKnown, stats.ClockOffset, stats.RoundTrip = true, best.offset, best.roundTrip
	}
	if at, any := d.flight.oldest(); any {
		waiting = time.Since(d.opened) - at
	}
	return stats, waiting
}

func (s *Server) register(d *downlink) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.active[d] = struct{}{}
	s.stats.Opened++
}

func (s *Server) unregister(d *downlink) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.active, d)
}
