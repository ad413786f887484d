package discovery

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"
)

func hostAddr(n int) netip.Addr {
	return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, 0x0a000000+uint32(n))))
}

func TestLimits(t *testing.T) {
	now := time.Unix(1000, 0)
	l := newLimits(5, 2)
	f := func(source, to int, want verdict) {
		t.Helper()
		if got := l.allow(hostAddr(source), hostAddr(to), now); got != want {
			t.Errorf("allow(%d, %d) = %v, want %v", source, to, got, want)
		}
	}
	f(1, 1, allowed)
	f(1, 1, allowed)
	f(1, 1, limitedAddress)
	f(2, 2, allowed)
	now = now.Add(500 * time.Millisecond) // half a second: one more each, two more in all
	f(1, 1, allowed)
	f(1, 1, limitedAddress)
	// Many sources that name one victim.
	f(3, 9, allowed)
	f(4, 9, allowed)
	f(5, 9, limitedAddress)
	// All together.
	f(6, 6, allowed)
	f(7, 7, limitedAll)
	now = now.Add(time.Second)
	for host := 10; host < 15; host++ {
		f(host, host, allowed)
	}
	f(15, 15, limitedAll)
}

func TestLimitsForgetTheOldest(t *testing.T) {
	now := time.Unix(1000, 0)
	l := newLimits(1_000_000, 1)
	for n := range maxAddresses + 100 {
		if got := l.allow(hostAddr(n), hostAddr(n), now); got != allowed {
			t.Fatalf("address %d: %v", n, got)
		}
		// The first one stays in use and so is not forgotten.
		if n > 0 && n%1000 == 0 && l.allow(hostAddr(0), hostAddr(0), now) != limitedAddress {
			t.Fatalf("the busiest address was forgotten after %d", n)
		}
	}
	if l.len() != maxAddresses || l.recent.Len() != maxAddresses {
		t.Errorf("%d addresses, %d in order; want %d", l.len(), l.recent.Len(), maxAddresses)
	}
	if l.allow(hostAddr(1), hostAddr(1), now) != allowed {
		t.Error("the oldest address was not forgotten")
	}
}
