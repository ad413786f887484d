package frame

import (
	"math"
	"testing"
)

func TestVarintsComeBackInTheirShortestForm(t *testing.T) {
	f := func(u uint64, size int) {
		t.Helper()
		b := appendVarint(nil, u)
		if len(b) != size || varintSize(u) != size {
			t.Errorf("%#x: got %d bytes, said %d, want %d", u, len(b), varintSize(u), size)
		}
		for _, tail := range []string{"", "\xff", "12345678"} {
			got, next := getVarint(append(b[:len(b):len(b)], tail...), 0)
			if got != u || next != size {
				t.Errorf("%x: got %#x and %d bytes, want %#x and %d", b, got, next, u, size)
			}
		}
		for cut := range b {
			if _, next := getVarint(b[:cut], 0); next <= cut {
				t.Errorf("%x: not noticed as cut off", b[:cut])
			}
		}
	}
	f(0, 1)
	f(1<<7-1, 1)
	f(1<<7, 2)
	f(1<<14-1, 2)
	f(1<<14, 3)
	f(1<<49-1, 7)
	f(1<<49, 8)
	f(1<<56-1, 8)
	f(1<<56, 9)
	f(1<<63, 9)
	f(math.MaxUint64, 9)
	for bit := range 64 {
		f(1<<bit, min(bit/7+1, 9))
	}
}

func TestZigzagKeepsSmallNumbersSmall(t *testing.T) {
	for d, u := range map[int64]uint64{0: 0, -1: 1, 1: 2, -2: 3, math.MaxInt64: math.MaxUint64 - 1, math.MinInt64: math.MaxUint64} {
		if zigzag(d) != u || unzigzag(u) != d {
			t.Errorf("%d: got %d and back %d, want %d", d, zigzag(d), unzigzag(u), u)
		}
	}
}

func TestMasksComeBack(t *testing.T) {
	f := func(mask uint64, columns, size int) {
		t.Helper()
		var buf [9]byte
		n := putMask(buf[:], 0, mask, columns)
		if got, next := getMask(buf[:n], 0, columns); got != mask || n != size || next != n {
			t.Errorf("%#x of %d columns: got %#x and %d of %d bytes", mask, columns, got, next, n)
		}
		for cut := range n {
			if _, next := getMask(buf[:cut], 0, columns); next <= cut {
				t.Errorf("%x: not noticed as cut off", buf[:cut])
			}
		}
	}
	f(0, 8, 1)
	f(0x81, 8, 1)
	f(0, 9, 1)
	f(0x100, 9, 2)
	f(0x8000000000000001, 64, 3)
	f(math.MaxUint64, 64, 9)
	if _, next := getMask([]byte{0x03, 0x01, 0x00}, 0, 64); next <= 3 {
		t.Error("an empty byte of a mask is accepted")
	}
}
