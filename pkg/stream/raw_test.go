package stream

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

// serveRaw lets a server speak with the returned end of a pipe. Its figures come
// when it is done, after which nothing of the connection is left.
func serveRaw(t *testing.T, sink *testSink, config ServerConfig) (near net.Conn, done <-chan ServerStats) {
	t.Helper()
	s, err := NewServer(config, ServerDeps{Sink: sink, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	near, finished := serveOn(s)
	stats := make(chan ServerStats, 1)
	go func() {
		<-finished
		if len(s.links) != 0 || len(s.slots) != 0 || len(s.active) != 0 {
			t.Errorf("left behind: %d links, %d slots, %d active", len(s.links), len(s.slots), len(s.active))
		}
		if _, faults := sink.snapshot(); len(faults) != 0 || sink.session != nil {
			t.Errorf("faults %q, session open: %v", faults, sink.session != nil)
		}
		stats <- s.Stats()
	}()
	return near, stats
}

func serveOn(s *Server) (near net.Conn, finished <-chan struct{}) {
	near, far := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Serve(context.Background(), far, workerIdentity())
	}()
	return near, done
}

func goodHello() hello {
	boot := model.BootIDFrom([16]byte{1})
	return hello{role: roleLive, session: boot, boot: boot, first: 1, next: 100, clock: time.Now().UnixNano()}
}

func say(t *testing.T, conn net.Conn, messages ...message) {
	t.Helper()
	for _, m := range messages {
		if _, err := conn.Write(appendMessage(nil, m)); err != nil {
			t.Fatalf("send message of type %d: %v", m.kind(), err)
		}
	}
}

func hearMessage(t *testing.T, conn net.Conn) message {
	t.Helper()
	m, err := newWire(conn, newBuffers(), time.Minute).readMessage()
	if err != nil {
		t.Fatalf("expecting a message: %v", err)
	}
	return m
}

func record(seq uint64) []byte {
	return frame.AppendRecord(nil, frame.Record{Seq: seq, Kind: frame.KindEvent, Payload: []byte("e")})
}

// TestBrokenWorkers lets a worker say what no worker says: the connection ends,
// for the right reason, told to the worker, and the session is closed.
func TestBrokenWorkers(t *testing.T) {
	damaged := record(1)
	damaged[len(damaged)-1] ^= 1
	version1 := unhex(t, "01 2b0000 01 000102030405060708090a0b0c0d0e0f 0700000000000000 0903000000000000 0000000000000000 0000")
	backfill := goodHello()
	backfill.role, backfill.first, backfill.next = roleBackfill, 3, 5
	borrowed := goodHello()
	borrowed.session = model.BootIDFrom([16]byte{2})
	for name, c := range map[string]struct {
		first []byte // instead of the hello, if not nil
		then  []byte
		end   End
		cause Cause
	}{
		"garbage":                    {first: []byte("GET / HTTP/1.1\r\n\r\n"), end: EndProtocol, cause: CauseProtocol},
		"records before the hello":   {first: appendMessage(nil, records{record(1)}), end: EndProtocol, cause: CauseProtocol},
		"hello too long":             {first: []byte{byte(kindHello), 0xff, 0xff, 0xff}, end: EndProtocol, cause: CauseProtocol},
		"hello of another version":   {first: version1, end: EndProtocol, cause: CauseVersion},
		"hello without a boot":       {first: appendMessage(nil, hello{role: roleLive, first: 1, next: 1}), end: EndProtocol, cause: CauseProtocol},
		"live hello of another's":    {first: appendMessage(nil, borrowed), end: EndProtocol, cause: CauseProtocol},
		"record behind the stretch":  {first: appendMessage(nil, backfill), then: appendMessage(nil, records{append(record(4), record(5)...)}), end: EndOrder, cause: CauseProtocol},
		"hello twice":                {then: appendMessage(nil, goodHello()), end: EndProtocol, cause: CauseProtocol},
		"unknown message":            {then: []byte{77, 0, 0, 0}, end: EndProtocol, cause: CauseProtocol},
		"a collector's message":      {then: appendMessage(nil, ack{1}), end: EndProtocol, cause: CauseProtocol},
		"no records":                 {then: []byte{byte(kindRecords), 0, 0, 0}, end: EndProtocol, cause: CauseProtocol},
		"message larger than may be": {then: []byte{byte(kindRecords), 1, 0, 0x10}, end: EndProtocol, cause: CauseProtocol},
		"ping of the wrong size":     {then: []byte{byte(kindPing), 7, 0, 0}, end: EndProtocol, cause: CauseProtocol},
		"damaged record":             {then: appendMessage(nil, records{damaged}), end: EndRecord, cause: CauseRecord},
		"half a record":              {then: appendMessage(nil, records{record(1)[:5]}), end: EndRecord, cause: CauseRecord},
		"garbage for a record":       {then: appendMessage(nil, records{[]byte("hello")}), end: EndRecord, cause: CauseRecord},
		"a record again":             {then: appendMessage(nil, records{append(record(5), record(5)...)}), end: EndOrder, cause: CauseProtocol},
		"records going back":         {then: appendMessage(nil, records{append(record(5), record(4)...)}), end: EndOrder, cause: CauseProtocol},
		"record number 0":            {then: appendMessage(nil, records{record(0)}), end: EndOrder, cause: CauseProtocol},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, done := serveRaw(t, newTestSink(), DefaultServerConfig())
				first := c.first
				if first == nil {
					first = appendMessage(nil, goodHello())
				}
				go near.Write(append(append([]byte(nil), first...), c.then...))
				var last message
				for {
					m, err := newWire(near, newBuffers(), time.Minute).readMessage()
					if err != nil {
						break
					}
					last = m
					if m.kind() == kindRefuse {
						near.Close()
					}
				}
				refused, ok := last.(refuse)
				if !ok || refused.Cause != c.cause || refused.Permanent != (c.cause == CauseVersion) || refused.Text == "" {
					t.Errorf("last words %+v, want a refusal (%v)", last, c.cause)
				}
				if stats := <-done; stats.Ended[c.end] != 1 || stats.Refused[c.cause] != 1 {
					t.Errorf("ended %v, refused %v; want one %v and one %v", stats.Ended, stats.Refused, c.end, c.cause)
				}
			})
		})
	}
}

func TestWorkerThatIgnoresItsWindowIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink, config := newTestSink(), DefaultServerConfig()
		sink.commitEvery, config.Window = 0, leastWindow
		near, done := serveRaw(t, sink, config)
		say(t, near, goodHello())
		hearMessage(t, near)
		big := make([]byte, 100<<10)
		for seq := uint64(1); ; seq++ {
			raw := frame.AppendRecord(nil, frame.Record{Seq: seq, Kind: frame.KindEvent, Payload: big})
			if _, err := near.Write(appendMessage(nil, records{raw})); err != nil || seq > 100 {
				t.Fatalf("write %d: %v", seq, err)
			}
			if sent := seq * uint64(len(raw)); sent > uint64(leastWindow)+maxBody {
				break
			}
		}
		if m, ok := hearMessage(t, near).(refuse); !ok || m.Cause != CauseProtocol {
			t.Errorf("got %+v, want a refusal", m)
		}
		near.Close()
		if stats := <-done; stats.Ended[EndWindow] != 1 {
			t.Errorf("ended %v, want window", stats.Ended)
		}
	})
}

func TestHelloMustComeInTime(t *testing.T) {
	for name, beginning := range map[string][]byte{"silence": nil, "half a header": {1, 0}, "half a hello": appendMessage(nil, goodHello())[:20]} {
		synctest.Test(t, func(t *testing.T) {
			near, done := serveRaw(t, newTestSink(), DefaultServerConfig())
			began := time.Now()
			near.Write(beginning)
			io.Copy(io.Discard, near)
			if took := time.Since(began); took < 10*time.Second || took > 12*time.Second {
				t.Errorf("%s: %v, want 10 s", name, took)
			}
			if stats := <-done; stats.Ended[EndSilent] != 1 {
				t.Errorf("%s: ended %v, want silent", name, stats.Ended)
			}
		})
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		config := DefaultServerConfig()
		config.MaxConnections = 1
		s, err := NewServer(config, ServerDeps{Sink: newTestSink(), Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		first, firstEnd := serveOn(s)
		synctest.Wait()
		second, secondEnd := serveOn(s)
		if m, ok := hearMessage(t, second).(refuse); !ok || m.Cause != CauseBusy || m.RetryAfter == 0 {
			t.Errorf("second: got %+v, want busy", m)
		}
		second.Close()
		<-secondEnd
		first.Close()
		<-firstEnd
		third, thirdEnd := serveOn(s)
		say(t, third, goodHello())
		if m := hearMessage(t, third); m.kind() != kindWelcome {
			t.Errorf("third: got %+v, want a welcome", m)
		}
		third.Close()
		<-thirdEnd
	})
}

func TestServerTakesWorkersOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := NewServer(DefaultServerConfig(), ServerDeps{Sink: newTestSink(), Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		for _, who := range []trust.Identity{{}, {Fleet: "lab", Role: trust.RoleOperator, Name: "alice"}} {
			near, far := net.Pipe()
			done := make(chan struct{})
			go func() {
				defer close(done)
				s.Serve(context.Background(), far, who)
			}()
			if m, ok := hearMessage(t, near).(refuse); !ok || m.Cause != CauseIdentity || !m.Permanent {
				t.Errorf("%v: got %+v, want a permanent refusal", who, m)
			}
			near.Close()
			<-done
		}
	})
}

func TestServerSaysWhenItStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := NewServer(DefaultServerConfig(), ServerDeps{Sink: newTestSink(), Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		near, far := net.Pipe()
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() {
			defer close(done)
			s.Serve(ctx, far, workerIdentity())
		}()
		say(t, near, goodHello())
		hearMessage(t, near)
		cancel()
		if m, ok := hearMessage(t, near).(refuse); !ok || m.Cause != CauseShutdown || m.Permanent {
			t.Errorf("got %+v, want shutdown", m)
		}
		near.Close()
		<-done
		if stats := s.Stats(); stats.Ended[EndStopped] != 1 {
			t.Errorf("ended %v, want stopped", stats.Ended)
		}
	})
}

// TestBrokenCollectors lets a collector say what no collector says.
func TestBrokenCollectors(t *testing.T) {
	good := welcome{window: 1 << 20, wanted: make([]bool, 1)}
	for name, answers := range map[string][]message{
		"no welcome":                {ack{1}},
		"welcome for other parts":   {welcome{window: 1, wanted: make([]bool, 2)}},
		"resume beyond our records": {welcome{resume: 3, wanted: make([]bool, 1)}},
		"ack of what was not sent":  {good, ack{1000}},
		"ack going back":            {good, ack{2}, ack{1}},
		"hello":                     {good, goodHello()},
		"records":                   {good, records{record(1)}},
		"bye":                       {good, bye{}},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newField()
			f.serve = func(ctx context.Context, conn net.Conn) {
				defer conn.Close()
				w := newWire(conn, newBuffers(), time.Minute)
				w.readMessage()
				if err := w.write(appendMessage(nil, answers[0])); err != nil || len(answers) == 1 {
					return
				}
				w.readMessage() // the part and the schema
				for _, m := range answers[1:] {
					w.write(appendMessage(nil, m))
				}
				io.Copy(io.Discard, conn)
			}
			stop := f.start(t)
			f.client.SetEndpoint("c:1")
			time.Sleep(200 * time.Millisecond)
			if stats := f.client.Stats(); stats.Ended[EndProtocol] != 1 {
				t.Errorf("%s: ended %v (%s), want protocol", name, stats.Ended, stats.LastError)
			}
			stop()
		})
	}
}

func TestErrorsHaveEnds(t *testing.T) {
	for _, c := range []struct {
		err  error
		want End
	}{
		{io.EOF, EndLost},
		{io.ErrClosedPipe, EndLost},
		{ended(EndOrder, io.EOF), EndOrder},
		{&Refusal{Cause: CauseFull}, EndRefused},
		{&Refusal{Cause: CauseReplaced}, EndReplaced},
		{context.Canceled, EndStopped},
		{errors.Join(errors.New("x"), errMoved), EndStopped},
	} {
		if got := endOf(c.err); got != c.want {
			t.Errorf("%v: %v, want %v", c.err, got, c.want)
		}
	}
	for end := range numEnds {
		if end.String() == "" {
			t.Errorf("end %d has no name", uint8(end))
		}
	}
	for cause := range numCauses {
		if cause.String() == "" || cause.known() != cause {
			t.Errorf("cause %d has no name", uint8(cause))
		}
	}
	if got := Cause(200).String(); got != "other" {
		t.Errorf("unknown cause: %q, want other", got)
	}
}

func TestWhatIsStoredIsNotMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := newTestSink()
		sink.stored = numbers(1, 100)
		near, done := serveRaw(t, sink, DefaultServerConfig())
		h := goodHello()
		h.next = 105
		say(t, near, h)
		hearMessage(t, near)
		say(t, near, records{append(record(3), record(103)...)}) // context of 3 only; 101 and 102 were dropped
		if m := hearMessage(t, near); m != (ack{103}) {
			t.Errorf("got %+v, want an acknowledgement of 103", m)
		}
		near.Close()
		if stats := <-done; stats.Missing != 2 {
			t.Errorf("%d missing, want 2", stats.Missing)
		}
	})
}
