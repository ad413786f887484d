package stream

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// ALPN names the protocol in the TLS handshake.
const ALPN = "cloudless-frame/1"

// version is what a hello and a welcome say. Within one ALPN name it is raised
// for additions that the other side must know.
const version = 2

// kind is the type of a message.
type kind uint8

const (
	kindHello   kind = 1
	kindWelcome kind = 2
	kindRecords kind = 3
	kindAck     kind = 4
	kindRefuse  kind = 5
	kindWindow  kind = 6
	kindPing    kind = 7
	kindPong    kind = 8
	kindBye     kind = 9
	kindReject  kind = 10
)

const (
	headerSize = 4
	// maxOffered bounds the parts of a hello. Those beyond are sent without
	// being offered.
	maxOffered = 1 << 14
	// maxBody is the longest body: one record of maximal size.
	maxBody = frame.MaxRecord

	helloSize   = 1 + 1 + 16 + 16 + 8 + 8 + 8 + 2
	helloOld    = 43 // of version 1: the version of a shorter one is not read
	welcomeSize = 1 + 8 + 4 + 8 + 8 + 2
	refuseSize  = 1 + 1 + 4
	rejectSize  = 1 + 8 + 8 + 4
)

// The reasons for which a message is refused.
var (
	errShort     = errors.New("message goes on")
	errMalformed = errors.New("malformed message")
	errVersion   = errors.New("unknown protocol version")
)

// message is one of the types below, by value.
type message interface {
	kind() kind
	appendBody(dst []byte) []byte
}

type (
	hello struct {
		role        role
		session     model.BootID // the process that speaks
		boot        model.BootID // the one whose records come
		first, next uint64
		clock       int64 // when it was sent
		parts       []frame.PartID
	}
	welcome struct {
		resume         uint64
		window         uint32
		received, sent int64
		wanted         []bool // one for each part of the hello
	}
	records struct{ raw []byte } // aliases what was parsed
	ack     struct{ through uint64 }
	refuse  struct{ Refusal }
	window  struct{ bytes uint32 }
	ping    struct{ sent int64 }
	pong    struct{ ping, received, sent int64 }
	bye     struct{}
	reject  struct {
		cause         Cause
		from, through uint64
		records       uint32
		text          string
	}
)

func (hello) kind() kind   { return kindHello }
func (welcome) kind() kind { return kindWelcome }
func (records) kind() kind { return kindRecords }
func (ack) kind() kind     { return kindAck }
func (refuse) kind() kind  { return kindRefuse }
func (window) kind() kind  { return kindWindow }
func (ping) kind() kind    { return kindPing }
func (pong) kind() kind    { return kindPong }
func (bye) kind() kind     { return kindBye }
func (reject) kind() kind  { return kindReject }

// bodyBounds returns how short and how long a body of the kind can be. A
// header is judged by it before anything is allocated.
func bodyBounds(k kind) (least, most int, ok bool) {
	switch k {
	case kindHello:
		return helloOld, helloSize + 16*maxOffered, true
	case kindWelcome:
		return welcomeSize, welcomeSize + maxOffered/8, true
	case kindRecords:
		return 1, maxBody, true
	case kindAck, kindPing:
		return 8, 8, true
	case kindRefuse:
		return refuseSize, refuseSize + MaxText, true
	case kindWindow:
		return 4, 4, true
	case kindPong:
		return 24, 24, true
	case kindBye:
		return 0, 0, true
	case kindReject:
		return rejectSize, rejectSize + MaxText, true
	}
	return 0, 0, false
}

// appendMessage appends the encoded message to dst.
func appendMessage(dst []byte, m message) []byte {
	start := len(dst)
	dst = append(dst, make([]byte, headerSize)...)
	dst = m.appendBody(dst)
	putHeader(dst[start:], m.kind())
	return dst
}

// putHeader fills in the header of a message that stands alone in b, its first
// headerSize bytes free.
func putHeader(b []byte, k kind) {
	length := len(b) - headerSize
	if _, most, _ := bodyBounds(k); length > most {
		panic(fmt.Sprintf("stream: message of type %d with a body of %d bytes", k, length))
	}
	b[0], b[1], b[2], b[3] = byte(k), byte(length), byte(length>>8), byte(length>>16)
}

// parseHeader returns what kind of body follows, and how many bytes of it.
func parseHeader(b [headerSize]byte) (k kind, length int, err error) {
	k, length = kind(b[0]), int(b[1])|int(b[2])<<8|int(b[3])<<16
	least, most, ok := bodyBounds(k)
	if !ok {
		return 0, 0, fmt.Errorf("message of type %d: %w", k, errMalformed)
	}
	if length < least || length > most {
		return 0, 0, fmt.Errorf("message of type %d with a body of %d bytes, want %d to %d: %w", k, length, least, most, errMalformed)
	}
	return k, length, nil
}

// parseMessage reads the message at the beginning of b and says how long it is.
func parseMessage(b []byte) (m message, n int, err error) {
	if len(b) < headerSize {
		return nil, 0, errShort
	}
	k, length, err := parseHeader([headerSize]byte(b))
	if err != nil {
		return nil, 0, err
	}
	if len(b) < headerSize+length {
		return nil, 0, errShort
	}
	m, err = parseBody(k, b[headerSize:headerSize+length])
	return m, headerSize + length, err
}

// parseBody reads a body whose length parseHeader has accepted.
func parseBody(k kind, b []byte) (message, error) {
	switch k {
	case kindHello:
		return parseHello(b)
	case kindWelcome:
		return parseWelcome(b)
	case kindRecords:
		return records{b}, nil
	case kindAck:
		return ack{binary.LittleEndian.Uint64(b)}, nil
	case kindRefuse:
		return parseRefuse(b)
	case kindWindow:
		return window{binary.LittleEndian.Uint32(b)}, nil
	case kindPing:
		return ping{int64(binary.LittleEndian.Uint64(b))}, nil
	case kindPong:
		return pong{int64(binary.LittleEndian.Uint64(b)), int64(binary.LittleEndian.Uint64(b[8:])),
			int64(binary.LittleEndian.Uint64(b[16:]))}, nil
	case kindBye:
		return bye{}, nil
	case kindReject:
		return parseReject(b)
	}
	return nil, fmt.Errorf("message of type %d: %w", k, errMalformed)
}

func (m records) appendBody(dst []byte) []byte { return append(dst, m.raw...) }
func (m ack) appendBody(dst []byte) []byte {
	return binary.LittleEndian.AppendUint64(dst, m.through)
}
func (m window) appendBody(dst []byte) []byte { return binary.LittleEndian.AppendUint32(dst, m.bytes) }
func (m ping) appendBody(dst []byte) []byte   { return appendClock(dst, m.sent) }
func (m pong) appendBody(dst []byte) []byte {
	return appendClock(appendClock(appendClock(dst, m.ping), m.received), m.sent)
}
func (m bye) appendBody(dst []byte) []byte { return dst }

func appendClock(dst []byte, nanoseconds int64) []byte {
	return binary.LittleEndian.AppendUint64(dst, uint64(nanoseconds))
}

// millis gives a duration as the wire has it: whole milliseconds in 32 bits.
func millis(d time.Duration) uint32 {
	return uint32(min(max(d.Milliseconds(), 0), 1<<32-1))
}

// clipText makes text fit a message: valid UTF-8, at most MaxText bytes.
func clipText(text string) string {
	return strings.ToValidUTF8(text[:min(len(text), MaxText)], "")
}
