package worker

import (
	"fmt"
	"time"
)

// roundsGoOn returns a check for the watchdog: rounds of measurements must go
// on. It counts them and does not look at their timestamps, which a clock that
// is set would make old or new. The check is for one goroutine at a time.
func roundsGoOn(rounds func() uint64, interval time.Duration, now func() time.Time) func() error {
	limit := 3*interval + 30*time.Second
	seen, since := rounds(), now()
	return func() error {
		if n := rounds(); n != seen {
			seen, since = n, now()
			return nil
		}
		if silent := now().Sub(since); silent > limit {
			return fmt.Errorf("no round of measurements for %s", silent.Truncate(time.Second))
		}
		return nil
	}
}
