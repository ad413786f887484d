package stream

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

func TestPacer(t *testing.T) {
	begun := time.Now()
	p := newPacer(1000)
	for i, c := range []struct {
		at   time.Duration
		size int
		next time.Duration // when more may go
	}{
		{0, 500, 500 * time.Millisecond},
		{500 * time.Millisecond, 1, 501 * time.Millisecond},
		{500 * time.Millisecond, 1, 502 * time.Millisecond}, // earlier than it may: it is paid for later
		{time.Hour, 2000, time.Hour + 2*time.Second},        // what was left out is lost
	} {
		p.sent(begun.Add(c.at), c.size)
		if got := p.next.Sub(begun); got != c.next {
			t.Errorf("%d: next after %v, want %v", i, got, c.next)
		}
	}
	if newPacer(0) != nil {
		t.Errorf("0 is a limit")
	}
	for _, c := range []struct {
		rate       model.Bytes
		most, want int
	}{{0, 1 << 17, 1 << 17}, {4 << 20, 1 << 17, 1 << 17}, {4 << 20, 100, 100}, {64 << 10, 1 << 17, 8 << 10}, {1000, 1 << 17, 4 << 10}} {
		if got := newPacer(c.rate).limit(c.most); got != c.want {
			t.Errorf("rate %v: message of at most %d, want %d", c.rate, got, c.want)
		}
	}
}

// TestABacklogKeepsItsRate, over breaks of the connection too, and what is
// measured meanwhile does not wait for it.
func TestABacklogKeepsItsRate(t *testing.T) {
	for _, breaks := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			o := newOutage()
			const rate = 64 << 10
			o.clientConfig.BackfillRate, o.clientConfig.BackoffMax = rate, o.clientConfig.BackoffMin
			o.before.size = 1000
			o.before.sample(1000) // a little more than 1 MiB
			o.supply.leave(o.before, 201, 1201)
			stop := o.start(t)
			o.client.SetEndpoint("c:1")
			began, done := time.Now(), time.Duration(0)
			for tick := range 4000 {
				time.Sleep(10 * time.Millisecond)
				if breaks && tick%100 == 99 && o.supply.left() > 0 {
					o.cutLine(roleBackfill)
				}
				if tick%25 == 0 {
					o.source.sample(1)
				}
				synctest.Wait()
				if o.source.ackedSeq() != o.source.last() {
					t.Fatalf("live: acknowledged %d of %d while the backlog goes", o.source.ackedSeq(), o.source.last())
				}
				sent, most := o.client.Stats().Backfill.SentBytes, rate*time.Since(began).Seconds()+8<<10+1100
				if float64(sent) > most {
					t.Fatalf("%d bytes after %v, want at most %.0f", sent, time.Since(began), most)
				}
				if done == 0 && o.supply.left() == 0 {
					done = time.Since(began)
				}
			}
			o.complete(t)
			if size := float64(1000*1015 + 300*50); done.Seconds() < size/rate*0.95 || !breaks && done.Seconds() > size/rate*1.1 || done == 0 {
				t.Errorf("took %v for %.0f bytes at %d a second, breaks: %v", done, size, rate, breaks)
			}
			stop()
		})
	}
}

// TestSlowDisks: acknowledgements come ten seconds late. The window holds both
// lines back, nothing is sent twice, the delay is seen on both sides, and the
// backfill waits with its goodbye.
func TestSlowDisks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutage()
		o.cover.commitEvery = 0
		o.serverConfig.Window = leastWindow
		o.clientConfig.BackfillRate = 0
		o.before.size = 1000
		o.before.sample(200)
		o.supply.leave(o.before, 201, 401)
		stop := o.start(t)
		o.client.SetEndpoint("c:1")
		var disk sync.WaitGroup
		over := make(chan struct{})
		disk.Go(func() {
			for ticker := time.NewTicker(10 * time.Second); ; {
				select {
				case <-over:
					ticker.Stop()
					return
				case <-ticker.C:
					o.cover.commit()
				}
			}
		})
		time.Sleep(9 * time.Second)
		o.source.sample(2)
		synctest.Wait()
		if stats := o.server.Stats(); stats.OldestUnacked != 9*time.Second || stats.InFlight == 0 || stats.Acks != 0 || stats.Backfills != 1 {
			t.Errorf("server while waiting: %+v", stats)
		}
		if stats := o.client.Stats(); stats.Backfill.State != Connected || stats.Backfill.InFlight == 0 || stats.Backfill.Ended[EndBye] != 0 {
			t.Errorf("backfill while waiting: %+v", stats.Backfill)
		}
		time.Sleep(2 * time.Minute)
		o.complete(t)
		if o.cover.repeats != 0 || o.supply.left() != 0 {
			t.Errorf("%d records came again, %d stretches left", o.cover.repeats, o.supply.left())
		}
		stats, server := o.client.Stats(), o.server.Stats()
		if b := stats.Backfill; b.Connects != 3 || b.Ended[EndBye] != 3 || b.Blocked == 0 || b.AckDelay != 10*time.Second {
			t.Errorf("backfill: %+v", b)
		}
		if stats.AckDelay != time.Second || stats.Connects != 1 {
			t.Errorf("live: acknowledgement after %v, %d connections; want a second and one", stats.AckDelay, stats.Connects)
		}
		if mean := server.AckDelay / time.Duration(server.Acks); mean < 5*time.Second || mean > 10*time.Second || server.OldestUnacked != 0 || server.InFlight != 0 {
			t.Errorf("mean delay %v, server %+v", mean, server)
		}
		close(over)
		disk.Wait()
		stop()
	})
}

// TestALiveStreamHasAWindowOfItsOwn: a backlog that fills its own does not
// hold it up.
func TestALiveStreamHasAWindowOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutage()
		o.serverConfig.Window = leastWindow
		o.clientConfig.BackfillRate = 0
		o.cover.commitEvery = 0
		o.before.size = 1000
		o.before.sample(1000)
		o.supply.behind = nil
		o.supply.leave(o.before, 201, 1201)
		stop := o.start(t)
		o.client.SetEndpoint("c:1")
		time.Sleep(time.Second)
		o.source.sample(20)
		synctest.Wait()
		if stats := o.client.Stats(); stats.SentSeq != 120 || stats.Blocked != 0 || stats.Backfill.Blocked != 1 || stats.Backfill.InFlight < uint64(leastWindow)*9/10 {
			t.Errorf("live sent %d, blocked %d; backfill %+v", stats.SentSeq, stats.Blocked, stats.Backfill)
		}
		stop()
	})
}
