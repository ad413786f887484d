package frame

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Kind says what a record carries.
type Kind uint8

// The kinds of records. What an event holds is not this package's matter.
const (
	KindPart   Kind = 1
	KindSchema Kind = 2
	KindFrame  Kind = 3
	KindEvent  Kind = 4
)

func (k Kind) String() string {
	switch k {
	case KindPart:
		return "part"
	case KindSchema:
		return "schema"
	case KindFrame:
		return "frame"
	case KindEvent:
		return "event"
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

// Record is one entry of a worker's log: the same bytes in its spool, on the
// wire and in the collector's journal.
type Record struct {
	// Seq numbers the records of one worker and boot: 1, 2, 3, ... over all
	// its streams.
	Seq uint64
	// Kind says what Payload is.
	Kind Kind
	// Stream is the stream that a schema or frame belongs to, 0 for a part.
	Stream model.StreamID
	// Payload is an encoded part, schema, frame or event.
	Payload []byte
}

const (
	recordMagic  = 0xc8 // version 1; the kind in the lower three bits
	recordKinds  = 0x07
	checksumSize = 4
	// maxEnvelope bounds what a record adds to its payload, in bytes.
	maxEnvelope = 1 + maxRecordLength + maxVarint + maxStream + checksumSize
	// maxRecordLength is the longest length field: it bounds MaxRecord.
	maxRecordLength = 3
	maxStream       = 5
)

// AppendRecord appends the encoded record to dst. A kind that is none or a
// payload larger than MaxPayload is a bug of the caller and panics: every
// encoder of this package keeps below.
func AppendRecord(dst []byte, r Record) []byte {
	if r.Kind < KindPart || r.Kind > KindEvent || len(r.Payload) > MaxPayload {
		panic(fmt.Sprintf("frame: record of %v with %d bytes of payload", r.Kind, len(r.Payload)))
	}
	start := len(dst)
	var head [1 + 4*maxVarint]byte
	head[0] = recordMagic | byte(r.Kind)
	at := putVarint(head[:], 1, uint64(varintSize(r.Seq)+varintSize(uint64(r.Stream))+len(r.Payload)))
	at = putVarint(head[:], at, r.Seq)
	at = putVarint(head[:], at, uint64(r.Stream))
	dst = append(dst, head[:at]...)
	dst = append(dst, r.Payload...)
	return binary.LittleEndian.AppendUint32(dst, checksum(dst[start:]))
}

// ParseRecord is the inverse of AppendRecord. It reads the record at the
// beginning of b, whose payload then aliases b, and returns its length n. When b
// holds only the beginning of a record the error is ErrShort; anything else that
// is wrong with it will not get better with more bytes.
//
// What the payload holds is not looked at.
func ParseRecord(b []byte) (r Record, n int, err error) {
	r, body, end, err := openRecord(b)
	if err != nil {
		return Record{}, 0, err
	}
	n = end + checksumSize
	if want, got := binary.LittleEndian.Uint32(b[end:]), checksum(b[:end]); got != want {
		return Record{}, 0, fmt.Errorf("record of %d bytes: CRC-32C %08x, want %08x: %w", n, got, want, ErrChecksum)
	}
	if err := r.read(b, body, end); err != nil {
		return Record{}, 0, err
	}
	return r, n, nil
}

// PeekRecord is ParseRecord for bytes that were checked before: it does not
// compute the checksum. b is one whole record.
func PeekRecord(b []byte) (r Record, err error) {
	r, body, end, err := openRecord(b)
	if err != nil {
		return Record{}, err
	}
	if end+checksumSize != len(b) {
		return Record{}, fmt.Errorf("record of %d bytes in %d: %w", end+checksumSize, len(b), ErrMalformed)
	}
	if err := r.read(b, body, end); err != nil {
		return Record{}, err
	}
	return r, nil
}

// openRecord reads kind and length: the body of the record is b[body:end], and the
// checksum follows.
func openRecord(b []byte) (r Record, body, end int, err error) {
	if len(b) == 0 {
		return Record{}, 0, 0, ErrShort
	}
	r.Kind = Kind(b[0] & recordKinds)
	if b[0]&^recordKinds != recordMagic || r.Kind < KindPart || r.Kind > KindEvent {
		return Record{}, 0, 0, fmt.Errorf("record begins with %#x: %w", b[0], ErrVersion)
	}
	size, body := getVarint(b[:min(len(b), 1+maxRecordLength)], 1)
	switch {
	case body > 1+maxRecordLength || body <= len(b) && size > uint64(MaxRecord-body-checksumSize):
		return Record{}, 0, 0, fmt.Errorf("record longer than %d bytes: %w", MaxRecord, ErrLimit)
	case body > len(b):
		return Record{}, 0, 0, ErrShort
	case body != 1+varintSize(size):
		return Record{}, 0, 0, fmt.Errorf("record length %d in %d bytes: %w", size, body-1, ErrMalformed)
	}
	end = body + int(size)
	if end+checksumSize > len(b) {
		return Record{}, 0, 0, ErrShort
	}
	return r, body, end, nil
}

// read reads what is in the body.
func (r *Record) read(b []byte, body, end int) error {
	head := reader{b: b[:end], at: body}
	r.Seq = head.varint()
	stream := head.varint()
	if head.err != nil {
		return fmt.Errorf("record: %w", head.err)
	}
	if stream > math.MaxUint32 {
		return fmt.Errorf("record %d of stream %d: %w", r.Seq, stream, ErrMalformed)
	}
	r.Stream = model.StreamID(stream)
	r.Payload = b[head.at:end:end]
	return nil
}

// checksum is the CRC-32C, which processors compute.
func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }
