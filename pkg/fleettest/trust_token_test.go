package fleettest

import (
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust/token"
)

// TestTokensThatServeNoMore: a stolen one that was used, one that has expired, one
// that was revoked. The machine says why, and so do the logs.
func TestTokensThatServeNoMore(t *testing.T) {
	t.Parallel()
	f := newInProcess(t, "honest", "thief", "late", "outcast")
	f.startServers()
	honest, thief, late, outcast := f.machines["honest"], f.machines["thief"], f.machines["late"], f.machines["outcast"]

	stolen := f.token(api.TokenRequest{})
	honest.hold(stolen)
	honest.start()
	f.eventually("the first bearer is in", honest.working)
	thief.hold(stolen)

	short, err := f.admin.CreateToken(t.Context(), api.TokenRequest{TTL: 1000})
	if err != nil {
		t.Fatal(err)
	}
	f.eventually("a token ends", func() error {
		if time.Now().Before(short.Expires) {
			return errors.New("it is still good")
		}
		return nil
	})
	late.hold(short.Token)

	void, err := f.admin.CreateToken(t.Context(), api.TokenRequest{})
	if err == nil {
		err = f.admin.RevokeToken(t.Context(), void.ID)
	}
	if err != nil {
		t.Fatal(err)
	}
	outcast.hold(void.Token)

	for _, c := range []struct {
		m            *machine
		reason, text string
	}{
		{thief, "token_used_up", "the join token has admitted as many machines as it may: a new one is needed"},
		{late, "token_expired", "the join token has expired: a new one is needed"},
		{outcast, "token_revoked", "the join token was revoked: a new one is needed"},
	} {
		c.m.start()
		c.m.comesToStand("refused", c.reason+": "+c.text)
		if err := f.said("of="+c.m.name, "refuses this machine", "reason="+c.reason); err != nil {
			t.Error(err)
		}
		e := f.entries(model.DaemonCoordinator, "enrol.refused", c.m.id().String())
		if len(e) != 1 || e[0].OK || e[0].Detail != c.reason || e[0].From != "127.0.0.1" || e[0].More["hostname"] != c.m.name {
			t.Errorf("%s: audit log %+v, want one refusal: %s", c.m.name, e, c.reason)
		}
		if _, err := f.client.Worker(t.Context(), c.m.id()); statusOf(err) != 404 {
			t.Errorf("%s is in the register: %v", c.m.name, err)
		}
	}
	if got := f.members(); !slices.Equal(got, []string{"honest"}) {
		t.Errorf("members %q, want the honest one only", got)
	}
	outcast.join() // an operator gives it another one
	f.eventually("another token is noticed by the running daemon", outcast.working)
}

// TestALostAnswerIsAskedForAgain: the coordinator has let the machine in, which
// never hears of it. Its next question is answered with the same membership, and
// the token is spent once.
func TestALostAnswerIsAskedForAgain(t *testing.T) {
	t.Parallel()
	f := newInProcess(t, "w1")
	f.startServers()
	w1 := f.machines["w1"]
	cable := layCable(t, loopback(f.control))
	cable.mute.Store(true)
	text := f.token(api.TokenRequest{Addresses: []string{cable.address()}, Labels: map[string]string{"rack": "7"}})
	w1.hold(text)
	w1.start()
	enrolled := func() error {
		if n := len(f.entries(model.DaemonCoordinator, "enrol", w1.id().String())); n != 1 {
			return errors.New("not enrolled")
		}
		return nil
	}
	f.eventually("the coordinator has let it in", enrolled)
	if s, err := w1.status(); err == nil && s.Standing == "member" {
		t.Fatal("the answer was not lost: the test proves nothing")
	}
	cable.mute.Store(false)
	cable.cut()
	f.eventually("it is in", w1.working)
	if err := enrolled(); err != nil {
		t.Errorf("audit log: %v", f.entries(model.DaemonCoordinator, "enrol", ""))
	}
	list, err := f.admin.Tokens(t.Context())
	if err != nil || len(list.Tokens) != 1 || list.Tokens[0].Used != 1 || list.Tokens[0].State != "used_up" {
		t.Errorf("tokens %+v, %v; want one that was used once", list, err)
	}
	join, err := token.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	members, err := f.admin.Members(t.Context())
	if err != nil || len(members.Members) != 1 || members.Members[0].By != "token "+join.ID.String() || members.Members[0].Labels["rack"] != "7" {
		t.Errorf("members %+v, %v", members, err)
	}
}

// cable is a way to a server that can fail.
type cable struct {
	listener net.Listener
	to       string
	// mute: what the server says after the handshake does not arrive.
	mute atomic.Bool

	mu   sync.Mutex // guards open
	open []net.Conn
}

func layCable(t *testing.T, to string) *cable {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cable{listener: listener, to: to}
	var all sync.WaitGroup
	t.Cleanup(func() {
		listener.Close()
		c.cut()
		all.Wait()
	})
	all.Go(func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			all.Go(func() { c.carry(near) })
		}
	})
	return c
}

func (c *cable) address() string { return c.listener.Addr().String() }

// cut breaks what is connected.
func (c *cable) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.open {
		conn.Close()
	}
	c.open = nil
}

func (c *cable) carry(near net.Conn) {
	defer near.Close()
	far, err := net.Dial("tcp", c.to)
	if err != nil {
		return
	}
	defer far.Close()
	c.mu.Lock()
	c.open = append(c.open, near, far)
	c.mu.Unlock()
	// The client's second word is the end of the handshake and the request.
	var words atomic.Int32
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = io.Copy(counting{far, &words}, near)
		far.Close()
	}()
	buffer := make([]byte, 64<<10)
	for {
		n, err := far.Read(buffer)
		if c.mute.Load() && words.Load() > 1 {
			n = 0
		}
		if _, failed := near.Write(buffer[:n]); err != nil || failed != nil {
			break
		}
	}
	near.Close()
	<-ended
}

// counting counts writes.
type counting struct {
	net.Conn
	n *atomic.Int32
}

func (c counting) Write(p []byte) (int, error) {
	c.n.Add(1)
	return c.Conn.Write(p)
}
