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

	Opened   uint64            // streams that were welcomed, counter
	Cut      uint64            // connections that Cut has ended, counter
	Ended    [NumEnds]uint64   // connections by reason, counters
	Refused  [NumCauses]uint64 // connections by the cause that the worker was told, counters
	Rejected [NumCauses]uint64 // single records by cause, counters
	Records  uint64            // received, context included, counter
	Bytes    uint64            // of these records, counter
	// Missing counts sequence numbers that workers skipped because their spools
	// had dropped them, counter. A stretch counts when what follows it is
	// acknowledged, so once however often it is sent.
	Missing uint64
}

// ConnectionStats are the figures of one welcomed connection.
type ConnectionStats struct {
	Worker    model.WorkerID
	Boot      model.BootID
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
}

func (t *totals) add(c counts) {
	t.records.Add(c.records)
	t.bytes.Add(c.bytes)
}

// Stats returns the present figures.
func (s *Server) Stats() ServerStats {
	s.mu.Lock()
	stats := s.stats
	stats.Connections, stats.Streams = len(s.links), len(s.active)
	s.mu.Unlock()
	stats.Records, stats.Bytes, stats.Missing = s.totals.records.Load(), s.totals.bytes.Load(), s.totals.missing.Load()
	for cause := range stats.Rejected {
		stats.Rejected[cause] = s.totals.rejected[cause].Load()
	}
	return stats
}

// Connections returns the figures of every welcomed connection, in no order.
func (s *Server) Connections() []ConnectionStats {
	s.mu.Lock()
	links := make([]*downlink, 0, len(s.active))
	for d := range s.active {
		links = append(links, d)
	}
	s.mu.Unlock()
	all := make([]ConnectionStats, len(links))
	for i, d := range links {
		all[i] = d.stats()
	}
	return all
}

func (d *downlink) stats() ConnectionStats {
	d.mu.Lock()
	defer d.mu.Unlock()
	stats := ConnectionStats{Worker: d.worker, Boot: d.boot, Addr: d.addr, Since: d.since,
		ResumeSeq: d.resume, LatestSeq: d.handled, AckedSeq: d.acked, InFlight: d.flight.bytes, Window: uint64(d.granted),
		Records: d.counts.records, Bytes: d.counts.bytes, Missing: d.counts.missing, Rejected: d.counts.rejected}
	if best, ok := d.clock.best(); ok {
		stats.ClockKnown, stats.ClockOffset, stats.RoundTrip = true, best.offset, best.roundTrip
	}
	return stats
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
