package stream

import (
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

func TestANewConnectionReplacesTheOldOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := newTestSink()
		s, err := NewServer(DefaultServerConfig(), ServerDeps{Sink: sink, Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		const n = 5
		var ends [n]<-chan struct{}
		var conns [n]net.Conn
		for i := range n { // half-open ones: nobody reads what the server says to them later
			conns[i], ends[i] = serveOn(s)
			say(t, conns[i], goodHello())
			if m := hearMessage(t, conns[i]); m.kind() != kindWelcome {
				t.Fatalf("connection %d: got %+v, want a welcome", i, m)
			}
			if i > 0 {
				<-ends[i-1]
			}
		}
		if stats := s.Stats(); stats.Streams != 1 || stats.Ended[EndReplaced] != n-1 || stats.Refused[CauseReplaced] != n-1 {
			t.Errorf("stats %+v; want one stream and %d replaced", stats, n-1)
		}
		say(t, conns[n-1], records{record(1)})
		if m := hearMessage(t, conns[n-1]); m != (ack{1}) {
			t.Errorf("newest connection: got %+v, want an acknowledgement", m)
		}
		conns[n-1].Close()
		<-ends[n-1]
		if _, faults := sink.snapshot(); len(faults) != 0 || len(s.slots) != 0 {
			t.Errorf("faults %q, %d slots left", faults, len(s.slots))
		}
	})
}

func TestOldConnectionHearsThatItWasReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := NewServer(DefaultServerConfig(), ServerDeps{Sink: newTestSink(), Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		old, oldEnd := serveOn(s)
		say(t, old, goodHello())
		hearMessage(t, old)
		fresh, freshEnd := serveOn(s)
		go fresh.Write(appendMessage(nil, goodHello()))
		if m, ok := hearMessage(t, old).(refuse); !ok || m.Cause != CauseReplaced || m.Permanent {
			t.Errorf("old connection: got %+v, want replaced", m)
		}
		old.Close()
		<-oldEnd
		if m := hearMessage(t, fresh); m.kind() != kindWelcome {
			t.Errorf("new connection: got %+v, want a welcome", m)
		}
		fresh.Close()
		<-freshEnd
	})
}

func TestNewcomersWaitForASlowSessionInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := newTestSink()
		sink.holdOpen = make(chan struct{})
		config := DefaultServerConfig()
		s, err := NewServer(config, ServerDeps{Sink: sink, Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		var ends []<-chan struct{}
		var conns []net.Conn
		for range 3 {
			conn, end := serveOn(s)
			say(t, conn, goodHello())
			conns, ends = append(conns, conn), append(ends, end)
			synctest.Wait()
		}
		go io.Copy(io.Discard, conns[0])
		go io.Copy(io.Discard, conns[1])
		time.Sleep(time.Second) // the first two hear that they were replaced
		close(sink.holdOpen)
		if m := hearMessage(t, conns[2]); m.kind() != kindWelcome {
			t.Errorf("got %+v, want a welcome", m)
		}
		for i, conn := range conns {
			conn.Close()
			<-ends[i]
		}
		if _, faults := sink.snapshot(); len(faults) != 0 || sink.sessions != 1 {
			t.Errorf("faults %q, %d sessions; want none and one", faults, sink.sessions)
		}
	})
}
