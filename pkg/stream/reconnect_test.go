package stream

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

func TestBackoff(t *testing.T) {
	lost := errors.New("lost")
	for _, c := range []struct {
		what     string
		failures int
		up       time.Duration
		err      error
		random   float64
		want     time.Duration
	}{
		{"first failure, all of the jitter", 0, 0, lost, 0.999999999, 500 * time.Millisecond},
		{"first failure, none of it", 0, 0, lost, 0, 0},
		{"second failure doubles", 1, 0, lost, 0.5, 500 * time.Millisecond},
		{"sixth", 5, 0, lost, 0.5, 8 * time.Second},
		{"bounded", 9, 0, lost, 0.5, 15 * time.Second},
		{"still bounded after a year", 1 << 20, 0, lost, 0.5, 15 * time.Second},
		{"a short connection is a failure", 9, healthyAfter - 1, lost, 0.5, 15 * time.Second},
		{"a healthy connection begins anew", 9, healthyAfter, lost, 0.5, 250 * time.Millisecond},
		{"unless it was replaced", 9, time.Hour, &Refusal{Cause: CauseReplaced}, 0.5, 15 * time.Second},
		{"retry-after comes on top", 0, 0, &Refusal{Cause: CauseBusy, RetryAfter: 10 * time.Second}, 0.5, 10*time.Second + 250*time.Millisecond},
		{"within reason", 0, 0, &Refusal{Cause: CauseBusy, RetryAfter: 1000 * time.Hour}, 0, maxRetryAfter},
		{"permanent", 0, 0, &Refusal{Cause: CauseIdentity, Permanent: true}, 0, 5 * time.Minute},
		{"permanent, jittered", 0, 0, &Refusal{Cause: CauseIdentity, Permanent: true}, 0.5, 5*time.Minute + 75*time.Second},
		{"wrapped", 0, 0, ended(EndRefused, &Refusal{Permanent: true}), 0, 5 * time.Minute},
	} {
		b := backoff{min: 500 * time.Millisecond, max: 30 * time.Second, permanent: 5 * time.Minute, failures: c.failures}
		if got := b.next(c.up, c.err, c.random); got.Round(time.Millisecond) != c.want {
			t.Errorf("%s: wait %v, want %v", c.what, got, c.want)
		}
	}
}

func TestClientDialsAgainLessAndLessOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newField()
		f.down = true
		stop := f.start(t)
		f.client.SetEndpoint("c:1")
		time.Sleep(5 * time.Minute)
		dials := f.dialed()
		// Half of 0.5, 1, 2, ... 30 s, since the tests' random number is 0.5.
		want := []time.Duration{250, 500, 1000, 2000, 4000, 8000, 15000, 15000, 15000}
		for i, ms := range want {
			if got := dials[i+1].Sub(dials[i]); got != ms*time.Millisecond {
				t.Errorf("wait %d: %v, want %v", i, got, ms*time.Millisecond)
			}
		}
		stats := f.client.Stats()
		if stats.State != Waiting || stats.Ended[EndConnect] != uint64(len(dials)) || stats.LastEnd != EndConnect || stats.LastError != "connect: no route" ||
			stats.RetryAt.Before(time.Now()) {
			t.Errorf("stats: %+v", stats)
		}
		f.client.Retry()
		synctest.Wait()
		if got := len(f.dialed()); got != len(dials)+1 {
			t.Errorf("Retry: %d dials, want %d", got, len(dials)+1)
		}
		stop()
	})
}

func TestClientWaitsForAnEndpointAndFollowsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newField()
		stop := f.start(t)
		time.Sleep(time.Hour)
		if got := len(f.dialed()); got != 0 || f.client.Stats().State != Idle {
			t.Errorf("without an endpoint: %d dials, state %v", got, f.client.Stats().State)
		}
		f.client.SetEndpoint("a:1")
		synctest.Wait()
		f.client.SetEndpoint("a:1") // again: nothing happens
		f.client.Retry()
		time.Sleep(time.Minute)
		if got := len(f.dialed()); got != 1 || f.client.Stats().State != Connected {
			t.Errorf("%d dials, state %v; want one and connected", got, f.client.Stats().State)
		}
		f.client.SetEndpoint("b:1")
		synctest.Wait()
		if stats := f.client.Stats(); len(f.dialed()) != 2 || stats.State != Connected || stats.Endpoint != "b:1" || stats.Ended[EndStopped] != 1 {
			t.Errorf("moved: %d dials, %+v; want a second at once", len(f.dialed()), stats)
		}
		f.client.SetEndpoint("")
		synctest.Wait()
		if stats := f.client.Stats(); stats.State != Idle || f.server.Stats().Ended[EndBye] != 2 {
			t.Errorf("endpoint lost: client %+v, server %+v; want idle after a goodbye", stats, f.server.Stats())
		}
		f.mu.Lock()
		f.down = true
		f.mu.Unlock()
		f.client.SetEndpoint("c:1")
		time.Sleep(20 * time.Second)
		before := len(f.dialed())
		f.client.SetEndpoint("d:1") // a new address ends the wait for the old one
		synctest.Wait()
		if got := len(f.dialed()); got != before+1 {
			t.Errorf("new endpoint during a wait: %d dials, want %d", got, before+1)
		}
		stop()
	})
}

func TestPermanentRefusalIsShownAndWaitedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newField()
		f.sink.refuseOpen = &Refusal{Cause: CauseUnknown, Text: "worker is not admitted", Permanent: true}
		stop := f.start(t)
		f.client.SetEndpoint("c:1")
		time.Sleep(4 * time.Minute)
		stats := f.client.Stats()
		want := Refusal{Cause: CauseUnknown, Text: "worker is not admitted", Permanent: true}
		if stats.LastRefusal != want || stats.Refused[CauseUnknown] != 1 || stats.State != Waiting || len(f.dialed()) != 1 {
			t.Errorf("after %d dials: %+v; want one and %+v", len(f.dialed()), stats, want)
		}
		if server := f.server.Stats(); server.Refused[CauseUnknown] != 1 || server.Ended[EndRefused] != 1 || server.Opened != 0 {
			t.Errorf("server: %+v", server)
		}
		f.sink.mu.Lock()
		f.sink.refuseOpen = nil
		f.sink.mu.Unlock()
		time.Sleep(4 * time.Minute)
		if stats := f.client.Stats(); stats.State != Connected {
			t.Errorf("after %v: %+v; want connected", 8*time.Minute, stats)
		}
		stop()
	})
}

func TestSinkFaultIsTemporaryAndKeptInside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newField()
		f.sink.refuseOpen = errors.New("open /secret/path: disk on fire")
		stop := f.start(t)
		f.client.SetEndpoint("c:1")
		time.Sleep(500 * time.Millisecond)
		want := Refusal{Cause: CauseInternal, Text: "the collector cannot store", RetryAfter: time.Second}
		if got := f.client.Stats().LastRefusal; got != want {
			t.Errorf("worker was told %+v, want %+v", got, want)
		}
		if got := f.server.Stats().Ended[EndFailed]; got != 1 {
			t.Errorf("%d faults counted, want 1", got)
		}
		stop()
	})
}

// TestRefusedRecordIsNotAcknowledgedBeforeThatIsDurable: a collector that ended in between
// would have neither the record nor a note of it.
func TestRefusedRecordIsNotAcknowledgedBeforeThatIsDurable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newField()
		f.source.sample(20)
		f.sink.commitEvery = 0
		f.sink.refuse = func(uint64) error {
			return &Refusal{Cause: CauseFuture, Text: "frame of next week", Permanent: true}
		}
		stop := f.start(t)
		f.client.SetEndpoint("c:1")
		synctest.Wait()
		if got := f.client.Stats(); got.Rejected[CauseFuture] != 22 || f.source.ackedSeq() != 0 {
			t.Errorf("%d are rejected, %d acknowledged; want 22 and 0", got.Rejected[CauseFuture], f.source.ackedSeq())
		}
		f.sink.commit()
		synctest.Wait()
		if got := f.source.ackedSeq(); got != 22 {
			t.Errorf("%d are acknowledged, want 22", got)
		}
		stop()
	})
}

func TestRefusedRecordIsGivenUpAndTheStreamGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newField()
		f.source.sample(20)
		bad := func(seq uint64) bool { return seq >= 15 }
		f.sink.refuse = func(seq uint64) error {
			if bad(seq) {
				return &Refusal{Cause: CauseFuture, Text: "frame of next week", Permanent: true}
			}
			return nil
		}
		stop := f.start(t)
		f.client.SetEndpoint("c:1")
		synctest.Wait()
		if stored, _ := f.sink.snapshot(); len(stored) != 14 || f.source.ackedSeq() != 22 {
			t.Errorf("stored %v, acknowledged %d; want 1 to 14 and 22", stored, f.source.ackedSeq())
		}
		client, server := f.client.Stats(), f.server.Stats()
		if client.Rejected[CauseFuture] != 8 || client.LastReject.Text != "frame of next week" || server.Rejected[CauseFuture] != 8 || client.State != Connected {
			t.Errorf("client %+v, server %+v; want 8 rejected", client, server)
		}
		stop()
	})
}

func TestTemporaryRefusalOfARecordEndsTheConnectionAndItComesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newField()
		f.source.sample(20)
		full := true
		f.sink.refuse = func(seq uint64) error {
			if full && seq == 15 {
				return &Refusal{Cause: CauseFull, Text: "disk full", RetryAfter: 30 * time.Second}
			}
			return nil
		}
		stop := f.start(t)
		f.client.SetEndpoint("c:1")
		time.Sleep(40 * time.Second)
		stats := f.client.Stats()
		if stored, _ := f.sink.snapshot(); len(stored) != 14 || stats.LastRefusal.Cause != CauseFull || len(f.dialed()) != 2 {
			t.Errorf("stored %v, refusal %+v, %d dials; want 1 to 14, full, two", stored, stats.LastRefusal, len(f.dialed()))
		}
		f.sink.mu.Lock()
		full = false
		f.sink.mu.Unlock()
		time.Sleep(time.Minute)
		if stored, _ := f.sink.snapshot(); len(stored) != 22 {
			t.Errorf("stored %v, want 1 to 22", stored)
		}
		stop()
	})
}

func TestSilentPeersAreGivenUp(t *testing.T) {
	t.Run("collector", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newField()
			f.serve = func(ctx context.Context, conn net.Conn) { // welcomes, then takes everything and says nothing
				defer conn.Close()
				w := newWire(conn, newBuffers(), time.Hour)
				if _, err := w.readMessage(); err != nil {
					t.Errorf("hello: %v", err)
				}
				w.write(appendMessage(nil, welcome{window: 1 << 20, wanted: make([]bool, 1)}))
				for {
					if _, _, err := w.read(); err != nil {
						return
					}
				}
			}
			stop := f.start(t)
			f.client.SetEndpoint("c:1")
			time.Sleep(f.clientConfig.IdleTimeout - time.Second)
			if got := f.client.Stats().State; got != Connected {
				t.Errorf("state %v before the timeout", got)
			}
			time.Sleep(2 * time.Second)
			if got := f.client.Stats(); got.Ended[EndSilent] != 1 {
				t.Errorf("after the timeout: %+v", got)
			}
			stop()
		})
	})
	t.Run("worker", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			near, done := serveRaw(t, newTestSink(), DefaultServerConfig())
			say(t, near, goodHello())
			if m := hearMessage(t, near); m.kind() != kindWelcome {
				t.Errorf("got %v, want a welcome", m)
			}
			began := time.Now()
			var last message
			for pings := 0; ; pings++ {
				near.SetReadDeadline(time.Now().Add(time.Hour))
				w := newWire(near, newBuffers(), time.Hour)
				m, err := w.readMessage()
				if err != nil {
					break
				}
				last = m
			}
			if took := time.Since(began); took < 45*time.Second || took > 47*time.Second || last.kind() != kindPing {
				t.Errorf("gave up after %v, last words %v; want 45 s after pings", took, last)
			}
			if stats := <-done; stats.Ended[EndSilent] != 1 {
				t.Errorf("server: %+v", stats)
			}
		})
	})
}

func TestPingsKeepAQuietStreamAliveAndMeasureTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newField()
		f.clientClock = -90 * time.Minute
		f.sink.commitEvery = 1
		stop := f.start(t)
		f.client.SetEndpoint("c:1")
		time.Sleep(24 * time.Hour)
		client := f.client.Stats()
		if len(f.dialed()) != 1 || client.State != Connected {
			t.Errorf("%d dials, state %v; want one connection all day", len(f.dialed()), client.State)
		}
		if !client.ClockKnown || client.ClockOffset != f.clientClock || client.RoundTrip != 0 {
			t.Errorf("client measured %v in %v, want %v", client.ClockOffset, client.RoundTrip, f.clientClock)
		}
		all := f.server.Connections()
		if len(all) != 1 || !all[0].ClockKnown || all[0].ClockOffset != f.clientClock || all[0].Worker != testWorker {
			t.Errorf("server measured %+v, want %v", all, f.clientClock)
		}
		if got := f.sink.peers[0].ClockOffset; got != f.clientClock {
			t.Errorf("the hello said %v, want %v", got, f.clientClock)
		}
		stop()
	})
}
