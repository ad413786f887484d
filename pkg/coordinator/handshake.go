package coordinator

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/daemon/logkey"
)

// handshakeTime is how long a TLS handshake may take.
const handshakeTime = 10 * time.Second

// handshaker gives out connections whose TLS handshake is done. Each is done by a
// goroutine that ends with it: verifying a certificate takes a stack of 16 KiB and
// more, which the goroutine that serves the connection would keep for as long as
// the connection lasts. How many there are at once is bounded below it.
type handshaker struct {
	net.Listener // below TLS
	config       *tls.Config
	log          *slog.Logger

	start  sync.Once
	ready  chan shaken
	ctx    context.Context // until Close
	cancel context.CancelFunc
}

type shaken struct {
	conn *tls.Conn
	err  error
}

func newHandshaker(below net.Listener, config *tls.Config, log *slog.Logger) *handshaker {
	h := &handshaker{Listener: below, config: config, log: log, ready: make(chan shaken)}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	return h
}

// Accept implements net.Listener. The first call starts to accept below.
func (h *handshaker) Accept() (net.Conn, error) {
	h.start.Do(func() { go h.accept() })
	select {
	case one := <-h.ready:
		if one.err != nil {
			return nil, one.err
		}
		return one.conn, nil
	case <-h.ctx.Done():
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener. Handshakes under way are broken off.
func (h *handshaker) Close() error {
	h.cancel()
	return h.Listener.Close()
}

func (h *handshaker) accept() {
	for {
		raw, err := h.Listener.Accept()
		if err == nil {
			go h.shake(raw)
		} else if !h.give(shaken{err: err}) { // whoever accepts judges whether to go on
			return
		}
	}
}

func (h *handshaker) give(one shaken) bool {
	select {
	case h.ready <- one:
		return true
	case <-h.ctx.Done():
		return false
	}
}

func (h *handshaker) shake(raw net.Conn) {
	conn := tls.Server(raw, h.config)
	ctx, cancel := context.WithTimeout(h.ctx, handshakeTime)
	err := conn.HandshakeContext(ctx)
	cancel()
	if err != nil {
		h.log.Debug("TLS handshake failed", logkey.Addr, raw.RemoteAddr(), logkey.Err, err)
		if plain := (tls.RecordHeaderError{}); errors.As(err, &plain) && plain.Conn != nil && string(plain.RecordHeader[:4]) == "GET " {
			_, _ = io.WriteString(plain.Conn, "HTTP/1.0 400 Bad Request\r\n\r\nhttps only\n")
		}
		_ = raw.Close()
		return
	}
	if !h.give(shaken{conn: conn}) {
		_ = conn.Close()
	}
}
