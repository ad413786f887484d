package crash

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// network is what is between workers and the collector.
type network struct {
	life *life

	mu     sync.Mutex
	random *rand.Rand
	down   bool
	rough  float64 // chance that something happens to a connection
	cables map[*cable]bool
}

// fate is what happens to one direction of a connection.
type fate struct {
	lag    time.Duration // before each message
	cutAt  int           // before which message everything is cut; below 0: never
	torn   bool          // in the middle of it
	lostAt int           // from which message on nothing arrives
	twice  int           // which message comes twice
}

// cable is a connection: two pipes, and who carries messages from one to the other.
type cable struct {
	ends [4]net.Conn
	once sync.Once
	gone chan struct{}
}

func (c *cable) cut() {
	c.once.Do(func() {
		close(c.gone)
		for _, end := range c.ends {
			end.Close()
		}
	})
}

func (n *network) fate() fate {
	f := fate{cutAt: -1, lostAt: -1, twice: -1}
	if n.random.IntN(2) == 0 {
		f.lag = time.Duration(n.random.IntN(30)) * time.Millisecond
	}
	if n.random.Float64() >= n.rough {
		return f
	}
	at := n.random.IntN(1 << n.random.IntN(8))
	switch n.random.IntN(8) {
	case 0, 1, 2:
		f.cutAt = at
	case 3, 4:
		f.cutAt, f.torn = at, true
	case 5, 6:
		f.lostAt, f.cutAt = at, at+n.random.IntN(20)
	case 7:
		f.twice = 1 + at // the hello stays alone
	}
	return f
}

var errUnreachable = errors.New("unreachable")

// dial makes a connection of a worker to the collector.
func (n *network) dial(ctx context.Context, w *worker) (net.Conn, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	c := n.life.collector.running()
	if n.down || c == nil {
		return nil, errUnreachable
	}
	there, a := net.Pipe()
	b, here := net.Pipe()
	line := &cable{ends: [4]net.Conn{there, a, b, here}, gone: make(chan struct{})}
	n.cables[line] = true
	up, back := n.fate(), n.fate()
	if up.cutAt >= 0 || back.cutAt >= 0 || up.twice >= 0 || back.twice >= 0 {
		n.life.tell("connection of %s: %+v, %+v", w.name, up, back)
	}
	var tasks sync.WaitGroup
	tasks.Go(func() { line.carry(a, b, up) })
	tasks.Go(func() { line.carry(b, a, back) })
	n.life.tasks.Go(func() {
		tasks.Wait()
		line.cut()
		n.mu.Lock()
		defer n.mu.Unlock()
		delete(n.cables, line)
	})
	c.serve(here, w)
	return there, nil
}

// cutAll cuts all connections.
func (n *network) cutAll() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for c := range n.cables {
		c.cut()
	}
}

func (n *network) set(down bool, rough float64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.down, n.rough = down, rough
}

// queue holds messages under way. It has no bound: whoever sends must not wait here with a
// lock held, or the clock of the test stands still. Windows bound what is in it.
type queue struct {
	mu       sync.Mutex
	messages [][]byte
	ended    bool
	more     chan struct{} // capacity 1
}

func (q *queue) put(message []byte, ended bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.ended = ended; !ended {
		q.messages = append(q.messages, message)
	}
	select {
	case q.more <- struct{}{}:
	default:
	}
}

// take waits for the next message; false at the end.
func (q *queue) take() ([]byte, bool) {
	for {
		q.mu.Lock()
		if len(q.messages) > 0 {
			message := q.messages[0]
			q.messages = q.messages[1:]
			q.mu.Unlock()
			return message, true
		}
		ended := q.ended
		q.mu.Unlock()
		if ended {
			return nil, false
		}
		<-q.more
	}
}

// carry carries messages. What was sent is read at once, however slowly it gets there.
func (c *cable) carry(from, to net.Conn, f fate) {
	q := &queue{more: make(chan struct{}, 1)}
	var reading sync.WaitGroup
	defer reading.Wait()
	defer c.cut()
	reading.Go(func() {
		for {
			message, err := readMessage(from)
			q.put(message, err != nil)
			if err != nil {
				return
			}
		}
	})
	for i := 0; ; i++ {
		message, ok := q.take()
		if !ok {
			return
		}
		if f.lag > 0 {
			select {
			case <-time.After(f.lag):
			case <-c.gone:
				return
			}
		}
		if i == f.cutAt {
			if f.torn {
				_, _ = to.Write(message[:len(message)/2])
			}
			return
		}
		if f.lostAt >= 0 && i >= f.lostAt {
			continue
		}
		if i == f.twice {
			message = append(message, message...)
		}
		if _, err := to.Write(message); err != nil {
			return
		}
	}
}

// readMessage reads a whole message of package stream.
func readMessage(from net.Conn) ([]byte, error) {
	var header [4]byte
	if _, err := io.ReadFull(from, header[:]); err != nil {
		return nil, err
	}
	size := int(header[1]) | int(header[2])<<8 | int(header[3])<<16
	message := make([]byte, 4+size)
	copy(message, header[:])
	_, err := io.ReadFull(from, message[4:])
	return message, err
}
