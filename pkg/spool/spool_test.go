package spool

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudless-fleet/cloudless/pkg/event"
	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

func TestAKillLosesNothing(t *testing.T) {
	b := newBench(t, nil)
	b.define(1, 1)       // 1 2
	b.from.rounds(1, 25) // 3 to 27
	first := b.spool.Boot()
	b.kill()
	b.define(1, 1)
	b.from.rounds(1, 3)
	if stats := b.spool.Stats(); stats.FormerBoots != 1 || stats.Unacked != 27+2+3+1 {
		t.Errorf("after the kill: %+v", stats)
	}
	wantRange(t, "live", b.live(), 1, 7)
	old := b.backlog()
	wantRange(t, "backlog", old, 1, 28)
	if old.Boot() != first {
		t.Errorf("the backlog is of %v, want %v", old.Boot(), first)
	}
	b.drain()
	b.complete(0)
	if gaps := b.gaps(event.AgentCrashed); len(gaps) != 1 || gaps[0].Frames != 0 {
		t.Errorf("gaps %+v, want one of a crash", gaps)
	}
}

func TestAnOrderlyEndKeepsWhatIsAcknowledged(t *testing.T) {
	b := newBench(t, nil)
	b.define(1, 1)
	b.from.rounds(1, 5)
	b.deliver(b.live())
	b.from.rounds(1, 2) // 8 9
	b.close()
	if _, err := b.spool.Append(frame.KindEvent, 0, false, []byte("{}"), 0); !errors.Is(err, ErrClosed) {
		t.Errorf("append to a closed spool: %v", err)
	}
	b.start()
	wantRange(t, "what is left", func() *Stretch { b.live(); return b.backlog() }(), 8, 10)
	b.drain()
	b.complete(0)
}

// TestWhyNothingWasMeasured tells the ends of processes apart.
func TestWhyNothingWasMeasured(t *testing.T) {
	for _, c := range []struct {
		cause event.Cause
		end   func(*bench)
	}{
		{event.AgentStopped, func(b *bench) { b.close() }},
		{event.AgentCrashed, func(b *bench) { b.disk.Kill() }},
		{event.HostOff, func(b *bench) { b.close(); b.deps.HostStarted = b.now.Add(time.Minute) }},
		{event.HostOff, func(b *bench) { b.disk = b.disk.Cut(1); b.deps.HostStarted = b.now.Add(time.Minute) }},
	} {
		b := newBench(t, nil)
		b.define(1, 1)
		b.from.rounds(1, 3)
		b.spool.sync()
		last := b.from.at
		c.end(b)
		b.now = b.now.Add(time.Hour)
		b.start()
		b.define(1, 1)
		b.from.rounds(1, 1)
		st := b.live()
		raw, _, err := st.Next(t.Context(), 2, nil, 1)
		if err != nil {
			t.Fatal(err)
		}
		r, _, err := frame.ParseRecord(raw)
		if err != nil {
			t.Fatal(err)
		}
		got, _ := gapIn(r.Payload)
		want := event.Gap{Cause: c.cause, From: last, To: b.from.at}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.cause, diff)
		}
	}
}

// TestAFreshSpoolTellsOfNoGap: nobody knows since when the host is there.
func TestAFreshSpoolTellsOfNoGap(t *testing.T) {
	b := newBench(t, nil)
	b.define(1, 1)
	b.from.rounds(1, 1)
	b.drain()
	if len(b.to.gaps) > 0 {
		t.Errorf("gaps %v", b.to.gaps)
	}
}

func TestLiveBeginsWithTheNewest(t *testing.T) {
	b := newBench(t, func(b *bench) { b.config.LiveBacklog = 2 * model.KiB; b.limits.chunk = 500 })
	b.define(1, 1) // 1 2
	b.from.rounds(1, 10)
	wantRange(t, "little is left behind", b.live(), 1, 13)
	b.from.rounds(1, 200)
	wantRange(t, "more", b.live(), 212, 213)
	b.deliver(b.live())
	b.from.rounds(1, 5)
	wantRange(t, "live goes on", b.live(), 213, 218)
	wantRange(t, "the rest", b.backlog(), 1, 212)
	l := b.to.connect(b.backlog(), true)
	l.pull(1000)
	l.ack()
	b.deliver(b.live())
	wantRange(t, "the rest of the rest", b.backlog(), l.after+1, 212)
	b.drain()
	b.complete(0)
	if st := b.backlog(); st != nil {
		t.Errorf("a backlog is left: %+v", st)
	}
}

// TestHolesAreBounded lets the collector come back again and again, for a moment each.
func TestHolesAreBounded(t *testing.T) {
	b := newBench(t, func(b *bench) { b.config.LiveBacklog = 0; b.limits.chunk = 100 })
	b.define(1, 1)
	for range 40 {
		b.from.rounds(1, 20)
		l := b.to.connect(b.live(), true)
		l.pull(1)
		l.ack()
		if n := b.spool.Stats().Stretches; n > maxHoles+2 {
			t.Fatalf("%d stretches", n)
		}
	}
	b.drain()
	b.complete(0)
}

func TestOldestFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, func(b *bench) { b.config.Order = OldestFirst; b.config.LiveBacklog = 0 })
		for range 3 {
			b.define(1, 1)
			b.from.rounds(1, 5)
			b.kill()
		}
		b.define(1, 1)
		b.from.rounds(1, 5)
		var live *Stretch
		go func() { live = b.live() }()
		for n := range byte(3) {
			synctest.Wait()
			if live != nil {
				t.Fatalf("live goes on before what was left behind")
			}
			st := b.backlog()
			if st.Boot() != model.BootIDFrom([16]byte{n + 1}) {
				t.Errorf("stretch %d is of %v", n, st.Boot())
			}
			b.deliver(st)
		}
		synctest.Wait()
		wantRange(t, "live", live, 1, 9)
		b.deliver(live)
		b.complete(0)
	})
}
