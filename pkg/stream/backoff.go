package stream

import "time"

// backoff decides how long a worker waits before it connects again. Pure: the
// random number, 0 <= random < 1, is given.
type backoff struct {
	min, max  time.Duration
	permanent time.Duration // after a permanent refusal, at least
	failures  int           // in a row
}

// healthyAfter is how long a connection must have lasted to count as a success.
const healthyAfter = 10 * time.Second

// maxRetryAfter bounds what a collector may ask for.
const maxRetryAfter = 10 * time.Minute

// next returns the wait after a connection that lasted for up (0 if there was
// no welcome) and ended with an error. The full range of the wait is random, so
// that a fleet that lost its collector does not come back in step.
func (b *backoff) next(up time.Duration, err error, random float64) time.Duration {
	refusal := refusalIn(err)
	// Two workers with one identity replace each other in turn: that is no
	// success of either, however long it lasts.
	replaced := refusal != nil && refusal.Cause == CauseReplaced
	if up >= healthyAfter && !replaced {
		b.failures = 0
	}
	ceiling := min(b.max, b.min<<min(b.failures, 20)) // validated: does not overflow
	b.failures++
	wait := time.Duration(random * float64(ceiling))
	switch {
	case refusal == nil:
		return wait
	case refusal.Permanent:
		return b.permanent + time.Duration(random*float64(b.permanent)/2)
	}
	return wait + min(refusal.RetryAfter, maxRetryAfter)
}
