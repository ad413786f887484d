package boltfile

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"math"
)

// Of a stored value; the package comment draws it.
const (
	ValueVersion = 1
	ValueHeader  = 5        // bytes before the content
	MaxValue     = 64 << 10 // bytes with the header. The bounds of whatever is stored are to be far below
)

// AppendValue appends the stored form of content.
func AppendValue(dst, content []byte) []byte {
	dst = append(dst, ValueVersion)
	dst = binary.BigEndian.AppendUint32(dst, crc32.Checksum(content, crc32.MakeTable(crc32.Castagnoli)))
	return append(dst, content...)
}

// OpenValue checks the header and returns the content, a part of b. Errors wrap
// ErrDamaged or ErrNewerFormat.
func OpenValue(b []byte) ([]byte, error) {
	switch {
	case len(b) < ValueHeader || len(b) > MaxValue || b[0] == 0:
		return nil, fmt.Errorf("%w: %d bytes are not a value", ErrDamaged, len(b))
	case b[0] > ValueVersion:
		return nil, fmt.Errorf("%w: version %d, known is %d", ErrNewerFormat, b[0], ValueVersion)
	}
	sum, content := binary.BigEndian.Uint32(b[1:ValueHeader]), b[ValueHeader:]
	if sum != crc32.Checksum(content, crc32.MakeTable(crc32.Castagnoli)) {
		return nil, fmt.Errorf("%w: checksum does not match", ErrDamaged)
	}
	return content, nil
}

// AppendJSON appends the stored form of a value's JSON.
func AppendJSON(dst []byte, value any) ([]byte, error) {
	text, err := json.Marshal(value)
	if err != nil {
		return dst, err
	}
	return AppendValue(dst, text), nil
}

// OpenJSON reads what AppendJSON wrote. Errors wrap ErrDamaged or ErrNewerFormat.
func OpenJSON(b []byte, into any) error {
	content, err := OpenValue(b)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(content, into); err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return nil
}

// lastMilli is the last time, in Unix milliseconds, that can be computed with:
// in the year 2262.
const lastMilli = int64(math.MaxInt64) / 1e6

// CheckMillis refuses stored times, in Unix milliseconds, that cannot be computed
// with.
func CheckMillis(times ...int64) error {
	for _, ms := range times {
		if ms < 0 || ms > lastMilli {
			return fmt.Errorf("time %d ms", ms)
		}
	}
	return nil
}
