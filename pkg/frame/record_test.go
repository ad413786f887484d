package frame

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"testing"
)

func TestRecordsComeBackOneAfterTheOther(t *testing.T) {
	records := []Record{
		{Seq: 1, Kind: KindPart, Payload: []byte{}},
		{Seq: 2, Kind: KindSchema, Stream: 1, Payload: []byte("s")},
		{Seq: 1 << 40, Kind: KindFrame, Stream: math.MaxUint32, Payload: bytes.Repeat([]byte("f"), 300)},
		{Seq: math.MaxUint64, Kind: KindEvent, Stream: 3, Payload: make([]byte, MaxPayload)},
	}
	var b []byte
	for _, r := range records {
		before := len(b)
		b = AppendRecord(b, r)
		if size := len(b) - before; size > MaxRecord {
			t.Errorf("record %d: %d bytes", r.Seq, size)
		}
	}
	for _, want := range records {
		got, n, err := ParseRecord(b)
		if err != nil {
			t.Fatalf("record %d: %v", want.Seq, err)
		}
		if !bytes.Equal(got.Payload, want.Payload) {
			t.Errorf("record %d: another payload", want.Seq)
		}
		got.Payload, want.Payload = nil, nil
		if diff := diffText(want, got); diff != "" {
			t.Errorf("record %d (-want +got):\n%s", want.Seq, diff)
		}
		b = b[n:]
	}
	if len(b) != 0 {
		t.Errorf("%d bytes left", len(b))
	}
}

func TestTheBeginningOfARecordIsShort(t *testing.T) {
	for _, size := range []int{0, 1, 60, 70, 20000} {
		b := AppendRecord(nil, Record{Seq: 9, Kind: KindFrame, Stream: 1, Payload: make([]byte, size)})
		for cut := range b {
			if _, n, err := ParseRecord(b[:cut]); !errors.Is(err, ErrShort) || n != 0 {
				t.Fatalf("%d of %d bytes: got %d and error %v, want %v", cut, len(b), n, err, ErrShort)
			}
		}
	}
}

func TestEveryFlippedBitOfARecordIsNoticed(t *testing.T) {
	good := AppendRecord(nil, Record{Seq: 300, Kind: KindFrame, Stream: 2, Payload: []byte("payload")})
	for i := range good {
		for bit := range 8 {
			bad := bytes.Clone(good)
			bad[i] ^= 1 << bit
			if r, _, err := ParseRecord(bad); err == nil {
				t.Errorf("byte %d, bit %d: got %+v", i, bit, r)
			}
		}
	}
}

// sealed puts the right checksum behind b.
func sealed(b ...byte) []byte { return binary.LittleEndian.AppendUint32(b, checksum(b)) }

func TestRecordsThatNoEncoderWritesAreRefused(t *testing.T) {
	f := func(what string, want error, b []byte) {
		t.Helper()
		if _, n, err := ParseRecord(b); !errors.Is(err, want) || n != 0 && want != nil {
			t.Errorf("%s: got %d bytes and error %v, want %v", what, n, err, want)
		}
	}
	f("good", nil, sealed(0xc9, 0x05, 0x03, 0x01))
	f("kind 0", ErrVersion, sealed(0xc8, 0x05, 0x03, 0x01))
	f("kind 5", ErrVersion, sealed(0xcd, 0x05, 0x03, 0x01))
	f("another version", ErrVersion, sealed(0xd1, 0x05, 0x03, 0x01))
	f("text", ErrVersion, []byte("GET / HTTP/1.1"))
	f("a long length", ErrMalformed, sealed(0xc9, 0x0a, 0x00, 0x03, 0x01))
	f("a long number", ErrMalformed, sealed(0xc9, 0x07, 0x06, 0x00, 0x01))
	f("no stream", ErrMalformed, sealed(0xc9, 0x03, 0x03))
	f("nothing", ErrMalformed, sealed(0xc9, 0x01))
	f("stream beyond 32 bits", ErrMalformed, sealed(append([]byte{0xc9, 0x0d, 0x03}, appendVarint(nil, 1<<32)...)...))
	f("too long", ErrLimit, append([]byte{0xc9}, appendVarint(nil, MaxRecord)...))
	f("far too long, after its first byte of length", ErrLimit, []byte{0xc9, 0x08})
}

func TestARecordWithoutAKindIsABug(t *testing.T) {
	for _, r := range []Record{{Seq: 1}, {Seq: 1, Kind: 5}, {Seq: 1, Kind: KindFrame, Payload: make([]byte, MaxPayload+1)}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("kind %v, %d bytes: no panic", r.Kind, len(r.Payload))
				}
			}()
			AppendRecord(nil, r)
		}()
	}
}
