package stream

import (
	"container/list"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// handshake shakes hands within the bounds of time and number.
func (p *Port) handshake(ctx context.Context, raw net.Conn) (*tls.Conn, Failure, error) {
	entry := p.begin(raw)
	conn := tls.Server(raw, p.deps.TLS)
	limited, cancel := context.WithTimeout(ctx, p.config.HandshakeTimeout)
	defer cancel()
	err := conn.HandshakeContext(limited)
	cut := p.end(entry)
	switch {
	case cut:
		return nil, FailCrowded, errors.New("handshake: cut off for a newer one")
	case err == nil:
		return conn, 0, nil
	case limited.Err() != nil:
		return nil, FailTimeout, fmt.Errorf("handshake: %w", limited.Err())
	}
	if plain, ok := errors.AsType[tls.RecordHeaderError](err); ok && looksLikeHTTP(plain.RecordHeader) {
		raw.SetWriteDeadline(time.Now().Add(farewell))
		io.WriteString(raw, "HTTP/1.0 400 Bad Request\r\n\r\nThis port speaks HTTPS.\n")
	}
	return nil, failureOf(err), fmt.Errorf("handshake: %w", err)
}

// linger waits a moment for the client to close after it was told why it may
// not stay: closing over bytes that nobody has read would recall what was told.
func (p *Port) linger(raw net.Conn) {
	half, ok := raw.(interface{ CloseWrite() error })
	if !ok || !p.mayLinger() {
		return
	}
	defer p.count(func(s *PortStats) { s.Lingering-- })
	half.CloseWrite()
	raw.SetReadDeadline(time.Now().Add(farewell))
	io.CopyN(io.Discard, raw, 64<<10)
}

// mayLinger counts a lingering connection in, unless there are as many as
// handshakes may be.
func (p *Port) mayLinger() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stats.Lingering >= p.config.MaxHandshakes {
		return false
	}
	p.stats.Lingering++
	return true
}

// looksLikeHTTP recognizes the first bytes of a request without TLS.
func looksLikeHTTP(first [5]byte) bool {
	switch string(first[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "OPTIO":
		return true
	}
	return false
}

// begin enters a handshake into the list, and cuts off the oldest one if there
// are too many.
func (p *Port) begin(raw net.Conn) *list.Element {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stats.Accepted++
	if p.shaking.Len() >= p.config.MaxHandshakes {
		oldest := p.shaking.Front()
		p.shaking.Remove(oldest).(net.Conn).Close()
		oldest.Value = nil
	}
	return p.shaking.PushBack(raw)
}

// end removes a handshake from the list; cut says that it was cut off.
func (p *Port) end(e *list.Element) (cut bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e.Value == nil {
		return true
	}
	p.shaking.Remove(e)
	return false
}

// cutAll ends the handshakes that are under way.
func (p *Port) cutAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for e := p.shaking.Front(); e != nil; e = e.Next() {
		e.Value.(net.Conn).Close()
	}
}
