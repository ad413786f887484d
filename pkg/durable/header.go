package durable

import (
	"encoding/binary"
	"fmt"
	"time"
)

const (
	magic      = "CLDLSLOG"
	version    = 1
	headerSize = 64
	// prelude is the part of the header that is the same in every version: magic,
	// version, and their checksum. A version is believed only if that fits, so a
	// flipped bit never looks like a file of a newer release.
	prelude = 16
)

// header is the beginning of a segment file.
type header struct {
	number uint64 // of the segment, as in its name
	salt   [8]byte
	first  uint64 // index of its first record
	// follows is the index behind the last record that counts in the segments
	// before this one. What they hold from there on was written again, here.
	follows uint64
	created time.Time
}

func (h header) append(dst []byte) []byte {
	start := len(dst)
	dst = append(dst, magic...)
	dst = binary.LittleEndian.AppendUint32(dst, version)
	dst = binary.LittleEndian.AppendUint32(dst, checksum(dst[start:]))
	dst = binary.LittleEndian.AppendUint64(dst, h.number)
	dst = append(dst, h.salt[:]...)
	dst = binary.LittleEndian.AppendUint64(dst, h.first)
	dst = binary.LittleEndian.AppendUint64(dst, h.follows)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(h.created.UnixNano()))
	dst = append(dst, 0, 0, 0, 0)
	return binary.LittleEndian.AppendUint32(dst, checksum(dst[start:]))
}

// parseHeader reads what append wrote. The error wraps ErrNewerFormat if a newer
// release wrote the file; otherwise it says what is wrong.
func parseHeader(b []byte) (header, error) {
	if len(b) < prelude {
		return header{}, fmt.Errorf("%d bytes, too short for a header", len(b))
	}
	if string(b[:8]) != magic {
		return header{}, fmt.Errorf("begins with %x, which is no segment of a log", b[:8])
	}
	if binary.LittleEndian.Uint32(b[12:]) != checksum(b[:12]) {
		return header{}, fmt.Errorf("header: checksum of the version does not match")
	}
	if v := binary.LittleEndian.Uint32(b[8:]); v > version {
		return header{}, fmt.Errorf("format %d, known is %d: %w", v, version, ErrNewerFormat)
	} else if v != version {
		return header{}, fmt.Errorf("format %d has never been", v)
	}
	if len(b) < headerSize {
		return header{}, fmt.Errorf("%d bytes, too short for a header", len(b))
	}
	if binary.LittleEndian.Uint32(b[headerSize-4:]) != checksum(b[:headerSize-4]) {
		return header{}, fmt.Errorf("header: checksum does not match")
	}
	h := header{
		number:  binary.LittleEndian.Uint64(b[16:]),
		salt:    [8]byte(b[24:]),
		first:   binary.LittleEndian.Uint64(b[32:]),
		follows: binary.LittleEndian.Uint64(b[40:]),
		created: time.Unix(0, int64(binary.LittleEndian.Uint64(b[48:]))),
	}
	if h.first == 0 || h.follows == 0 || h.follows > h.first || binary.LittleEndian.Uint32(b[56:]) != 0 {
		return header{}, fmt.Errorf("header: first record %d after %d", h.first, h.follows)
	}
	return h, nil
}
