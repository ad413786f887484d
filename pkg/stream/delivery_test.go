package stream

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
)

func numbers(from, to uint64) (all []uint64) {
	for n := from; n <= to; n++ {
		all = append(all, n)
	}
	return all
}

func TestRecordsArriveOnceInOrderAndAreAcknowledged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newField()
		f.source.sample(100)
		stop := f.start(t)
		f.client.SetEndpoint("collector:9090")
		synctest.Wait()
		f.source.sample(20) // live ones, after the backlog
		synctest.Wait()
		stored, _ := f.sink.snapshot()
		if diff := cmp.Diff(numbers(1, 122), stored); diff != "" {
			t.Errorf("stored (-want +got):\n%s", diff)
		}
		if got := f.source.ackedSeq(); got != 122 {
			t.Errorf("acknowledged %d, want 122", got)
		}
		client, server := f.client.Stats(), f.server.Stats()
		if client.State != Connected || client.SentSeq != 122 || client.AckedSeq != 122 || client.InFlight != 0 || client.Connects != 1 ||
			client.SentBytes != client.AckedBytes {
			t.Errorf("client: %+v", client)
		}
		if server.Connections != 1 || server.Streams != 1 || server.Records != 122 || server.Bytes != client.SentBytes || server.Missing != 0 {
			t.Errorf("server: %+v", server)
		}
		stop()
		client, server = f.client.Stats(), f.server.Stats()
		if client.State != Idle || client.Ended[EndStopped] != 1 || server.Ended[EndBye] != 1 || server.Streams != 0 || server.Connections != 0 {
			t.Errorf("after stop: client %+v, server %+v", client, server)
		}
	})
}

// cutConn breaks after a number of bytes have gone either way, in the midst of
// a message as likely as not.
type cutConn struct {
	net.Conn
	mu   sync.Mutex
	left int
}

var errCut = errors.New("the cable was cut")

func (c *cutConn) spend(n int) (granted int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	granted = min(n, c.left)
	c.left -= granted
	if c.left == 0 {
		c.Conn.Close()
	}
	return granted
}

func (c *cutConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if granted := c.spend(n); granted < n {
		return granted, errCut
	}
	return n, err
}

func (c *cutConn) Write(b []byte) (int, error) {
	c.mu.Lock()
	granted := min(len(b), c.left)
	c.mu.Unlock()
	n, err := c.Conn.Write(b[:granted])
	c.spend(n)
	if err == nil && granted < len(b) {
		c.Conn.Close()
		err = errCut
	}
	return n, err
}

func TestEveryRecordArrivesOnceWhereverTheConnectionBreaks(t *testing.T) {
	for seed := range uint64(60) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			f := newField()
			f.clientConfig.Batch = 4 << 10
			f.sink.commitEvery = 1 + random.IntN(9) // what was not committed is lost at each cut
			f.source.size = 2 + random.IntN(400)
			cuts, where := 0, rand.New(rand.NewPCG(seed, 2))
			f.wrap = func(conn net.Conn) net.Conn {
				if cuts++; cuts > 40 {
					return conn // the last one holds
				}
				return &cutConn{Conn: conn, left: 1 + where.IntN(20000)}
			}
			stop := f.start(t)
			f.client.SetEndpoint("collector:9090")
			for range 30 {
				f.source.sample(random.IntN(20))
				time.Sleep(time.Duration(random.IntN(20)) * time.Second)
			}
			for i := 0; i < 1000 && uint64(f.sink.count()) < f.source.last(); i++ {
				time.Sleep(time.Second)
				f.sink.commit()
			}
			stored, _ := f.sink.snapshot()
			if diff := cmp.Diff(numbers(1, f.source.last()), stored); diff != "" {
				t.Errorf("seed %d: stored (-want +got):\n%s", seed, diff)
			}
			if stats := f.server.Stats(); stats.Missing != 0 || stats.Ended[EndOrder]+stats.Ended[EndRecord]+stats.Ended[EndWindow] != 0 {
				t.Errorf("seed %d: server %+v", seed, stats)
			}
			if acked := f.source.ackedSeq(); acked > stored[len(stored)-1] {
				t.Errorf("seed %d: acknowledged %d, stored up to %d", seed, acked, stored[len(stored)-1])
			}
			stop()
		})
	}
}

func TestNothingIsAcknowledgedBeforeItIsDurable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newField()
		f.sink.commitEvery = 0
		f.source.sample(8)
		stop := f.start(t)
		f.client.SetEndpoint("c:1")
		time.Sleep(time.Minute)
		if got := f.source.ackedSeq(); got != 0 {
			t.Errorf("acknowledged %d before a commit", got)
		}
		f.sink.commit()
		synctest.Wait()
		if got := f.source.ackedSeq(); got != 10 {
			t.Errorf("acknowledged %d after the commit, want 10", got)
		}
		stop()
	})
}

func TestWindowHoldsTheWorkerBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newField()
		f.sink.commitEvery = 0
		f.serverConfig.Window = leastWindow
		f.source.size = 1000
		f.source.sample(400)
		stop := f.start(t)
		f.client.SetEndpoint("c:1")
		time.Sleep(time.Minute)
		for round := 1; f.sink.count() < 402; round++ {
			if round > 20 {
				t.Fatalf("stored %d of 402 after %d commits", f.sink.count(), round)
			}
			stats := f.client.Stats()
			// All but the last message fit; the last is no larger than the room that was left, or one record.
			if stats.InFlight < uint64(leastWindow)*9/10 && stats.SentSeq < 402 || stats.InFlight > uint64(leastWindow)+1100 {
				t.Errorf("round %d: %d bytes in flight of a window of %d", round, stats.InFlight, stats.Window)
			}
			f.sink.commit()
			synctest.Wait()
		}
		if stats := f.client.Stats(); stats.Blocked == 0 {
			t.Errorf("client was never held back: %+v", stats)
		}
		stop()
	})
}

func TestWindowsShrinkWithTheNumberOfWorkers(t *testing.T) {
	config := DefaultServerConfig()
	config.Window, config.WindowTotal = 1<<20, 4<<20
	s, err := NewServer(config, ServerDeps{Sink: newTestSink(), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	for links, want := range map[int]uint32{0: 1 << 20, 1: 1 << 20, 4: 1 << 20, 8: 1 << 19, 1000: 64 << 10} {
		s.links = linksOf(links)
		if got := s.grant(); got != want {
			t.Errorf("%d connections: window %d, want %d", links, got, want)
		}
	}
	d := &downlink{server: s, granted: 1 << 20, most: 1 << 20}
	s.links = linksOf(5)
	if out := d.due(nil, 0, false); len(out) != 0 {
		t.Errorf("a fifth less was told: % x", out)
	}
	s.links = linksOf(8)
	m, _, err := parseMessage(d.due(nil, 0, false))
	if err != nil || m != (window{1 << 19}) || d.most != 1<<20 {
		t.Errorf("half of it: got %v, %v; want a window of %d", m, err, 1<<19)
	}
}

func linksOf(n int) map[*downlink]struct{} {
	links := map[*downlink]struct{}{}
	for range n {
		links[&downlink{}] = struct{}{}
	}
	return links
}

func TestContextAfterTheCollectorForgot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newField()
		f.source.sample(testKeyEvery + 3) // three frames after the second key frame is not a place to start
		stop := f.start(t)
		f.client.SetEndpoint("c:1")
		synctest.Wait()
		f.cut()
		time.Sleep(time.Second)
		f.source.sample(5)
		synctest.Wait()
		// The part is known; the schema, the key frame and the two after it are context.
		if f.sink.context != 4 || f.sink.sessions != 2 {
			t.Errorf("%d records of context in %d sessions, want 4 in 2", f.sink.context, f.sink.sessions)
		}
		if got := f.client.Stats().ContextBytes; got == 0 {
			t.Errorf("no bytes of context counted")
		}
		stored, _ := f.sink.snapshot()
		if diff := cmp.Diff(numbers(1, f.source.last()), stored); diff != "" {
			t.Errorf("stored (-want +got):\n%s", diff)
		}

		// A collector that lost everything gets everything that is left.
		f.sink.mu.Lock()
		f.sink.stored, f.sink.parts = nil, map[frame.PartID]bool{}
		f.sink.mu.Unlock()
		f.cut()
		time.Sleep(time.Second)
		stored, _ = f.sink.snapshot()
		if diff := cmp.Diff(numbers(1, f.source.last()), stored); diff != "" {
			t.Errorf("stored by an empty collector (-want +got):\n%s", diff)
		}
		stop()
	})
}

func TestSkippedNumbersCountAsMissingOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newField()
		f.sink.commitEvery = 0
		f.source.sample(3)
		f.source.skip(100)
		f.source.sample(3)
		f.source.skip(10)
		f.source.sample(1)
		stop := f.start(t)
		f.client.SetEndpoint("c:1")
		time.Sleep(time.Second)
		f.cut() // nothing was durable: all of it comes again
		time.Sleep(time.Second)
		if got := f.server.Stats().Missing; got != 0 {
			t.Errorf("missing %d before anything was durable, want 0", got)
		}
		f.sink.commit()
		synctest.Wait()
		if got := f.server.Stats().Missing; got != 110 {
			t.Errorf("missing %d, want 110", got)
		}
		want := slices.Concat(numbers(1, 5), numbers(106, 108), numbers(119, 119))
		if stored, _ := f.sink.snapshot(); !slices.Equal(stored, want) {
			t.Errorf("stored %v, want %v", stored, want)
		}
		stop()
	})
}

func TestStopWaitsForTheLastAcknowledgements(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newField()
		f.sink.commitEvery = 0
		f.source.sample(10)
		stop := f.start(t)
		f.client.SetEndpoint("c:1")
		synctest.Wait()
		time.AfterFunc(time.Second, f.sink.commit)
		began := time.Now()
		stop()
		if got := f.source.ackedSeq(); got != 12 || time.Since(began) > 1100*time.Millisecond {
			t.Errorf("acknowledged %d after %v, want 12 after a second", got, time.Since(began))
		}
	})
}

func TestStopDoesNotWaitForACollectorThatReadsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newField()
		f.serve = func(ctx context.Context, conn net.Conn) {
			defer conn.Close()
			w := newWire(conn, newBuffers(), time.Hour)
			w.readMessage()
			w.write(appendMessage(nil, welcome{window: 1 << 20, wanted: make([]bool, 1)}))
			<-ctx.Done()
		}
		stop := f.start(t)
		f.client.SetEndpoint("c:1")
		time.Sleep(f.clientConfig.PingInterval + time.Second) // the pinger is stuck, too
		began := time.Now()
		stop()
		if took := time.Since(began); took > f.clientConfig.StopTimeout+time.Second {
			t.Errorf("took %v, want about %v", took, f.clientConfig.StopTimeout)
		}
	})
}

func TestStopDoesNotWaitForever(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newField()
		f.sink.commitEvery = 0
		f.source.sample(10)
		stop := f.start(t)
		f.client.SetEndpoint("c:1")
		synctest.Wait()
		began := time.Now()
		stop()
		if took := time.Since(began); took > 2*f.clientConfig.StopTimeout {
			t.Errorf("took %v, want about %v", took, f.clientConfig.StopTimeout)
		}
	})
}
