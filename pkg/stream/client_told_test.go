package stream

import (
	"testing"
	"time"
)

func TestAFailureIsToldOnceInAWhile(t *testing.T) {
	var told failure
	now := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	f := func(addr string, end End, after time.Duration, want bool) {
		t.Helper()
		now = now.Add(after)
		if got := told.isNews(addr, end, now); got != want {
			t.Errorf("%s at %s, %s: got %v, want %v", end, addr, now.Format(time.TimeOnly), got, want)
		}
	}
	f("c:1", EndConnect, 0, true)
	f("c:1", EndConnect, time.Second, false)
	f("c:1", EndTLS, time.Second, true)
	f("c:2", EndTLS, time.Second, true)
	f("c:2", EndTLS, remindEvery-time.Second, false)
	f("c:2", EndTLS, time.Second, true)
	f("c:2", EndTLS, time.Second, false)
	told = failure{} // connected
	f("c:2", EndTLS, time.Second, true)
}
