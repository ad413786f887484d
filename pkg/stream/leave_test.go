package stream

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// slowSource takes a while to give records out.
type slowSource struct {
	*testSource
	delay time.Duration
}

func (s slowSource) Next(ctx context.Context, after uint64, dst []byte, most int) ([]byte, uint64, error) {
	out, last, err := s.testSource.Next(ctx, after, dst, most)
	if err == nil {
		time.Sleep(s.delay)
	}
	return out, last, err
}

// TestRecordsOnTheirWayGoBeforeTheGoodbye: records that were taken from the
// source when the client stopped used to be sent behind the goodbye, where
// nobody reads them: a stopping worker lost its last round.
func TestRecordsOnTheirWayGoBeforeTheGoodbye(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newField()
		f.slow = 10 * time.Millisecond
		stop := f.start(t)
		f.client.SetEndpoint("c:1")
		time.Sleep(time.Second)
		f.source.sample(1)
		synctest.Wait() // the sender has it, and is slow
		stop()
		if stored, _ := f.sink.snapshot(); len(stored) != 3 {
			t.Errorf("stored %v, want the last round, 3, too", stored)
		}
		if stats := f.client.Stats(); stats.AckedSeq != 3 || stats.InFlight != 0 {
			t.Errorf("acknowledged %d, in flight %d; want 3, 0", stats.AckedSeq, stats.InFlight)
		}
	})
}

// TestRetryWhileConnectingIsNotLost: credentials that are loaded while an
// attempt with the old ones is under way, which then is refused for good, used
// to be tried minutes later.
func TestRetryWhileConnectingIsNotLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newField()
		var attempts atomic.Int32
		f.serve = func(ctx context.Context, conn net.Conn) {
			defer conn.Close()
			if attempts.Add(1) > 1 {
				f.server.Serve(ctx, conn, workerIdentity())
				return
			}
			time.Sleep(time.Second)
			w := newWire(conn, newBuffers(), time.Minute)
			if _, err := w.readMessage(); err != nil {
				t.Errorf("hello: %v", err)
			}
			w.refuse(&Refusal{Cause: CauseIdentity, Permanent: true, Text: "expired"})
		}
		stop := f.start(t)
		f.client.SetEndpoint("c:1")
		synctest.Wait()
		f.client.Retry() // while the first hello is under way
		time.Sleep(5 * time.Second)
		if stats := f.client.Stats(); stats.State != Connected {
			t.Errorf("state %v, next try %v from now; want a connection", stats.State, time.Until(stats.RetryAt))
		}
		// It was good for one wait only.
		dials := len(f.dialed())
		f.cut()
		synctest.Wait()
		if got := len(f.dialed()); got != dials {
			t.Errorf("%d dials at once after the loss, want a wait", got-dials)
		}
		stop()
	})
}
