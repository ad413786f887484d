package stream

import (
	"encoding/binary"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// role says what a connection is for.
type role uint8

const (
	roleLive     role = 1 // records of the process that speaks, as they come
	roleBackfill role = 2 // records that were left behind, up to the end of a stretch
)

var roleNames = [...]string{"unknown", roleLive: "live", roleBackfill: "backfill"}

func (r role) String() string { return roleNames[r] }

func (m hello) appendBody(dst []byte) []byte {
	dst = append(dst, version, byte(m.role))
	dst = append(dst, m.session[:]...)
	dst = append(dst, m.boot[:]...)
	dst = binary.LittleEndian.AppendUint64(dst, m.first)
	dst = binary.LittleEndian.AppendUint64(dst, m.next)
	dst = appendClock(dst, m.clock)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(m.parts)))
	for _, id := range m.parts {
		dst = append(dst, id[:]...)
	}
	return dst
}

func parseHello(b []byte) (message, error) {
	if b[0] != version {
		return nil, fmt.Errorf("%w: the worker speaks version %d, the collector version %d; update the older of the two", errVersion, b[0], version)
	}
	if len(b) < helloSize {
		return nil, fmt.Errorf("hello of %d bytes: %w", len(b), errMalformed)
	}
	m := hello{role: role(b[1]), session: model.BootID(b[2:18]), boot: model.BootID(b[18:34]), first: binary.LittleEndian.Uint64(b[34:]),
		next: binary.LittleEndian.Uint64(b[42:]), clock: int64(binary.LittleEndian.Uint64(b[50:]))}
	n, ids := int(binary.LittleEndian.Uint16(b[58:])), b[helloSize:]
	if len(ids) != 16*n {
		return nil, fmt.Errorf("hello of %d parts in %d bytes: %w", n, len(ids), errMalformed)
	}
	if err := m.check(); err != nil {
		return nil, err
	}
	m.parts = make([]frame.PartID, n)
	for i := range m.parts {
		m.parts[i] = frame.PartID(ids[16*i:])
	}
	return m, nil
}

// check says what is wrong with what a hello says of itself.
func (m hello) check() error {
	switch {
	case m.role != roleLive && m.role != roleBackfill:
		return fmt.Errorf("hello of role %d: %w", m.role, errMalformed)
	case m.session.IsZero() || m.boot.IsZero() || m.role == roleLive && m.session != m.boot:
		return fmt.Errorf("%v hello of process %v, records of %v: %w", m.role, m.session, m.boot, errMalformed)
	case m.first == 0 || m.first > m.next || m.role == roleBackfill && m.first == m.next:
		return fmt.Errorf("%v hello of records %d to before %d: %w", m.role, m.first, m.next, errMalformed)
	}
	return nil
}

func (m welcome) appendBody(dst []byte) []byte {
	dst = append(dst, version)
	dst = binary.LittleEndian.AppendUint64(dst, m.resume)
	dst = binary.LittleEndian.AppendUint32(dst, m.window)
	dst = appendClock(appendClock(dst, m.received), m.sent)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(m.wanted)))
	bits := make([]byte, (len(m.wanted)+7)/8)
	for i, wanted := range m.wanted {
		if wanted {
			bits[i/8] |= 1 << (i % 8)
		}
	}
	return append(dst, bits...)
}

func parseWelcome(b []byte) (message, error) {
	if b[0] != version {
		return nil, fmt.Errorf("welcome of version %d, want %d: %w", b[0], version, errVersion)
	}
	m := welcome{resume: binary.LittleEndian.Uint64(b[1:]), window: binary.LittleEndian.Uint32(b[9:]),
		received: int64(binary.LittleEndian.Uint64(b[13:])), sent: int64(binary.LittleEndian.Uint64(b[21:]))}
	n, bits := int(binary.LittleEndian.Uint16(b[29:])), b[welcomeSize:]
	if n > maxOffered || len(bits) != (n+7)/8 || n%8 != 0 && bits[len(bits)-1]>>(n%8) != 0 {
		return nil, fmt.Errorf("welcome for %d parts in %d bytes: %w", n, len(bits), errMalformed)
	}
	m.wanted = make([]bool, n)
	for i := range m.wanted {
		m.wanted[i] = bits[i/8]>>(i%8)&1 != 0
	}
	return m, nil
}

func (m refuse) appendBody(dst []byte) []byte {
	permanent := byte(0)
	if m.Permanent {
		permanent = 1
	}
	dst = append(dst, byte(m.Cause), permanent)
	dst = binary.LittleEndian.AppendUint32(dst, millis(m.RetryAfter))
	return append(dst, clipText(m.Text)...)
}

func parseRefuse(b []byte) (message, error) {
	text := b[refuseSize:]
	if b[1] > 1 || !utf8.Valid(text) {
		return nil, fmt.Errorf("refusal: %w", errMalformed)
	}
	return refuse{Refusal{Cause: Cause(b[0]), Permanent: b[1] == 1, Text: string(text),
		RetryAfter: time.Duration(binary.LittleEndian.Uint32(b[2:])) * time.Millisecond}}, nil
}

func (m reject) appendBody(dst []byte) []byte {
	dst = append(dst, byte(m.cause))
	dst = binary.LittleEndian.AppendUint64(dst, m.from)
	dst = binary.LittleEndian.AppendUint64(dst, m.through)
	dst = binary.LittleEndian.AppendUint32(dst, m.records)
	return append(dst, clipText(m.text)...)
}

func parseReject(b []byte) (message, error) {
	m := reject{cause: Cause(b[0]), from: binary.LittleEndian.Uint64(b[1:]), through: binary.LittleEndian.Uint64(b[9:]),
		records: binary.LittleEndian.Uint32(b[17:]), text: string(b[rejectSize:])}
	if m.from > m.through || m.records == 0 || uint64(m.records)-1 > m.through-m.from || !utf8.ValidString(m.text) {
		return nil, fmt.Errorf("rejection of %d records, %d to %d: %w", m.records, m.from, m.through, errMalformed)
	}
	return m, nil
}
