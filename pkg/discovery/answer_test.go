package discovery

import (
	"math"
	"net/netip"
	"testing"
	"time"
)

func TestAnswerWindow(t *testing.T) {
	f := func(fleetSize int, most, want time.Duration) {
		t.Helper()
		if got := AnswerWindow(fleetSize, most); got != want {
			t.Errorf("AnswerWindow(%d, %v) = %v, want %v", fleetSize, most, got, want)
		}
	}
	const ms = time.Millisecond
	f(0, 5*time.Second, 100*ms)
	f(1, 5*time.Second, 100*ms)
	f(200, 5*time.Second, 100*ms)
	f(201, 5*time.Second, 100*ms+500*time.Microsecond)
	f(1000, 5*time.Second, 500*ms)
	f(10_000, 5*time.Second, 5*time.Second)
	f(10_001, 5*time.Second, 5*time.Second)
	f(100_000, time.Minute, 50*time.Second)
	f(math.MaxInt, time.Hour, time.Hour)
	f(math.MaxInt, math.MaxInt64, 5000*time.Second)
	f(-1, 5*time.Second, 100*ms)
	f(math.MinInt, 5*time.Second, 100*ms)
	f(1000, 50*ms, 50*ms)
	f(1000, 0, 0)
}

func TestWaiting(t *testing.T) {
	start := time.Unix(1, 0)
	to := func(port uint16) netip.AddrPort { return netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), port) }
	at := func(port uint16, seconds int) waitingAnswer {
		return waitingAnswer{due: start.Add(time.Duration(seconds) * time.Second), to: to(port)}
	}
	w := waiting{}
	if _, ok := w.next(); ok {
		t.Error("something waits in an empty table")
	}
	for port := range uint16(maxWaiting) {
		if a := at(port+1, 100-int(port)); w.replace(a) || !w.add(a) {
			t.Errorf("answer %d was not added", port)
		}
	}
	if w.add(at(99, 1)) {
		t.Error("one too many was taken")
	}
	// A second answer to the same place waits no longer and no shorter.
	second := at(1, 1)
	second.request = 77
	if !w.replace(second) {
		t.Error("a second answer did not replace the first")
	}
	for port := uint16(maxWaiting); port >= 1; port-- {
		due, ok := w.next()
		if want := start.Add(time.Duration(101-int(port)) * time.Second); !ok || !due.Equal(want) {
			t.Fatalf("next is %v, %v; want %v", due, ok, want)
		}
		if a, ok := w.take(due.Add(-1)); ok {
			t.Fatalf("%v was taken before its time", a.to)
		}
		a, ok := w.take(due)
		if !ok || a.to != to(port) || (port == 1) != (a.request == 77) {
			t.Fatalf("took %+v, %v; want port %d", a, ok, port)
		}
	}
	if _, ok := w.next(); ok {
		t.Error("something is left")
	}
}
