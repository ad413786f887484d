package stream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

func revokedRefusal() *Refusal {
	return &Refusal{Cause: CauseRevoked, Permanent: true, Text: "the worker is revoked: stolen"}
}

// TestARevokedWorkerWithAnOpenStream: its stream ends within two seconds, it
// hears why, nobody else is touched, and it does not get in again.
func TestARevokedWorkerWithAnOpenStream(t *testing.T) {
	v := newTown(t, nil, nil)
	var out atomic.Bool
	v.own.Refuse(func(_ *x509.Certificate, peer trust.Identity) error {
		if worker, _ := peer.WorkerID(); out.Load() && worker == testWorker {
			return fmt.Errorf("%w: worker", trust.ErrRevoked)
		}
		return nil
	})
	source, client := v.honest()
	other := credentials(t, v.ca, trust.Request{Role: trust.RoleWorker, Name: model.WorkerIDFrom([16]byte{8}).String()}, time.Now)
	otherSource := newTestSource(2)
	v.runClient(singleOf(otherSource), func() *tls.Config { return other.Client(trust.RoleCollector, ALPN) })
	source.sample(10)
	otherSource.sample(10)
	eventually(t, "both streams", func() bool { return source.ackedSeq() == 12 && otherSource.ackedSeq() == 12 })

	began := time.Now()
	out.Store(true)
	if got := v.server.Cut(func(p Peer) bool { return p.Worker == testWorker && p.Leaf.URIs[0].Host == "lab" }, revokedRefusal()); got != 1 {
		t.Errorf("%d connections cut, want 1", got)
	}
	eventually(t, "the end of the stream", func() bool { return v.server.Stats().Streams == 1 })
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("the stream went on for %v", took)
	}
	eventually(t, "the worker has heard why", func() bool { return client.Stats().LastRefusal == *revokedRefusal() })
	client.Retry()
	eventually(t, "its next handshake refused", func() bool { return v.port.Stats().Failed[FailRevoked] > 0 })
	otherSource.sample(10)
	eventually(t, "the other worker's records", func() bool { return otherSource.ackedSeq() == 22 })
	if stats := v.server.Stats(); stats.Cut != 1 || stats.Opened != 2 || stats.Refused[CauseRevoked] != 1 {
		t.Errorf("stats %+v, want one cut, no third stream", stats)
	}
}

// TestCutReachesWhoHasNotSaidHello: the certificate was good a moment ago.
func TestCutReachesWhoHasNotSaidHello(t *testing.T) {
	v := newTown(t, nil, nil)
	conn, err := tls.Dial("tcp", v.addr, v.worker().Client(trust.RoleCollector, ALPN))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	eventually(t, "the connection", func() bool { return v.server.Stats().Connections == 1 })
	cut := func() int {
		return v.server.Cut(func(p Peer) bool { return p.Session.IsZero() }, revokedRefusal())
	}
	if first, again := cut(), cut(); first != 1 || again != 0 {
		t.Errorf("cut %d, then %d; want 1 and, as it ends already, 0", first, again)
	}
	m, err := newWire(conn, newBuffers(), 10*time.Second).readMessage()
	if refused, ok := m.(refuse); !ok || refused.Refusal != *revokedRefusal() {
		t.Errorf("got %+v, %v; want the refusal", m, err)
	}
	eventually(t, "the end", func() bool { return v.server.Stats().Connections == 0 })
}

// TestAProcessThatIsNotAdmittedDisturbsNobody: a second machine has a copy of
// the worker's key, and another boot.
func TestAProcessThatIsNotAdmittedDisturbsNobody(t *testing.T) {
	v := newTown(t, nil, nil)
	admitted := newTestSource(1)
	v.server.deps.Admit = func(_ context.Context, p Peer) error {
		if p.Worker != testWorker || p.Session != admitted.Boot() {
			return &Refusal{Cause: CauseUnknown, Text: "another process of this worker is admitted", RetryAfter: time.Millisecond}
		}
		return nil
	}
	who := v.worker()
	config := func() *tls.Config { return who.Client(trust.RoleCollector, ALPN) }
	honest := v.runClient(singleOf(admitted), config)
	eventually(t, "the stream", func() bool { return admitted.ackedSeq() == 2 })
	clone := newTestSource(2)
	copied := v.runClient(singleOf(clone), config)
	eventually(t, "the copy refused ten times", func() bool { return copied.Stats().Refused[CauseUnknown] >= 10 })
	admitted.sample(10)
	eventually(t, "the records of the first", func() bool { return admitted.ackedSeq() == 12 })
	if stats := honest.Stats(); stats.Connects != 1 || clone.ackedSeq() != 0 {
		t.Errorf("the first connected %d times, the copy had %d records stored; want 1 and 0", stats.Connects, clone.ackedSeq())
	}
	if stats := v.server.Stats(); stats.Opened != 1 || stats.Ended[EndReplaced] != 0 {
		t.Errorf("stats %+v, want one stream and none replaced", stats)
	}

	// Now the other one is admitted: the first one's stream ends.
	next := clone.Boot()
	v.server.Cut(func(p Peer) bool { return p.Session != next && !p.Session.IsZero() },
		&Refusal{Cause: CauseUnknown, Text: "another process of this worker is admitted", RetryAfter: time.Hour})
	eventually(t, "the end of the first", func() bool { return honest.Stats().Refused[CauseUnknown] == 1 })
}

func TestWhatAdmitMayAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want refuse
	}{
		"a refusal":     {fmt.Errorf("x: %w", &Refusal{Cause: CauseFull, Text: "full"}), refuse{Refusal{Cause: CauseFull, Text: "full"}}},
		"another error": {errors.New("disk on fire"), refuse{Refusal{Cause: CauseInternal, Text: "the collector cannot store", RetryAfter: time.Second}}},
	} {
		s, err := NewServer(DefaultServerConfig(), ServerDeps{Sink: newTestSink(), Now: time.Now,
			Admit: func(context.Context, Peer) error { return c.err }})
		if err != nil {
			t.Fatal(err)
		}
		conn, done := serveOn(s)
		say(t, conn, goodHello())
		if m := hearMessage(t, conn); m != c.want {
			t.Errorf("%s: got %+v, want %+v", name, m, c.want)
		}
		conn.Close()
		<-done
		if len(s.links) != 0 || len(s.slots) != 0 {
			t.Errorf("%s: %d connections and %d slots left", name, len(s.links), len(s.slots))
		}
	}
}
