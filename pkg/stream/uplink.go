package stream

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/daemon/logkey"
	"github.com/cloudless-fleet/cloudless/pkg/frame"
)

// uplink is one connection of a Client. Three goroutines share it: the reader
// (run itself), which never writes, so that two full pipes cannot wait for each
// other; the sender of records; and the keeper, which pings, answers pings and
// says goodbye.
type uplink struct {
	line     *line
	client   *Client
	ctx      context.Context // of the Client
	source   Source
	wire     *wire
	welcomed time.Time // zero: never
	ended    time.Time
	first    uint64 // of the stretch
	next     uint64 // its end, as the hello said
	resume   uint64

	turn chan struct{} // capacity 1, full while somebody sends: one message at a time

	mu      sync.Mutex
	flight  flight
	window  uint64
	sent    uint64 // number of the newest record handed to the connection
	acked   uint64
	pinged  int64 // when the ping that is not answered was sent; 0: none
	leaving error // why the goodbye is being said, if it is
	waved   bool  // it is said: only acknowledgements are awaited

	room  chan struct{} // capacity 1, signalled when the window may have opened
	asked chan question // capacity 1: a ping to be answered
	quiet chan struct{} // closed when no more records are sent
	spent chan struct{} // closed when the stretch has no more, and all of it is acknowledged
}

func (u *uplink) run(addr string) error {
	conn, offered, err := u.open(addr)
	if err != nil {
		return err
	}
	live, end := context.WithCancelCause(context.Background())
	sending, stopSending := context.WithCancel(live)
	var tasks sync.WaitGroup
	defer tasks.Wait()
	defer conn.Close()
	defer stopSending()
	defer end(nil)
	// Stopping takes no longer than it may even when the collector reads nothing.
	defer context.AfterFunc(u.ctx, func() { u.wire.lastWords(u.client.config.StopTimeout) })()
	tasks.Go(func() {
		defer close(u.quiet)
		u.fail(end, u.send(sending, offered))
	})
	tasks.Go(func() { u.fail(end, u.keep(live, stopSending, addr)) })
	err = u.receive()
	if live.Err() != nil && refusalIn(err) == nil {
		return context.Cause(live) // what ended the reading
	}
	return err
}

// fail ends the connection because one of its goroutines cannot go on.
func (u *uplink) fail(end context.CancelCauseFunc, err error) {
	if err == nil {
		return
	}
	end(err)
	// If sending failed, a refusal that tells why may be waiting to be read.
	grace := farewell
	if endOf(err) == EndStopped {
		grace = 0
	}
	u.wire.limit(time.Now().Add(grace))
}

// question is a ping of the collector and when it came.
type question struct{ sent, received int64 }

// open connects and says hello.
func (u *uplink) open(addr string) (net.Conn, offer, error) {
	c := u.client
	ctx, cancel := context.WithTimeout(u.ctx, c.config.ConnectTimeout)
	defer cancel()
	conn, err := c.deps.Connect(ctx, addr)
	if err != nil {
		return nil, offer{}, connectError(u.ctx, err)
	}
	// The handshake of messages has what is left of the time.
	deadline, _ := ctx.Deadline()
	u.wire = newWire(conn, c.buffers, c.config.IdleTimeout)
	u.wire.limit(deadline)
	stop := context.AfterFunc(u.ctx, func() { conn.Close() })
	offered, err := u.greet()
	if !stop() {
		err = errStopped
	}
	if err != nil {
		conn.Close()
		return nil, offer{}, err
	}
	u.wire.limit(time.Time{})
	return conn, offered, nil
}

// connectError gives the error of a dial its reason. A cancelled dial is no
// failure of the collector.
func connectError(ctx context.Context, err error) error {
	end := endOf(err)
	switch {
	case ctx.Err() != nil:
		return errStopped
	case end != EndTLS:
		end = EndConnect
	}
	return ended(end, fmt.Errorf("connect: %w", err))
}

// offer is what the hello offered, and which of it the collector wants.
type offer struct {
	parts  []frame.PartID
	wanted []bool
}

// known reports whether the collector has the part.
func (o offer) known() func(frame.PartID) bool {
	have := make(map[frame.PartID]bool, len(o.parts))
	for i, id := range o.parts {
		have[id] = !o.wanted[i]
	}
	return func(id frame.PartID) bool { return have[id] }
}

func (u *uplink) greet() (offer, error) {
	now := u.client.deps.Now
	h := hello{role: u.line.role, session: u.client.deps.Supply.Session(), boot: u.source.Boot(), parts: u.source.Parts()}
	h.first, h.next = u.source.Range()
	if err := h.check(); err != nil {
		return offer{}, ended(EndFailed, fmt.Errorf("records to send: %w", err))
	}
	h.parts = slices.Clip(h.parts[:min(len(h.parts), maxOffered)])
	h.clock = now().UnixNano()
	if err := u.wire.write(appendMessage(nil, h)); err != nil {
		return offer{}, err
	}
	m, err := u.wire.readMessage()
	if err != nil {
		return offer{}, err
	}
	defer u.wire.release()
	answered := now().UnixNano()
	switch m := m.(type) {
	case refuse:
		return offer{}, &m.Refusal
	case welcome:
		if len(m.wanted) != len(h.parts) || m.resume < h.first-1 || m.resume >= h.next {
			return offer{}, ended(EndProtocol, fmt.Errorf("welcome for %d parts and record %d, offered %d parts and records %d to before %d",
				len(m.wanted), m.resume, len(h.parts), h.first, h.next))
		}
		u.accept(h, m, exchange{h.clock, m.received, m.sent, answered})
		return offer{h.parts, m.wanted}, nil
	}
	return offer{}, ended(EndProtocol, fmt.Errorf("answer to hello is a message of type %d", m.kind()))
}

// accept begins the connection as the welcome says.
func (u *uplink) accept(h hello, m welcome, clocks exchange) {
	c := u.client
	u.welcomed = time.Now()
	u.first, u.next = h.first, h.next
	u.resume, u.sent, u.acked, u.window = m.resume, m.resume, m.resume, uint64(m.window)
	u.turn, u.room, u.asked = make(chan struct{}, 1), make(chan struct{}, 1), make(chan question, 1)
	u.quiet, u.spent = make(chan struct{}), make(chan struct{})
	if m.resume >= h.first {
		u.source.Acked(m.resume)
	}
	c.mu.Lock()
	c.clock.add(clocks)
	s := &u.line.stats
	s.State, s.ConnectedSince = Connected, c.deps.Now()
	s.Connects++
	s.Boot, s.FirstSeq, s.SentSeq, s.AckedSeq, s.Window = h.boot, h.first, m.resume, m.resume, uint64(m.window)
	u.line.again = false // Retry has what it wanted
	if u.line.role == roleLive {
		c.gate.set(true)
	}
	addr := c.endpoint
	c.mu.Unlock()
	u.line.log.Info("stream established", logkey.Addr, addr, logkey.Boot, h.boot, logkey.Seq, m.resume)
}

// up is for how long the connection was welcome; 0: it never was.
func (u *uplink) up() time.Duration {
	if u.welcomed.IsZero() {
		return 0
	}
	return u.ended.Sub(u.welcomed)
}

// delivered reports whether the connection that ended with err has sent all of
// its stretch. One of which nothing is stored does not count, or a source that
// has lost its records would be asked for them as fast as connections are made.
func (u *uplink) delivered(err error) bool {
	return endOf(err) == EndBye && u.acked >= u.first
}
