package people

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"
)

func locked(t *testing.T, err error) *LockedError {
	t.Helper()
	found, ok := errors.AsType[*LockedError](err)
	if !ok || !errors.Is(err, ErrLocked) {
		t.Fatalf("got %v, want a lock", err)
	}
	return found
}

// other is another address each time.
func other(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
}

func TestUserIsLockedForLongerEachTime(t *testing.T) {
	// Somebody who does not exist is locked in the same way.
	for _, name := range []string{"alice", "nobody"} {
		f := newFixture(t)
		tries := 0
		fail := func() {
			t.Helper()
			tries++
			if _, _, err := f.login(name, "guess", other(tries)); !errors.Is(err, ErrWrong) {
				t.Fatalf("%s, try %d: %v", name, tries, err)
			}
		}
		for range 4 {
			fail()
		}
		for _, want := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
			fail()
			_, _, err := f.login(name, alicesPassword, other(9999))
			lock := locked(t, err)
			if got := lock.Until.Sub(f.Now()); got != want*time.Minute || lock.Source {
				t.Fatalf("%s: locked for %v, want %v minutes", name, got, int(want))
			}
			f.pass(want * time.Minute)
		}
		if name != "alice" {
			continue
		}
		f.session("alice", alicesPassword)
		for range 4 { // forgotten
			fail()
		}
		f.session("alice", alicesPassword)
	}
}

func TestFailuresAreForgotten(t *testing.T) {
	f := newFixture(t)
	for i := range 20 {
		if _, _, err := f.login("alice", "guess", other(i)); !errors.Is(err, ErrWrong) {
			t.Fatalf("try %d: %v", i, err)
		}
		if i%4 == 3 {
			f.pass(forgetUser)
		}
	}
}

func TestSourceIsLockedWhoeverItTries(t *testing.T) {
	f := newFixture(t)
	for i := range 20 {
		// All addresses of one /64, and a login of one's own in between.
		from := netip.MustParseAddr(fmt.Sprintf("2001:db8:1::%x", i))
		if _, _, err := f.login(fmt.Sprint("user", i), "guess", from); !errors.Is(err, ErrWrong) {
			t.Fatalf("try %d: %v", i, err)
		}
		if i < 19 {
			if _, _, err := f.login("bob", bobsPassword, from); err != nil {
				t.Fatal(err)
			}
		}
	}
	_, _, err := f.login("bob", bobsPassword, abroad)
	if lock := locked(t, err); !lock.Source || lock.Until.Sub(f.Now()) != time.Minute {
		t.Errorf("got %+v", lock)
	}
	f.session("bob", bobsPassword) // from elsewhere
}

func TestOthersDoNotLockAUserOutOfHisOwnAddress(t *testing.T) {
	f := newFixture(t)
	f.session("alice", alicesPassword)
	for i := range 5 {
		f.login("alice", "guess", other(i))
	}
	_, _, err := f.login("alice", alicesPassword, abroad)
	locked(t, err)
	f.session("alice", alicesPassword) // home

	// His neighbour behind the same address gets no more tries than others.
	for i := range 5 {
		if _, _, err := f.login("alice", "guess", home); !errors.Is(err, ErrWrong) {
			t.Fatalf("try %d: %v", i, err)
		}
	}
	_, _, err = f.login("alice", "guess", home)
	locked(t, err)
}

func TestLockIsShownAndEndedByANewPassword(t *testing.T) {
	f := newFixture(t)
	for i := range 5 {
		f.login("bob", "guess", other(i))
	}
	if users := f.Users(); users[1].Locked.Sub(f.Now()) != time.Minute || !users[0].Locked.IsZero() {
		t.Errorf("got %+v", users)
	}
	f.must(f.SetPassword(t.Context(), "bob", bobsPassword))
	f.session("bob", bobsPassword)
}

func TestWhatIsRememberedIsBounded(t *testing.T) {
	now := time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)
	l := newLedger[int](100, 1, time.Minute, time.Hour)
	for i := range 1000 {
		l.fail(i, now)
		now = now.Add(time.Millisecond)
	}
	if len(l.entries) != 100 || l.locked(999, now).IsZero() || l.locked(900, now).IsZero() || !l.locked(899, now).IsZero() {
		t.Errorf("%d entries; the newest 100 are to be kept", len(l.entries))
	}
	l.fail(1000, now.Add(2*time.Hour))
	if len(l.entries) != 1 {
		t.Errorf("%d entries are kept that are over", len(l.entries))
	}
}

func TestSources(t *testing.T) {
	for from, want := range map[string]string{
		"192.0.2.7": "192.0.2.7/32", "::ffff:192.0.2.7": "192.0.2.7/32", "2001:db8::1": "2001:db8::/64", "fe80::1%eth0": "fe80::/64",
	} {
		if got := sourceOf(netip.MustParseAddr(from)).String(); got != want {
			t.Errorf("%s: got %s, want %s", from, got, want)
		}
	}
	if got := sourceOf(netip.Addr{}); got.String() != "::/128" {
		t.Errorf("no address: %v", got)
	}
}
