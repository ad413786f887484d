package sampler

import (
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

func TestRoundsAreAlignedToTheWallClock(t *testing.T) {
	at := func(text string) time.Time {
		if text == "" {
			return time.Time{}
		}
		at, err := time.Parse("15:04:05.999", text)
		if err != nil {
			t.Fatal(err)
		}
		return at.AddDate(2026, 0, 0)
	}
	s := schedule{interval: 15 * time.Second, phase: 2 * time.Second}
	for _, c := range []struct{ name, now, last, want string }{
		{"the first round of a worker", "10:00:03", "", "10:00:17"},
		{"after a round", "10:00:17.005", "10:00:17", "10:00:32"},
		{"exactly then", "10:00:17", "10:00:17", "10:00:32"},
		{"a timer that was early", "10:00:16.999", "10:00:17", "10:00:32"},
		{"after the one at start, shortly before the next", "10:00:16", "10:00:15", "10:00:32"},
		{"after the one at start, long before the next", "10:00:05", "10:00:03", "10:00:17"},
		{"a round that took longer than the interval", "10:00:33", "10:00:17", "10:00:47"},
		{"the clock was set forward", "11:30:00", "10:00:17", "11:30:02"},
		{"the clock was set back", "09:00:00", "10:00:17", "09:00:02"},
	} {
		if got := s.after(at(c.now), at(c.last)); !got.Equal(at(c.want)) {
			t.Errorf("%s: got %v, want %s", c.name, got, c.want)
		}
	}
}

func TestThePhaseBelongsToTheWorker(t *testing.T) {
	seen := map[time.Duration]bool{}
	for i := range 100 {
		worker := model.WorkerID{byte(i)}
		phase := newSchedule(time.Second, worker).phase
		if phase != newSchedule(time.Second, worker).phase || phase < 0 || phase >= time.Second {
			t.Errorf("phase %v", phase)
		}
		seen[phase/(100*time.Millisecond)] = true
	}
	if len(seen) != 10 {
		t.Errorf("100 workers are in %d tenths of the interval, want all 10", len(seen))
	}
}

func TestMissedRounds(t *testing.T) {
	s := schedule{interval: time.Second}
	for took, want := range map[time.Duration]uint64{0: 0, 999 * time.Millisecond: 0, time.Second: 1, 3500 * time.Millisecond: 3, -time.Hour: 0} {
		if got := s.missed(took); got != want {
			t.Errorf("missed(%v) = %d, want %d", took, got, want)
		}
	}
}
