package worker

import (
	"testing"
	"time"
)

func TestRoundsGoOn(t *testing.T) {
	rounds, now := uint64(0), time.Unix(1e9, 0)
	check := roundsGoOn(func() uint64 { return rounds }, 10*time.Second, func() time.Time { return now })
	f := func(passed time.Duration, more uint64, want string) {
		t.Helper()
		now, rounds = now.Add(passed), rounds+more
		got := ""
		if err := check(); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	f(0, 0, "")
	f(time.Minute, 0, "") // the first round may take its time
	f(time.Millisecond, 0, "no round of measurements for 1m0s")
	f(time.Hour, 1, "")
	f(time.Minute, 0, "")
	f(time.Second, 0, "no round of measurements for 1m1s")
	f(0, 5, "")
}
