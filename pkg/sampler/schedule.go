package sampler

import (
	"hash/fnv"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// schedule says when rounds are due: at wall clock times that are a multiple
// of interval plus phase since the Unix epoch. The phase is fixed for a worker
// and differs between workers, so that a fleet does not send all at once.
type schedule struct{ interval, phase time.Duration }

func newSchedule(interval time.Duration, worker model.WorkerID) schedule {
	hash := fnv.New64a()
	hash.Write(worker[:])
	return schedule{interval, time.Duration(hash.Sum64() % uint64(interval))}
}

// after returns the first due time later than now. A round that was due at
// last, or nearly so (timers may be early, clocks are adjusted), does not come
// a second time; last is zero when there was none.
func (s schedule) after(now, last time.Time) time.Time {
	since := (now.UnixNano() - int64(s.phase)) % int64(s.interval)
	if since < 0 {
		since += int64(s.interval)
	}
	due := now.Add(s.interval - time.Duration(since))
	if gap := due.Round(0).Sub(last.Round(0)); gap >= 0 && gap < s.interval/2 {
		due = due.Add(s.interval)
	}
	return due
}

// missed returns how many rounds fell due while one that took this long was
// under way.
func (s schedule) missed(took time.Duration) uint64 {
	if took < s.interval {
		return 0
	}
	return uint64(took / s.interval)
}

// grace is how long a round waits for what may hang.
func (s schedule) grace(timeout time.Duration) time.Duration {
	return min(s.interval/2, timeout)
}
