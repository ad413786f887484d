package logging

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func newLimiter(burst int) *limiter { return &limiter{burst: burst, keys: map[repeatKey]*repeats{}} }

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// offer brings n equal records at one time and counts those that pass.
func offer(l *limiter, key repeatKey, at time.Duration, n int) (passed int, told []summary) {
	now := epoch.Add(at)
	for range n {
		told = append(told, l.roll(now)...)
		if l.admit(key, now) {
			passed++
		}
	}
	return passed, told
}

func TestLimiter(t *testing.T) {
	warn := repeatKey{slog.LevelWarn, "discovery", "bad packet"}
	l := newLimiter(3)
	for _, step := range []struct {
		at     time.Duration
		key    repeatKey
		n      int
		passed int
		told   []summary
	}{
		{0, warn, 2, 2, nil},
		{10 * time.Second, warn, 2, 1, nil},
		{59 * time.Second, warn, 1000, 0, nil},
		{59 * time.Second, repeatKey{slog.LevelWarn, "discovery", "other"}, 1, 1, nil},
		{59 * time.Second, repeatKey{slog.LevelWarn, "stream", "bad packet"}, 1, 1, nil},
		{59 * time.Second, repeatKey{slog.LevelError, "discovery", "bad packet"}, 4, 3, nil},
		{59 * time.Second, repeatKey{slog.LevelDebug, "discovery", "bad packet"}, 100, 100, nil},
		{60 * time.Second, warn, 4, 3, []summary{{warn, 1001}}},
		{120 * time.Second, warn, 1, 1, []summary{{warn, 1}, {repeatKey{slog.LevelError, "discovery", "bad packet"}, 1}}},
		{10 * time.Hour, warn, 1, 1, nil},
	} {
		passed, told := offer(l, step.key, step.at, step.n)
		if passed != step.passed {
			t.Errorf("at %v: %d of %d %v passed, want %d", step.at, passed, step.n, step.key, step.passed)
		}
		if diff := cmp.Diff(step.told, told, cmp.AllowUnexported(summary{}, repeatKey{})); diff != "" {
			t.Errorf("at %v: told (-want +got):\n%s", step.at, diff)
		}
	}
}

func TestLimiterWithoutALimit(t *testing.T) {
	l := newLimiter(0)
	if passed, _ := offer(l, repeatKey{slog.LevelInfo, "", "x"}, 0, 10_000); passed != 10_000 || len(l.keys) != 0 {
		t.Errorf("%d of 10000 passed, %d keys kept; want all, none", passed, len(l.keys))
	}
}

// TestLimiterIsBounded: data in messages neither grows the table nor silences
// errors.
func TestLimiterIsBounded(t *testing.T) {
	l := newLimiter(2)
	passed := 0
	for i := range 10 * maxKeys {
		n, _ := offer(l, repeatKey{slog.LevelWarn, "", fmt.Sprint("packet ", i)}, time.Second, 1)
		passed += n
	}
	if want := maxKeys + 2; passed != want {
		t.Errorf("%d messages passed, want %d", passed, want)
	}
	if n, _ := offer(l, repeatKey{slog.LevelError, "", "disk full"}, time.Second, 5); n != 2 {
		t.Errorf("%d errors passed a full table, want 2", n)
	}
	if len(l.keys) > maxKeys+2 {
		t.Errorf("%d keys in the table, want at most %d", len(l.keys), maxKeys+2)
	}
	told := l.roll(epoch.Add(2 * time.Minute))
	want := []summary{{repeatKey{level: slog.LevelWarn}, 9*maxKeys - 2}, {repeatKey{level: slog.LevelError}, 3}}
	if diff := cmp.Diff(want, told, cmp.AllowUnexported(summary{}, repeatKey{})); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
	if len(l.keys) != 0 {
		t.Errorf("%d keys left after their windows, want none", len(l.keys))
	}
}

func BenchmarkAdmitSuppressed(b *testing.B) {
	l := newLimiter(1)
	key := repeatKey{slog.LevelWarn, "discovery", "bad packet"}
	b.ReportAllocs()
	for b.Loop() {
		l.roll(epoch)
		l.admit(key, epoch)
	}
}
