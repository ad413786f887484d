package block

import (
	"encoding/binary"
	"fmt"
)

// reader takes a section apart. The first thing wrong sticks; afterwards all
// methods return zeros.
type reader struct {
	b   []byte
	at  int
	bad string
}

func (r *reader) fail(format string, args ...any) {
	if r.bad == "" {
		r.bad = fmt.Sprintf(format, args...) + fmt.Sprintf(", before byte %d of it", r.at)
	}
}

// bytes returns the next n bytes, which alias the input; nil when they are not there.
func (r *reader) bytes(n int) []byte {
	if r.bad == "" && len(r.b)-r.at < n {
		r.fail("%d bytes left, want %d", len(r.b)-r.at, n)
	}
	if r.bad != "" {
		return nil
	}
	r.at += n
	return r.b[r.at-n : r.at]
}

func (r *reader) byte() byte {
	if b := r.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) word() uint64 {
	if b := r.bytes(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

func (r *reader) half() uint32 {
	if b := r.bytes(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (r *reader) varint() uint64 {
	if r.bad != "" {
		return 0
	}
	if r.at < len(r.b) && r.b[r.at] < 0x80 {
		r.at++
		return uint64(r.b[r.at-1])
	}
	u, n := binary.Uvarint(r.b[r.at:])
	if n <= 0 {
		r.fail("number cut off or too long")
		return 0
	}
	r.at += n
	return u
}

func (r *reader) signed() int64 { return unzigzag(r.varint()) }

// count reads a number that is at most most, and with which as many things of
// at least size bytes follow: it may be allocated for.
func (r *reader) count(most, size int) int {
	u := r.varint()
	if r.bad == "" && (u > uint64(most) || size > 0 && u > uint64((len(r.b)-r.at)/size)) {
		r.fail("count of %d", u)
	}
	if r.bad != "" {
		return 0
	}
	return int(u)
}

// end reports the first thing wrong, or that bytes are left over.
func (r *reader) end() string {
	if r.bad == "" && r.at != len(r.b) {
		r.fail("%d bytes too many", len(r.b)-r.at)
	}
	return r.bad
}

// zigzag maps small integers of either sign to small unsigned ones.
func zigzag(d int64) uint64 { return uint64(d)<<1 ^ uint64(d>>63) }

// unzigzag is the inverse of zigzag.
func unzigzag(u uint64) int64 { return int64(u>>1) ^ -int64(u&1) }
