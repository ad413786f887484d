package audit

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func failed(who, from string) Entry {
	return Entry{Who: who, What: LoginFailed, From: from, Detail: "wrong name or password"}
}

func TestRepeatsOfASourceBecomeOneEntry(t *testing.T) {
	c, path := newClock(), filepath.Join(t.TempDir(), "audit.jsonl")
	l := openAt(t, path, small(), c.Now)
	for i := range 20 {
		// Another port, another address of the same host: the same source.
		for _, from := range []string{fmt.Sprintf("192.0.2.7:%d", 1000+i), fmt.Sprintf("2001:db8::%x", i)} {
			if err := l.Append(failed("user alice", from)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := l.Append(failed("user bob", "198.51.100.1")); err != nil {
		t.Fatal(err)
	}
	if got := len(read(t, l, time.Time{}, 0)); got != 2*foldFirst+1 {
		t.Errorf("%d entries, want %d", got, 2*foldFirst+1)
	}
	c.pass(foldWindow)
	got := read(t, l, time.Time{}, 0)[2*foldFirst+1:]
	want := []Entry{
		{At: c.Now().Add(-foldWindow), Daemon: "coordinatord", Who: "user alice", What: LoginFailed, From: "192.0.2.7", Detail: "17 more",
			More: map[string]string{"count": "17", "first": "2026-09-01T12:00:00Z", "last": "wrong name or password"}},
		{At: c.Now().Add(-foldWindow), Daemon: "coordinatord", Who: "user alice", What: LoginFailed, From: "2001:db8::/64", Detail: "17 more",
			More: map[string]string{"count": "17", "first": "2026-09-01T12:00:00Z", "last": "wrong name or password"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if err := l.Append(failed("user alice", "192.0.2.7")); err != nil {
		t.Fatal(err)
	}
	if all := read(t, l, time.Time{}, 0); all[len(all)-1].Detail != "wrong name or password" {
		t.Errorf("the window does not begin anew: %+v", all[len(all)-1])
	}
}

func TestAttackersCannotFillTheDisk(t *testing.T) {
	c, path := newClock(), filepath.Join(t.TempDir(), "audit.jsonl")
	l := openAt(t, path, DefaultConfig(), c.Now)
	const perHour = 20_000
	for i := range perHour {
		c.pass(time.Hour / perHour)
		from := fmt.Sprintf("10.%d.%d.%d", i>>16&255, i>>8&255, i&255)
		if err := l.Append(Entry{Who: fmt.Sprint(i), What: []string{LoginFailed, EnrolRefused, EnrolPending}[i%3], From: from}); err != nil {
			t.Fatal(err)
		}
	}
	if len(l.fold.tracks) > foldTracks+3 {
		t.Errorf("%d sources are kept, want at most %d", len(l.fold.tracks), foldTracks+3)
	}
	if err := l.Append(Entry{Who: "user alice", What: Approve, OK: true}); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Size() > 400<<10 {
		t.Errorf("an hour of %d attempts: %d bytes, %v", perHour, info.Size(), err)
	}
	counted, alice := 0, false
	for _, e := range read(t, openAt(t, path, DefaultConfig(), c.Now), time.Time{}, 0) {
		n := 1
		fmt.Sscan(e.More["count"], &n)
		counted += n
		alice = alice || e.What == Approve
	}
	if counted != perHour+1 || !alice {
		t.Errorf("%d are accounted for, want %d; approval written: %v", counted, perHour+1, alice)
	}
}

func TestWhatMembersDoIsNeverFolded(t *testing.T) {
	l := openAt(t, filepath.Join(t.TempDir(), "audit.jsonl"), small(), newClock().Now)
	n := 0
	for _, what := range Words() {
		if byStrangers(what) {
			continue
		}
		for range 2 * foldFirst {
			if err := l.Append(Entry{What: what, From: "192.0.2.7"}); err != nil {
				t.Fatal(err)
			}
			n++
		}
	}
	if got := len(read(t, l, time.Time{}, 0)); got != n {
		t.Errorf("%d entries, want %d", got, n)
	}
}

func TestCountsAreWrittenAtClose(t *testing.T) {
	c, path := newClock(), filepath.Join(t.TempDir(), "audit.jsonl")
	l := openAt(t, path, small(), c.Now)
	for i := range 5 {
		if err := l.Append(failed(fmt.Sprint("user ", i), "192.0.2.7")); err != nil {
			t.Fatal(err)
		}
	}
	l.Close()
	all := read(t, openAt(t, path, small(), c.Now), time.Time{}, 0)
	if len(all) != 4 || all[3].Detail != "2 more" || all[3].Who != "several" {
		t.Errorf("got %+v", all)
	}
}

func TestClockThatWasSetBackStopsNoCount(t *testing.T) {
	c := newClock()
	f := newFold()
	for range 200 {
		f.take(failed("x", "192.0.2.7"), c.Now())
	}
	c.pass(-24 * time.Hour)
	if got := f.due(c.Now()); len(got) != 1 {
		t.Errorf("counts wait for a day: %v", got)
	}
	f.budget = 0
	f.take(failed("x", "192.0.2.8"), c.Now())
	c.pass(budgetTick)
	if f.take(failed("x", "192.0.2.9"), c.Now()) {
		t.Errorf("the budget waits for a day")
	}
}

func TestSourceOfAnEntry(t *testing.T) {
	for from, want := range map[string]string{
		"192.0.2.7": "192.0.2.7", "192.0.2.7:80": "192.0.2.7", "::ffff:192.0.2.7": "192.0.2.7", "2001:db8::1": "2001:db8::/64",
		"[2001:db8::2%eth0]:1": "2001:db8::/64", "unix socket": "unix socket", "": "", "a\nb": "a?b",
	} {
		if got := source(from); got != want {
			t.Errorf("%q: got %q, want %q", from, got, want)
		}
	}
}
