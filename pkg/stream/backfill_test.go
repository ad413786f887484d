package stream

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// outage is a worker after one: two hundred records of the process before this
// one, and of this process the first hundred, are left behind.
type outage struct {
	*field
	cover  *coverSink
	supply *testSupply
	before *testSource
	lines  map[role][]net.Conn // the worker's ends, by what was said on them
	guard  sync.Mutex
}

func newOutage() *outage {
	f, before := newField(), newTestSource(2)
	before.sample(198)
	f.source.sample(98)
	o := &outage{field: f, cover: newCoverSink(), supply: newTestSupply(f.source), before: before, lines: map[role][]net.Conn{}}
	o.supply.from = 101
	o.supply.leave(f.source, 1, 101)
	o.supply.leave(before, 1, 201)
	f.supply, f.store = o.supply, o.cover
	f.wrap = o.tag
	return o
}

// tag notes which line a connection is of.
func (o *outage) tag(conn net.Conn) net.Conn { return &taggedConn{Conn: conn, outage: o} }

type taggedConn struct {
	net.Conn
	outage *outage
	tagged bool
}

func (c *taggedConn) Write(b []byte) (int, error) {
	if !c.tagged { // the hello: the keeper and the sender come after it
		c.tagged = true
		c.outage.guard.Lock()
		r := role(b[headerSize+1])
		c.outage.lines[r] = append(c.outage.lines[r], c)
		c.outage.guard.Unlock()
	}
	return c.Conn.Write(b)
}

// cutLine breaks the newest connection of a line.
func (o *outage) cutLine(r role) {
	o.guard.Lock()
	defer o.guard.Unlock()
	o.lines[r][len(o.lines[r])-1].Close()
}

func (o *outage) dials(r role) int {
	o.guard.Lock()
	defer o.guard.Unlock()
	return len(o.lines[r])
}

// complete checks that everything is stored, each record once.
func (o *outage) complete(t *testing.T) {
	t.Helper()
	for _, s := range []*testSource{o.before, o.source} {
		if missing, twice := o.cover.missing(s.boot, s.last()); len(missing)+len(twice) > 0 {
			t.Errorf("boot %v of %d records: missing %v, twice %v", s.boot, s.last(), missing, twice)
		}
	}
	if _, _, faults := o.cover.seen(); len(faults) > 0 {
		t.Errorf("faults: %q", faults)
	}
}

func TestABacklogComesBesideTheLiveStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutage()
		stop := o.start(t)
		o.client.SetEndpoint("c:1")
		time.Sleep(time.Second)
		o.source.sample(10)
		synctest.Wait()
		o.complete(t)
		if o.supply.left() != 0 {
			t.Errorf("%d stretches are left behind", o.supply.left())
		}
		arrivals, peers, _ := o.cover.seen()
		now, former := o.source.boot, o.before.boot
		want := []Peer{
			{Worker: testWorker, Session: now, Boot: now, First: 101, Next: 101},
			{Worker: testWorker, Session: now, Boot: now, Backfill: true, First: 1, Next: 101},
			{Worker: testWorker, Session: now, Boot: former, Backfill: true, First: 1, Next: 201},
		}
		if diff := cmp.Diff(want, peers, cmpopts.EquateComparable(model.BootID{}, model.WorkerID{}), cmpopts.IgnoreFields(Peer{}, "Addr", "Leaf", "ClockOffset")); diff != "" {
			t.Errorf("peers (-want +got):\n%s", diff)
		}
		for _, a := range arrivals {
			if want := a.boot == former || a.seq < 101; a.backfill != want {
				t.Fatalf("record %d of %v came by backfill: %v", a.seq, a.boot, a.backfill)
			}
		}
		client, server := o.client.Stats(), o.server.Stats()
		if client.Connects != 1 || client.AckedSeq != 110 || client.FirstSeq != 101 || client.State != Connected {
			t.Errorf("live: %+v", client.LinkStats)
		}
		if b := client.Backfill; b.Connects != 2 || b.Ended[EndBye] != 2 || b.AckedSeq != 200 || b.Boot != former || b.State != Idle || b.AckedBytes != b.SentBytes {
			t.Errorf("backfill: %+v", b)
		}
		if server.Streams != 1 || server.Backfills != 0 || server.Ended[EndBye] != 2 || server.Missing != 0 || server.Opened != 3 {
			t.Errorf("server: %+v", server)
		}
		stop()
		if len(o.server.slots) != 0 || o.server.backfills != 0 {
			t.Errorf("%d slots and %d backfills left", len(o.server.slots), o.server.backfills)
		}
	})
}

func TestNeitherLineDisturbsTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutage()
		o.clientConfig.BackfillRate = leastRate
		stop := o.start(t)
		o.client.SetEndpoint("c:1")
		time.Sleep(300 * time.Millisecond) // the backfill has begun
		for range 5 {
			o.cutLine(roleBackfill)
			o.source.sample(1)
			synctest.Wait()
			if !o.cover.has(o.source.boot, 0) || o.source.ackedSeq() != o.source.last() {
				t.Errorf("acknowledged %d of %d after a loss of the backfill", o.source.ackedSeq(), o.source.last())
			}
			time.Sleep(time.Second)
		}
		if stats := o.client.Stats(); stats.Connects != 1 || stats.Backfill.Connects < 3 {
			t.Errorf("live connected %d times, backfill %d times; want once, and again after each loss", stats.Connects, stats.Backfill.Connects)
		}
		o.before.sample(3000)
		o.supply.leave(o.before, 201, 3201)
		time.Sleep(time.Second)
		before := o.client.Stats()
		o.cutLine(roleLive)
		time.Sleep(3 * time.Second)
		after := o.client.Stats()
		if after.Connects != before.Connects+1 || after.Backfill.Connects != before.Backfill.Connects || after.Backfill.AckedSeq <= before.Backfill.AckedSeq {
			t.Errorf("after a loss of the live one: before %+v, after %+v", before, after)
		}
		time.Sleep(time.Hour)
		o.complete(t)
		stop()
	})
}

func TestOneLineKnocksAtAClosedDoor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutage()
		o.cover.refuse = func(p Peer, seq uint64) error {
			if p.Backfill {
				return errors.New("it came without the live one")
			}
			return &Refusal{Cause: CauseUnknown, Text: "not admitted"}
		}
		stop := o.start(t)
		o.client.SetEndpoint("c:1")
		time.Sleep(time.Hour)
		stats := o.client.Stats()
		if stats.Refused[CauseUnknown] == 0 || o.dials(roleBackfill) != 0 || o.supply.asked != 0 || stats.Backfill.State != Idle {
			t.Errorf("%d connections for the backlog, of which was asked %d times; want none: %+v", o.dials(roleBackfill), o.supply.asked, stats.Backfill)
		}
		stop()
	})
}

// TestABackfillThatIsRefusedLeavesTheLiveStreamAlone, and is tried again.
func TestABackfillThatIsRefusedLeavesTheLiveStreamAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutage()
		refused := 0
		o.cover.refuse = func(p Peer, seq uint64) error {
			if p.Backfill && seq == 0 && refused < 10 {
				refused++
				return &Refusal{Cause: CauseFull, Text: "no space", RetryAfter: time.Minute}
			}
			return nil
		}
		stop := o.start(t)
		o.client.SetEndpoint("c:1")
		time.Sleep(9 * time.Minute)
		o.source.sample(5)
		synctest.Wait()
		if stats := o.client.Stats(); stats.Connects != 1 || stats.AckedSeq != 105 || stats.Backfill.State != Waiting ||
			stats.Backfill.LastRefusal.Cause != CauseFull || stats.LastRefusal != (Refusal{}) {
			t.Errorf("stats: %+v", stats)
		}
		time.Sleep(5 * time.Minute)
		o.complete(t)
		stop()
	})
}

func TestInOrderTheLiveStreamWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutage()
		o.supply.inOrder = true
		o.clientConfig.BackfillRate = leastRate
		o.before.size = 400
		o.before.sample(200)
		o.supply.leave(o.before, 201, 401)
		stop := o.start(t)
		o.client.SetEndpoint("c:1")
		time.Sleep(2 * time.Second)
		if stats := o.client.Stats(); stats.State != Yielding || stats.Backfill.State != Connected || o.dials(roleLive) != 0 {
			t.Errorf("live %v, backfill %v, %d dials; want yielding, connected and none", stats.State, stats.Backfill.State, o.dials(roleLive))
		}
		o.source.sample(10)
		o.cutLine(roleBackfill) // nobody else is there, and it comes back all the same
		time.Sleep(20 * time.Second)
		o.complete(t)
		arrivals, _, _ := o.cover.seen()
		for i, a := range arrivals {
			if a.backfill != (i < 500) {
				t.Fatalf("record %d of %v, the %d. to come, by backfill: %v", a.seq, a.boot, i+1, a.backfill)
			}
		}
		if stats := o.client.Stats(); stats.State != Connected || stats.Connects != 1 {
			t.Errorf("live: %+v", stats.LinkStats)
		}
		stop()
	})
}

func TestSupplyInTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutage()
		o.supply.trouble = errors.New("disk on fire")
		stop := o.start(t)
		o.client.SetEndpoint("c:1")
		time.Sleep(time.Hour)
		stats := o.client.Stats()
		if b := stats.Backfill; stats.Connects != 1 || b.Ended[EndFailed] < 100 || b.Ended[EndFailed] > 500 || b.LastError != "records to send: disk on fire" {
			t.Errorf("live %+v, backfill %+v", stats.LinkStats, b)
		}
		stop()
	})
}

// TestAStretchThatHasGone: the worker had to drop it after it was asked for.
func TestAStretchThatHasGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutage()
		o.before.skip(50)
		o.supply.behind = nil
		o.supply.leave(o.before, 201, 251)
		stop := o.start(t)
		o.client.SetEndpoint("c:1")
		time.Sleep(time.Minute)
		if stats := o.client.Stats(); stats.Connects != 1 || stats.Backfill.Connects < 2 || stats.Backfill.Connects > 20 {
			t.Errorf("%d connections for nothing in a minute: %+v", stats.Backfill.Connects, stats.Backfill)
		}
		stop()
	})
}

// TestWhatIsGivenUpIsToldToTheSource, on both lines, before it is acknowledged.
func TestWhatIsGivenUpIsToldToTheSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutage()
		o.cover.refuse = func(p Peer, seq uint64) error {
			if seq == 150 || seq == 103 && !p.Backfill {
				return &Refusal{Cause: CauseFuture, Permanent: true, Text: fmt.Sprint("clock ", seq)}
			}
			return nil
		}
		stop := o.start(t)
		o.client.SetEndpoint("c:1")
		o.source.sample(5)
		time.Sleep(time.Second)
		if got, want := o.before.rejected(), []reject{{CauseFuture, 150, 150, 1, "clock 150"}}; !cmp.Equal(got, want, compareMessages) {
			t.Errorf("backfill: %+v, want %+v", got, want)
		}
		if got, want := o.source.rejected(), []reject{{CauseFuture, 103, 103, 1, "clock 103"}}; !cmp.Equal(got, want, compareMessages) {
			t.Errorf("live: %+v, want %+v", got, want)
		}
		if stats := o.client.Stats(); stats.Rejected[CauseFuture] != 1 || stats.Backfill.Rejected[CauseFuture] != 1 || o.supply.left() != 0 {
			t.Errorf("%+v, %d stretches left", stats, o.supply.left())
		}
		stop()
	})
}

// TestEveryRecordIsStoredOnceWhicheverConnectionBreaks: both lines break at
// random, commits come late, and what one line has brought is in what the other
// one sends again.
func TestEveryRecordIsStoredOnceWhicheverConnectionBreaks(t *testing.T) {
	repeats := 0
	for seed := range uint64(40) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			o := newOutage()
			o.clientConfig.Batch = 4 << 10
			o.cover.commitEvery = 1 + random.IntN(30)
			o.source.size = 2 + random.IntN(400)
			o.supply.leave(o.source, 60, 140) // overlaps what comes live, and the stretch before
			cuts, where := 0, rand.New(rand.NewPCG(seed, 2))
			o.wrap = func(conn net.Conn) net.Conn {
				if cuts++; cuts > 60 {
					return conn // the last ones hold
				}
				return &cutConn{Conn: conn, left: 1 + where.IntN(20000)}
			}
			o.source.sample(40)
			stop := o.start(t)
			o.client.SetEndpoint("c:1")
			for range 20 {
				o.source.sample(random.IntN(20))
				time.Sleep(time.Duration(random.IntN(20)) * time.Second)
			}
			for i := 0; i < 1000 && (!o.cover.has(o.source.boot, o.source.last()) || o.supply.left() > 0); i++ {
				time.Sleep(time.Second)
				o.cover.commit()
			}
			o.complete(t)
			if stats := o.server.Stats(); stats.Missing != 0 || stats.Ended[EndOrder]+stats.Ended[EndRecord]+stats.Ended[EndWindow]+stats.Ended[EndFailed] != 0 {
				t.Errorf("seed %d: server %+v", seed, stats)
			}
			if o.supply.left() != 0 {
				t.Errorf("seed %d: %d stretches left", seed, o.supply.left())
			}
			stop()
			repeats += o.cover.repeats
		})
	}
	if repeats == 0 {
		t.Errorf("no record was ever sent twice: this test proves little")
	}
}
