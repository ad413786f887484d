package stream

import (
	"errors"
	"fmt"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/daemon/logkey"
)

// receive takes the collector's messages until the connection ends, and says
// why it did.
func (u *uplink) receive() error {
	defer u.wire.release()
	for {
		m, err := u.wire.readMessage()
		if err == nil {
			err = u.take(m)
		}
		if err == nil {
			continue
		}
		u.mu.Lock()
		leaving := u.leaving
		u.mu.Unlock()
		if leaving != nil {
			return leaving
		}
		return err
	}
}

// errLanded ends the reading once everything sent before the goodbye is
// acknowledged.
var errLanded = errors.New("everything is acknowledged")

func (u *uplink) take(m message) error {
	switch m := m.(type) {
	case ack:
		return u.takeAck(m)
	case window:
		u.mu.Lock()
		u.window = uint64(m.bytes)
		u.mu.Unlock()
		u.line.count(func(s *LinkStats) { s.Window = uint64(m.bytes) })
		u.openRoom()
	case ping:
		select {
		case u.asked <- question{m.sent, u.client.deps.Now().UnixNano()}:
		default: // the one before is not answered yet, and is sign of life enough
		}
	case pong:
		u.takePong(m)
	case reject:
		u.takeReject(m)
	case refuse:
		return &m.Refusal
	default:
		return ended(EndProtocol, fmt.Errorf("the collector sent a message of type %d", m.kind()))
	}
	return nil
}

func (u *uplink) takeAck(m ack) error {
	u.mu.Lock()
	if m.through <= u.acked || m.through > u.sent {
		defer u.mu.Unlock()
		return ended(EndProtocol, fmt.Errorf("acknowledgement of record %d, acknowledged %d, sent %d", m.through, u.acked, u.sent))
	}
	before := u.flight.bytes
	delay := time.Since(u.welcomed) - u.flight.release(m.through).began
	flying := u.flight.bytes
	u.acked = m.through
	landed := u.waved && flying == 0
	u.mu.Unlock()

	u.source.Acked(m.through)
	u.line.count(func(s *LinkStats) {
		s.AckedSeq, s.InFlight = m.through, flying
		s.AckedBytes += before - flying
		if flying < before {
			s.AckDelay = delay
		}
	})
	u.openRoom()
	if landed {
		return errLanded
	}
	return nil
}

func (u *uplink) openRoom() {
	select {
	case u.room <- struct{}{}:
	default:
	}
}

func (u *uplink) takePong(m pong) {
	answered := u.client.deps.Now().UnixNano()
	u.mu.Lock()
	mine := m.ping == u.pinged && m.ping != 0
	u.pinged = 0
	u.mu.Unlock()
	if !mine {
		return // late; its times are as good as none
	}
	u.client.mu.Lock()
	defer u.client.mu.Unlock()
	u.client.clock.add(exchange{m.ping, m.received, m.sent, answered})
}

func (u *uplink) takeReject(m reject) {
	cause := m.cause.known()
	u.line.count(func(s *LinkStats) {
		s.Rejected[cause] += uint64(m.records)
		s.LastReject = Refusal{Cause: cause, Text: m.text, Permanent: true}
	})
	u.source.Rejected(m.from, m.through, m.records, cause, m.text)
	u.line.log.Warn("collector gave up records", logkey.Reason, cause.String(), logkey.Seq, m.from,
		logkey.Count, m.records, logkey.Err, m.text)
}
