package stream

import (
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// wire reads and writes whole messages on a connection. One goroutine reads and
// one at a time writes; the methods that set limits may be called by any.
type wire struct {
	conn    net.Conn
	large   *sync.Pool // of *[]byte: bodies longer than small, shared by connections
	small   []byte
	lent    *[]byte
	patient time.Duration // how long a message may take to come or to go

	mu      sync.Mutex
	by      time.Time // no read waits beyond; zero: no such limit
	closing bool      // the last words are being said: by holds for writes too
}

// smallBody is what a connection keeps for reading, in bytes. Longer bodies
// borrow a buffer, and only once so much of them has come: ten thousand silent
// connections must not hold ten thousand large buffers.
const smallBody = 4 << 10

// farewell is how long the last words may take, and how long the peer may take
// to read them.
const farewell = time.Second

func newWire(conn net.Conn, large *sync.Pool, patient time.Duration) *wire {
	return &wire{conn: conn, large: large, patient: patient}
}

// limit lets the current and every later read end at t at the latest; zero
// lifts the limit.
func (w *wire) limit(t time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.by = t
	w.conn.SetReadDeadline(t)
}

// interrupt ends the current and every later read, unless it is closing time.
func (w *wire) interrupt() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closing {
		w.by = time.Now()
		w.conn.SetReadDeadline(w.by)
	}
}

// lastWords begins closing time: reads and writes, those under way included,
// end within d.
func (w *wire) lastWords(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closing, w.by = true, time.Now().Add(d)
	w.conn.SetDeadline(w.by)
}

// arm gives the next read its deadline.
func (w *wire) arm() error {
	deadline := time.Now().Add(w.patient)
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.by.IsZero() && w.by.Before(deadline) {
		deadline = w.by
	}
	return w.conn.SetReadDeadline(deadline)
}

// armWrite gives the next write its deadline.
func (w *wire) armWrite() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closing {
		return w.conn.SetWriteDeadline(w.by)
	}
	return w.conn.SetWriteDeadline(time.Now().Add(w.patient))
}

// read waits for the next message. body is valid until the next call of read or
// release. Errors tell their End.
func (w *wire) read() (k kind, body []byte, err error) {
	w.release()
	if err := w.arm(); err != nil {
		return 0, nil, ended(EndLost, err)
	}
	var header [headerSize]byte
	if _, err := io.ReadFull(w.conn, header[:]); err != nil {
		return 0, nil, ended(endOf(err), fmt.Errorf("read message: %w", err))
	}
	k, length, err := parseHeader(header)
	if err != nil {
		return 0, nil, ended(EndProtocol, err)
	}
	if length == 0 {
		return k, nil, nil
	}
	// The body gets as long again: a message that trickles is as good as none.
	if err := w.arm(); err != nil {
		return 0, nil, ended(EndLost, err)
	}
	body, err = w.readBody(length)
	if err != nil {
		return 0, nil, ended(endOf(err), fmt.Errorf("read body of message of type %d: %w", k, err))
	}
	return k, body, nil
}

func (w *wire) readBody(length int) ([]byte, error) {
	if cap(w.small) < min(length, smallBody) {
		w.small = make([]byte, min(max(length, 512), smallBody))
	}
	head := w.small[:min(length, smallBody)]
	if _, err := io.ReadFull(w.conn, head); err != nil || length <= smallBody {
		return head, err
	}
	w.lent = w.large.Get().(*[]byte)
	if cap(*w.lent) < length {
		*w.lent = make([]byte, length)
	}
	body := (*w.lent)[:length]
	_, err := io.ReadFull(w.conn, body[copy(body, head):])
	return body, err
}

// release gives back what read borrowed.
func (w *wire) release() {
	if w.lent != nil {
		w.large.Put(w.lent)
		w.lent = nil
	}
}

// write sends encoded messages.
func (w *wire) write(encoded []byte) error {
	if err := w.armWrite(); err != nil {
		return ended(EndLost, err)
	}
	if _, err := w.conn.Write(encoded); err != nil {
		return ended(endOf(err), fmt.Errorf("send message: %w", err))
	}
	return nil
}

// refuse sends the refusal as last words and waits for the peer to close. If we
// closed at once, what it has sent meanwhile would make the kernel reset the
// connection and drop the refusal on its way.
func (w *wire) refuse(r *Refusal) {
	w.lastWords(farewell)
	if err := w.write(appendMessage(nil, refuse{*r})); err != nil {
		return
	}
	if half, ok := w.conn.(interface{ CloseWrite() error }); ok {
		half.CloseWrite()
	}
	io.CopyN(io.Discard, w.conn, 4*maxBody)
}

// newBuffers makes the pool for large bodies.
func newBuffers() *sync.Pool { return &sync.Pool{New: func() any { return new([]byte) }} }

// readMessage is read for messages that are parsed at once. What it returns is
// valid until the next call.
func (w *wire) readMessage() (message, error) {
	k, body, err := w.read()
	if err != nil {
		return nil, err
	}
	m, err := parseBody(k, body)
	if err != nil {
		return nil, ended(EndProtocol, err)
	}
	return m, nil
}
