package stream

import (
	"context"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

func backfillHello() hello {
	h := goodHello()
	h.role, h.boot = roleBackfill, model.BootIDFrom([16]byte{9})
	return h
}

// greeted says a hello and returns what it was answered.
func greeted(t *testing.T, s *Server, h hello) (conn net.Conn, end <-chan struct{}, answer message) {
	t.Helper()
	conn, end = serveOn(s)
	say(t, conn, h)
	return conn, end, hearMessage(t, conn)
}

func TestEachRoleHasItsPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := NewServer(DefaultServerConfig(), ServerDeps{Sink: newCoverSink(), Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		live, liveEnd, _ := greeted(t, s, goodHello())
		back, backEnd, _ := greeted(t, s, backfillHello())
		synctest.Wait()
		if stats := s.Stats(); stats.Streams != 2 || stats.Backfills != 1 || stats.Ended[EndReplaced] != 0 {
			t.Errorf("one of each: %+v", stats)
		}
		again, againEnd, answer := greeted(t, s, backfillHello())
		<-backEnd
		synctest.Wait()
		if stats := s.Stats(); answer.kind() != kindWelcome || stats.Streams != 2 || stats.Backfills != 1 || stats.Ended[EndReplaced] != 1 {
			t.Errorf("a second backfill was answered %+v: %+v", answer, stats)
		}
		say(t, live, records{record(1)})
		if m := hearMessage(t, live); m != (ack{1}) {
			t.Errorf("live: %+v, want an acknowledgement", m)
		}
		cut := s.Cut(func(p Peer) bool {
			return p.Backfill && p.Session == goodHello().session && p.Boot == backfillHello().boot
		}, &Refusal{Cause: CauseRevoked})
		if m, ok := hearMessage(t, again).(refuse); cut != 1 || !ok || m.Cause != CauseRevoked {
			t.Errorf("%d cut, told %+v", cut, m)
		}
		cut = s.Cut(func(p Peer) bool { return p.Session == goodHello().session }, &Refusal{Cause: CauseRevoked})
		if m, ok := hearMessage(t, live).(refuse); cut != 1 || !ok || m.Cause != CauseRevoked {
			t.Errorf("live: %d cut, told %+v", cut, m)
		}
		for _, conn := range []net.Conn{live, back, again} {
			conn.Close()
		}
		<-liveEnd
		<-againEnd
	})
}

// TestBacklogsKeepNobodyOut: a quarter of the connections are for them.
func TestBacklogsKeepNobodyOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		config := DefaultServerConfig()
		config.MaxConnections = 8
		s, err := NewServer(config, ServerDeps{Sink: sinkFunc(func(ctx context.Context, p Peer) (Session, error) { return newCoverSink().Open(ctx, p) }), Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		var conns []net.Conn
		var ends []<-chan struct{}
		come := func(worker byte, h hello) message {
			t.Helper()
			near, far := net.Pipe()
			done := make(chan struct{})
			go func() {
				defer close(done)
				s.Serve(t.Context(), far, trust.Identity{Fleet: "lab", Role: trust.RoleWorker, Name: model.WorkerIDFrom([16]byte{worker}).String()})
			}()
			say(t, near, h)
			conns, ends = append(conns, near), append(ends, done)
			return hearMessage(t, near)
		}
		for worker := range byte(2) {
			if m := come(worker+1, backfillHello()); m.kind() != kindWelcome {
				t.Errorf("backfill of worker %d: %+v", worker, m)
			}
		}
		if m, ok := come(3, backfillHello()).(refuse); !ok || m.Cause != CauseBusy || m.Permanent || m.RetryAfter == 0 {
			t.Errorf("a third backfill: %+v, want busy", m)
		}
		conns[2].Close()
		<-ends[2]
		if m := come(2, backfillHello()); m.kind() != kindWelcome {
			t.Errorf("a backfill again: %+v", m)
		}
		<-ends[1]
		for worker := range byte(6) {
			if m := come(worker+1, goodHello()); m.kind() != kindWelcome {
				t.Errorf("worker %d: %+v", worker, m)
			}
		}
		conns[0].Close() // makes room for another one's backlog
		<-ends[0]
		if m := come(3, backfillHello()); m.kind() != kindWelcome {
			t.Errorf("backfill of worker 3: %+v", m)
		}
		for i, conn := range conns {
			conn.Close()
			<-ends[i]
		}
		if len(s.slots) != 0 || s.backfills != 0 {
			t.Errorf("%d slots, %d backfills left", len(s.slots), s.backfills)
		}
	})
}

type sinkFunc func(ctx context.Context, p Peer) (Session, error)

func (f sinkFunc) Open(ctx context.Context, p Peer) (Session, error) { return f(ctx, p) }

func TestAWelcomeIsWithinTheStretch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cover := newCoverSink()
		h := backfillHello()
		h.first, h.next = 11, 21
		cover.stored[h.boot] = map[uint64]int{}
		for seq := uint64(1); seq <= 30; seq++ {
			cover.stored[h.boot][seq] = 1
		}
		s, err := NewServer(DefaultServerConfig(), ServerDeps{Sink: cover, Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		conn, end, answer := greeted(t, s, h)
		if m, ok := answer.(welcome); !ok || m.resume != 20 {
			t.Errorf("all is stored: %+v, want to resume after 20", answer)
		}
		conn.Close()
		<-end
		delete(cover.stored[h.boot], 11)
		conn, end, answer = greeted(t, s, h)
		if m, ok := answer.(welcome); !ok || m.resume != 10 {
			t.Errorf("the first is missing: %+v, want to resume after 10", answer)
		}
		conn.Close()
		<-end
		s.deps.Sink = sinkFunc(func(context.Context, Peer) (Session, error) { return &benchSink{}, nil })
		conn, end, answer = greeted(t, s, h)
		if m, ok := answer.(refuse); !ok || m.Cause != CauseInternal {
			t.Errorf("a session that resumes before the stretch: %+v, want an internal fault", answer)
		}
		conn.Close()
		<-end
	})
}

func TestAWorkerOfTheVersionBeforeIsToldSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, done := serveRaw(t, newTestSink(), DefaultServerConfig())
		go near.Write(unhex(t, "01 2b0000 01 000102030405060708090a0b0c0d0e0f 0700000000000000 0903000000000000 0000000000000000 0000"))
		m, ok := hearMessage(t, near).(refuse)
		if !ok || m.Cause != CauseVersion || !m.Permanent || !strings.Contains(m.Text, "the worker speaks version 1, the collector version 2") {
			t.Errorf("got %+v", m)
		}
		near.Close()
		<-done
	})
}

// TestCollectorsThatDoNotKeepToTheStretch are left.
func TestCollectorsThatDoNotKeepToTheStretch(t *testing.T) {
	for _, resume := range []uint64{99, 111} {
		synctest.Test(t, func(t *testing.T) {
			o := newOutage()
			o.source.sample(10)
			o.supply.from = 101
			o.serve = func(_ context.Context, conn net.Conn) {
				defer conn.Close()
				w := newWire(conn, newBuffers(), time.Minute)
				w.readMessage()
				w.write(appendMessage(nil, welcome{resume: resume, wanted: make([]bool, 1)}))
				io.Copy(io.Discard, conn)
			}
			stop := o.start(t)
			o.client.SetEndpoint("c:1")
			time.Sleep(200 * time.Millisecond)
			if stats := o.client.Stats(); stats.Ended[EndProtocol] != 1 || o.source.ackedSeq() != 0 {
				t.Errorf("resume %d: ended %v (%s), acknowledged %d", resume, stats.Ended, stats.LastError, o.source.ackedSeq())
			}
			stop()
		})
	}
}

func TestASingleSourceHasNoBacklog(t *testing.T) {
	source := newTestSource(1)
	supply := singleOf(source)
	if live, err := supply.Live(t.Context()); err != nil || live != Source(source) || supply.Session() != source.boot {
		t.Errorf("live %v, %v; session %v", live, err, supply.Session())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := supply.Backlog(ctx); err != context.Canceled {
		t.Errorf("backlog: %v, want that it waited", err)
	}
}

// TestBothLinesOverTLS has real connections, which a rough network breaks.
func TestBothLinesOverTLS(t *testing.T) {
	v := newTown(t, nil, nil)
	cover := newCoverSink()
	cover.commitEvery = 7
	v.server.deps.Sink = cover
	live, before := newTestSource(1), newTestSource(2)
	live.size, before.size = 300, 300
	live.sample(998)
	before.sample(4998)
	supply := newTestSupply(live)
	supply.from = 901
	supply.leave(live, 1, 951) // overlaps the live one
	supply.leave(before, 2001, 5001)
	supply.leave(before, 1, 2001)

	config := DefaultClientConfig()
	config.BackoffMin, config.BackoffMax, config.BackfillRate = time.Millisecond, 5*time.Millisecond, 0
	who := v.worker()
	rough := rand.New(rand.NewPCG(1, 1))
	guard := make(chan struct{}, 1)
	client, err := NewClient(config, ClientDeps{Supply: supply, Now: time.Now, Random: func() float64 { return 0.5 },
		Connect: func(ctx context.Context, addr string) (net.Conn, error) {
			raw, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
			if err != nil {
				return nil, err
			}
			guard <- struct{}{}
			if rough.IntN(10) > 0 {
				raw = &cutConn{Conn: raw, left: 3000 + rough.IntN(200_000)}
			}
			<-guard
			return Handshake(ctx, raw, addr, who.Client(trust.RoleCollector, ALPN))
		}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); client.Run(ctx) }()
	client.SetEndpoint(v.addr)
	eventually(t, "all records", func() bool {
		if live.last() < 3000 {
			live.sample(10)
		}
		cover.commit()
		return live.last() >= 3000 && cover.has(live.boot, live.last()) && cover.has(before.boot, 5000) && supply.left() == 0
	})
	cancel()
	<-done
	for boot, last := range map[model.BootID]uint64{live.boot: live.last(), before.boot: 5000} {
		if missing, twice := cover.missing(boot, last); len(missing)+len(twice) > 0 {
			t.Errorf("%v: missing %v, twice %v", boot, missing, twice)
		}
	}
	_, peers, faults := cover.seen()
	if stats := client.Stats(); len(faults) > 0 || stats.Connects < 2 || stats.Backfill.Connects < 4 || peers[0].Leaf == nil || !peers[0].Addr.IsValid() {
		t.Errorf("faults %q; %d and %d connections", faults, stats.Connects, stats.Backfill.Connects)
	}
}
