package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
)

// send sends the context and then records, until ctx ends: then it returns nil.
func (u *uplink) send(ctx context.Context, offered offer) error {
	batch, pace := int(u.client.config.Batch), u.line.pace
	before, err := u.source.Context(u.resume, offered.known())
	if err != nil {
		return ended(EndFailed, fmt.Errorf("context of record %d: %w", u.resume, err))
	}
	if err := u.sendContext(ctx, before, batch); err != nil {
		return err
	}
	after := u.resume
	var buffer []byte
	for {
		room, err := u.waitForRoom(ctx)
		if err != nil || !pace.wait(ctx) {
			return nil // stopping
		}
		var last uint64
		buffer, last, err = u.source.Next(ctx, after, append(buffer[:0], make([]byte, headerSize)...), pace.limit(min(room, batch)))
		size := len(buffer) - headerSize
		switch {
		case err != nil && ctx.Err() != nil:
			return nil
		case errors.Is(err, io.EOF):
			u.finish(ctx)
			return nil
		case err == nil && (last <= after || size <= 0 || size > maxBody || last >= u.next && u.line.role == roleBackfill):
			err = fmt.Errorf("%d bytes up to record %d", size, last)
			fallthrough
		case err != nil:
			return ended(EndFailed, fmt.Errorf("next records after %d: %w", after, err))
		}
		after = last
		u.launch(last, size) // before it is sent, or its ack could come first
		putHeader(buffer, kindRecords)
		if err := u.write(buffer); err != nil {
			return err
		}
		pace.sent(time.Now(), size)
	}
}

// finish waits until everything sent is acknowledged, and then lets the keeper
// say goodbye. Saying it first would give a slow disk no more than the time that
// a stopping worker has.
func (u *uplink) finish(ctx context.Context) {
	for {
		u.mu.Lock()
		flying := u.flight.bytes
		u.mu.Unlock()
		if flying == 0 {
			close(u.spent)
			return
		}
		if !wait(ctx, u.room) {
			return
		}
	}
}

// sendContext sends encoded records in messages of about most bytes.
func (u *uplink) sendContext(ctx context.Context, encoded []byte, most int) error {
	u.line.count(func(s *LinkStats) {
		s.SentBytes += uint64(len(encoded))
		s.ContextBytes += uint64(len(encoded))
	})
	for len(encoded) > 0 && ctx.Err() == nil {
		n := 0
		for n < len(encoded) {
			_, size, err := frame.ParseRecord(encoded[n:])
			if err != nil {
				return ended(EndFailed, fmt.Errorf("own record for context: %w", err))
			}
			if n > 0 && n+size > most {
				break
			}
			n += size
		}
		if !u.line.pace.wait(ctx) {
			return nil
		}
		if err := u.write(appendMessage(nil, records{encoded[:n]})); err != nil {
			return err
		}
		u.line.pace.sent(time.Now(), n)
		encoded = encoded[n:]
	}
	return nil
}

// waitForRoom waits until less than the window is in flight and returns how
// much more may be. It fails only when ctx ends.
func (u *uplink) waitForRoom(ctx context.Context) (int, error) {
	for waited := false; ; waited = true {
		u.mu.Lock()
		window, flying := u.window, u.flight.bytes
		u.mu.Unlock()
		if flying < window {
			return int(window - flying), ctx.Err()
		}
		if !waited {
			u.line.count(func(s *LinkStats) { s.Blocked++ })
		}
		select {
		case <-u.room:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// launch notes that records are on their way.
func (u *uplink) launch(last uint64, size int) {
	u.mu.Lock()
	u.flight.add(leg{through: last, bytes: uint64(size), at: time.Since(u.welcomed)})
	u.sent = last
	flying := u.flight.bytes
	u.mu.Unlock()
	u.line.count(func(s *LinkStats) {
		s.SentSeq, s.InFlight = last, flying
		s.SentBytes += uint64(size)
	})
}

func (u *uplink) write(encoded []byte) error {
	u.turn <- struct{}{}
	defer func() { <-u.turn }()
	return u.wire.write(encoded)
}

// keep pings, answers pings, and says goodbye when the client stops or its
// endpoint is no longer addr, or the stretch is delivered. It returns nil when
// live ends.
func (u *uplink) keep(live context.Context, stopSending func(), addr string) error {
	ticker := time.NewTicker(u.client.config.PingInterval)
	defer ticker.Stop()
	for {
		now, moved := u.client.target()
		if now != addr {
			return u.leave(live, stopSending, errMoved)
		}
		var err error
		select {
		case <-live.Done():
			return nil
		case <-u.ctx.Done():
			return u.leave(live, stopSending, errStopped)
		case <-u.spent:
			return u.leave(live, stopSending, errDelivered)
		case <-moved:
		case q := <-u.asked:
			err = u.write(appendMessage(nil, pong{q.sent, q.received, u.client.deps.Now().UnixNano()}))
		case <-ticker.C:
			err = u.ping()
		}
		if err != nil {
			return err
		}
	}
}

func (u *uplink) ping() error {
	sent := u.client.deps.Now().UnixNano()
	u.mu.Lock()
	u.pinged = sent
	u.mu.Unlock()
	return u.write(appendMessage(nil, ping{sent}))
}

// leave says goodbye and gives the collector StopTimeout to acknowledge what
// is in flight. It returns why, or nil when the reader has found the end.
func (u *uplink) leave(live context.Context, stopSending func(), why error) error {
	stopSending()
	u.mu.Lock()
	u.leaving = why // first: the collector may close as soon as it hears
	u.mu.Unlock()
	u.wire.lastWords(u.client.config.StopTimeout)
	select { // what the sender has in its hands goes first: nobody reads on after the goodbye
	case <-u.quiet:
	case <-live.Done():
		return nil
	}
	if err := u.write(appendMessage(nil, bye{})); err != nil {
		return why
	}
	u.mu.Lock()
	u.waved = true
	landed := u.flight.bytes == 0
	u.mu.Unlock()
	if landed {
		return why
	}
	<-live.Done()
	return nil
}
