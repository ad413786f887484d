package registry

import "time"

// CandidateMemory is for how long after its last word a worker that was never
// admitted is remembered, with its retry budget. The number of such workers is
// bounded besides (Config.MaxCandidates).
const CandidateMemory = time.Hour

// Policy is what Next goes by. Config.Policy makes one.
type Policy struct {
	KeepAlive    time.Duration // lease of a worker that declares none
	KeepAliveMin time.Duration // shorter declarations are raised to it
	KeepAliveMax time.Duration // longer declarations are lowered to it
	RetryLimit   int           // refusals until a worker is in cool-down, at least 1
	CoolDown     time.Duration // for how long a worker without budget is turned away
	ForgetAfter  time.Duration // expired and left workers are dropped after it; 0: never
}

// Lease is the keep-alive period that a worker gets which declares the given
// one: within the bounds, in whole milliseconds.
func (p Policy) Lease(declared time.Duration) time.Duration {
	if declared <= 0 {
		declared = p.KeepAlive
	}
	return min(max(declared, p.KeepAliveMin), p.KeepAliveMax).Truncate(time.Millisecond)
}
