package stream

// Cut ends the connections that match, and returns how many that were. It does
// not wait for their ends: each worker is told the refusal, which must not be
// nil, and has a second to read it. Of a connection that has not said hello yet
// Session and Boot are zero; First, Next and ClockOffset always are.
//
// A connection that begins during the call may be missed. Whoever cuts because
// of a change makes the change first, so that Admit, Sink.Open or the handshake
// refuses what comes later. match is called with a lock held: it must neither
// block nor call the server.
func (s *Server) Cut(match func(Peer) bool, refusal *Refusal) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	cut := 0
	for d := range s.links {
		if d.ctx.Err() == nil && match(d.peer()) {
			d.cancel(refusal)
			cut++
		}
	}
	s.stats.Cut += uint64(cut)
	return cut
}
