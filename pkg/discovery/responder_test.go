package discovery

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cloudless-fleet/cloudless/pkg/crm"
)

// responder runs a Responder in the bubble and stops it at the test's end.
func responder(t *testing.T, cfg ResponderConfig, deps ResponderDeps) *Responder {
	t.Helper()
	deps.Logger = quiet()
	if deps.Look == nil {
		deps.Look = func() ([]Interface, error) { return nil, nil }
	}
	r, err := NewResponder(cfg, deps)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-done, r.Close()); err != nil {
			t.Errorf("Run and Close: %v", err)
		}
	})
	return r
}

// late always waits the whole window.
func late(n int64) int64 { return n - 1 }

func TestResponderAnswersAfterDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, w := newFakeConn(), &worker{}
		r := responder(t, DefaultResponderConfig(), ResponderDeps{Handler: w, Random: late, conn: conn})
		start := time.Now()
		probe := probeOf("collector", "192.0.2.1", 1000)
		probe.Dialect = crm.Dialect{Family: crm.VrmJobs, NamedType: true}
		conn.arrive(t, probe, "192.0.2.99:10120")
		time.Sleep(499 * time.Millisecond)
		synctest.Wait()
		if sent := conn.sent(); len(sent) != 0 {
			t.Fatalf("answered after %v", sent[0].at.Sub(start))
		}
		if got := r.Stats().Waiting; got != 1 {
			t.Errorf("%d answers waiting, want 1", got)
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		sent := conn.sent()
		if len(sent) != 1 || sent[0].to != netip.MustParseAddrPort("192.0.2.1:10100") || sent[0].at.Sub(start) != 500*time.Millisecond {
			t.Fatalf("sent %+v, want one answer to 192.0.2.1:10100 after 500ms", sent)
		}
		ack := decode[*crm.ProbeAck](t, sent[0].b)
		if ack.Dialect != probe.Dialect || ack.ID != probe.ID || ack.Info.Hostname != "worker1" {
			t.Errorf("answer %+v, want the probe's dialect and id", ack)
		}
		if got := r.Stats(); got.Probes != 1 || got.Send.Sent != 1 || got.Listen.Datagrams != 1 || got.Waiting != 0 {
			t.Errorf("stats %+v", got)
		}
	})
}

// Without an address in the probe the answer goes to the datagram's source.
func TestResponderHandsOnTheSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := newFakeConn()
		responder(t, DefaultResponderConfig(), ResponderDeps{Handler: &worker{}, conn: conn})
		conn.arrive(t, probeOf("collector", "", 0), "[::ffff:192.0.2.99]:10120")
		conn.arrive(t, probeOf("collector", "0.0.0.0", 0), "[fe80::9%eth0]:10120")
		time.Sleep(time.Second)
		synctest.Wait()
		got := make(map[string]bool)
		for _, d := range conn.sent() {
			got[d.to.String()] = true
		}
		if !got["192.0.2.99:10100"] || !got["[fe80::9%eth0]:10100"] || len(got) != 2 {
			t.Errorf("answered to %v", got)
		}
	})
}

// Delays are spread over the whole window, so a fleet does not answer at once.
func TestDelaysAreSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := newFakeConn()
		cfg := DefaultResponderConfig()
		cfg.AnswerRate = 10_000
		responder(t, cfg, ResponderDeps{Handler: &worker{}, conn: conn})
		quarters := [4]int{}
		for range 400 {
			start := time.Now()
			conn.arrive(t, probeOf("collector", "192.0.2.1", 2000), "192.0.2.1:10120")
			time.Sleep(time.Second)
			synctest.Wait()
			sent := conn.sent()
			if len(sent) != 1 {
				t.Fatalf("%d answers within the window, want 1", len(sent))
			}
			quarters[min(int(4*sent[0].at.Sub(start)/time.Second), 3)]++
		}
		for i, n := range quarters {
			if n < 50 || n > 150 {
				t.Errorf("quarter %d of the window got %d answers of 400", i, n)
			}
		}
	})
}

func TestOneAnswerWaitsPerCollector(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, w := newFakeConn(), &worker{}
		r := responder(t, DefaultResponderConfig(), ResponderDeps{Handler: w, Random: late, conn: conn})
		start := time.Now()
		for i := range 50 { // every 20 ms for a second; the window is 500 ms
			probe := probeOf("collector", "192.0.2.1", 1000)
			probe.ID = fmt.Sprint("probe ", i)
			conn.arrive(t, probe, "192.0.2.1:10120")
			time.Sleep(20 * time.Millisecond)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		sent := conn.sent()
		if len(sent) != 2 || sent[0].at.Sub(start) != 500*time.Millisecond {
			t.Fatalf("%d answers, the first after %v; want 2, the first after 500ms", len(sent), sent[0].at.Sub(start))
		}
		if got := decode[*crm.ProbeAck](t, sent[0].b).ID; got != "probe 24" && got != "probe 25" {
			t.Errorf("the answer is to %q, want the newest", got)
		}
		if got := r.Stats(); got.Replaced != 48 {
			t.Errorf("%d replaced, want 48", got.Replaced)
		}
	})
}

func TestCollectorsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := newFakeConn()
		r := responder(t, DefaultResponderConfig(), ResponderDeps{Handler: &worker{}, Random: late, conn: conn})
		for i := range 40 {
			host := hostAddr(i + 1)
			conn.arrive(t, probeOf("collector", host.String(), 0), netip.AddrPortFrom(host, 10120).String())
		}
		time.Sleep(50 * time.Millisecond)
		synctest.Wait()
		if got := r.Stats(); got.Waiting != maxWaiting || got.Overflow != 40-maxWaiting {
			t.Errorf("stats %+v, want %d waiting and %d dropped", got, maxWaiting, 40-maxWaiting)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if got := len(conn.sent()); got != maxWaiting {
			t.Errorf("%d answers, want %d", got, maxWaiting)
		}
	})
}

// Forged probes cannot make a worker send more than its rate.
func TestAnswerRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := newFakeConn()
		cfg := DefaultResponderConfig()
		cfg.MaxDelay = 0
		r := responder(t, cfg, ResponderDeps{Handler: &worker{}, conn: conn})
		const seconds = 10
		for i := range seconds * 100 {
			host := hostAddr(i + 1)
			conn.arrive(t, probeOf("collector", host.String(), 0), netip.AddrPortFrom(host, 10120).String())
			time.Sleep(10 * time.Millisecond)
		}
		synctest.Wait()
		sent := len(conn.sent())
		if most := (seconds + 1) * cfg.AnswerRate; sent > most || sent < seconds*cfg.AnswerRate {
			t.Errorf("%d answers in %d s, want at most %d and not much less", sent, seconds, most)
		}
		if got := r.Stats().Send.Limited; got != uint64(seconds*100-sent) {
			t.Errorf("%d withheld of %d, %d sent", got, seconds*100, sent)
		}
	})
}

func TestDestinationsThatAreNoHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := newFakeConn()
		r := responder(t, DefaultResponderConfig(), ResponderDeps{Handler: &worker{}, conn: conn})
		for _, addr := range []string{"224.0.0.1", "255.255.255.255", "ff02::1"} {
			conn.arrive(t, probeOf("collector", addr, 0), "192.0.2.1:10120")
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if got := r.Stats().Send; got.BadDestination != 3 || len(conn.sent()) != 0 {
			t.Errorf("stats %+v, want 3 bad destinations and nothing sent", got)
		}
	})
}

// big answers with much more than was asked.
type big struct{ worker }

func (b *big) Probed(p *crm.ProbeInit, source netip.AddrPort) (Answer, bool) {
	a, ok := b.worker.Probed(p, source)
	a.Ack.Info.Hostname = strings.Repeat("x", 250)
	a.Ack.Ext.Version = strings.Repeat("x", 64)
	return a, ok
}

func TestAnswerIsNeverMuchLargerThanTheProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := newFakeConn()
		r := responder(t, DefaultResponderConfig(), ResponderDeps{Handler: &big{}, conn: conn})
		conn.in <- arrival{from: netip.MustParseAddrPort("192.0.2.1:10120"), b: []byte(`{"py/object":"dtos.ProbeInit","id":"","type":1,"info":{"py/object":"dtos.HostInfo","hostname":"h","inet_addr":"","type":2,"ports":[{"py/object":"dtos.PortInfo","daemon":"coordinatord","port":10100}]}}`)}
		time.Sleep(time.Second)
		synctest.Wait()
		if got := r.Stats().Send; got.TooLarge != 1 || len(conn.sent()) != 0 {
			t.Errorf("stats %+v, want one answer withheld", got)
		}
	})
}

func TestResponderHandsOnRegisterAck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, w := newFakeConn(), &worker{}
		r := responder(t, DefaultResponderConfig(), ResponderDeps{Handler: w, conn: conn})
		conn.arrive(t, registerAck(), "192.0.2.1:10110")
		conn.arrive(t, ackOf("worker2", ""), "192.0.2.2:10300") // belongs on another port
		synctest.Wait()
		if probes, acks := w.heard(); probes != 0 || acks != 1 {
			t.Errorf("heard %d probes and %d RegisterAck, want 0 and 1", probes, acks)
		}
		if got := r.Stats(); got.RegisterAcks != 1 || got.Listen.Unexpected != 1 {
			t.Errorf("stats %+v", got)
		}
	})
}

// Errors of the socket are counted and waited out, in reading and in sending.
func TestSocketErrorsEndNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, w := newFakeConn(), &worker{}
		conn.refuse = func(to netip.AddrPort) error {
			if to.Addr() == netip.MustParseAddr("192.0.2.66") {
				return unix.ENETUNREACH
			}
			return nil
		}
		r := responder(t, DefaultResponderConfig(), ResponderDeps{Handler: w, conn: conn})
		for _, err := range []error{unix.ENETDOWN, unix.ECONNREFUSED, unix.EMSGSIZE, unix.ENOBUFS, unix.EHOSTUNREACH, errors.New("odd")} {
			conn.in <- arrival{err: err}
		}
		conn.arrive(t, probeOf("collector", "192.0.2.66", 0), "192.0.2.66:10120")
		conn.arrive(t, probeOf("collector", "192.0.2.1", 0), "192.0.2.1:10120")
		time.Sleep(5 * time.Second)
		synctest.Wait()
		got := r.Stats()
		if got.Listen.ReadErrors != 6 || got.Send.SendErrors != 1 || got.Send.Sent != 1 {
			t.Errorf("stats %+v, want 6 read errors, 1 send error, 1 sent", got)
		}
	})
}

// A socket that only gives errors is asked at most once a second, in the end.
func TestBrokenSocketDoesNotSpin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := newFakeConn()
		conn.in = make(chan arrival)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() {
			for {
				select {
				case conn.in <- arrival{err: unix.EIO}:
				case <-ctx.Done():
					return
				}
			}
		}()
		r := responder(t, DefaultResponderConfig(), ResponderDeps{Handler: &worker{}, conn: conn})
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := r.Stats().Listen.ReadErrors; got < 60 || got > 75 {
			t.Errorf("%d reads in a minute, want about 70", got)
		}
	})
}

func TestRefusedPacketsAreCountedByReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := newFakeConn()
		r := responder(t, DefaultResponderConfig(), ResponderDeps{Handler: &worker{}, conn: conn})
		bad := badPackets(t)
		for _, p := range bad {
			conn.in <- arrival{b: p.b, from: netip.MustParseAddrPort("192.0.2.1:1")}
		}
		synctest.Wait()
		var want [crm.NumReasons]uint64
		for _, p := range bad {
			want[p.reason]++
		}
		if got := r.Stats().Listen; got.Refused != want || got.Datagrams != uint64(len(bad)) {
			t.Errorf("refused %v of %d, want %v of %d", got.Refused, got.Datagrams, want, len(bad))
		}
	})
}

// fakeGroups keeps who is joined.
type fakeGroups struct {
	joined map[int]int // how often, by index
	refuse *guarded[int]
}

func (g *fakeGroups) Join(index int) error {
	if g.refuse.get() == index {
		return unix.ENODEV
	}
	g.joined[index]++
	return nil
}

func (g *fakeGroups) Leave(index int) error { delete(g.joined, index); return nil }

func TestGroupFollowsTheInterfaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &fakeGroups{joined: make(map[int]int), refuse: guard(4)}
		down := lan(3, "eth1")
		down.Flags &^= unix.IFF_UP
		all := guard([]Interface{loopback(), lan(2, "eth0"), down, lan(4, "eth2")})
		look := func() ([]Interface, error) {
			if found := all.get(); found != nil {
				return found, nil
			}
			return nil, errors.New("no netlink")
		}
		r := responder(t, DefaultResponderConfig(), ResponderDeps{Handler: &worker{}, Look: look, conn: newFakeConn(), groups: g})
		f := func(want string, errs uint64) {
			t.Helper()
			time.Sleep(lookInterval)
			synctest.Wait()
			if got := fmt.Sprint(g.joined); got != want {
				t.Errorf("joined %s, want %s", got, want)
			}
			if got := r.Stats(); got.Groups != len(g.joined) || got.GroupErrors != errs {
				t.Errorf("stats %+v, want %d groups and %d errors", got, len(g.joined), errs)
			}
		}
		f("map[2:1]", 2) // refused at once and at the first tick
		g.refuse.set(0)
		all.set([]Interface{loopback(), lan(2, "eth0"), lan(3, "eth1"), lan(4, "eth2")})
		f("map[2:1 3:1 4:1]", 2)
		all.set([]Interface{lan(3, "eth1"), lan(9, "eth0")}) // eth0 was made anew
		f("map[3:1 9:1]", 2)
		all.set(nil)
		f("map[3:1 9:1]", 3)
		var many []Interface
		for i := range 1000 {
			many = append(many, lan(i+1, fmt.Sprint("veth", i)))
		}
		all.set(many)
		time.Sleep(lookInterval)
		synctest.Wait()
		if got := r.Stats().Groups; got != maxGroups {
			t.Errorf("%d groups joined on 1000 interfaces, want %d", got, maxGroups)
		}
	})
}

func TestMulticastOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &fakeGroups{joined: make(map[int]int), refuse: guard(0)}
		cfg := DefaultResponderConfig()
		cfg.Multicast = false
		responder(t, cfg, ResponderDeps{Handler: &worker{}, Look: func() ([]Interface, error) { return []Interface{lan(2, "eth0")}, nil },
			conn: newFakeConn(), groups: g})
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(g.joined) != 0 {
			t.Errorf("joined %v", g.joined)
		}
	})
}
