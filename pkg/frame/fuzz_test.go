package frame

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/frame/frametest"
)

// reasons are all that an error of this package may wrap.
var reasons = []error{ErrShort, ErrChecksum, ErrVersion, ErrLimit, ErrMalformed, ErrInvalid, ErrSchema, ErrBase}

// wantReason fails unless err wraps exactly one of the reasons.
func wantReason(t *testing.T, err error) {
	t.Helper()
	n := 0
	for _, reason := range reasons {
		if errors.Is(err, reason) {
			n++
		}
	}
	if n != 1 {
		t.Errorf("error %v gives %d reasons", err, n)
	}
}

func FuzzParsePart(f *testing.F) {
	r, err := frametest.Node()
	if err != nil {
		f.Fatal(err)
	}
	for _, p := range append(r.Parts, smallPart()) {
		b, err := AppendPart(nil, p)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParsePart(b)
		if err != nil {
			wantReason(t, err)
			return
		}
		again, err := AppendPart(nil, p)
		if err != nil || !bytes.Equal(again, b) {
			t.Errorf("%x: is written as %x, error %v", b, again, err)
		}
	})
}

func FuzzParseSchema(f *testing.F) {
	f.Add(AppendSchema(nil, Schema{Parts: []PartID{{1}}}))
	f.Add(AppendSchema(nil, Schema{Parts: []PartID{{1}, {2}, {3}}}))
	f.Add(AppendSchema(nil, Schema{Parts: make([]PartID, 70)}))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := ParseSchema(b)
		if err != nil {
			wantReason(t, err)
			return
		}
		if again := AppendSchema(nil, s); !bytes.Equal(again, b) {
			t.Errorf("%x: is written as %x", b, again)
		}
	})
}

func FuzzParseRecord(f *testing.F) {
	for kind := KindPart; kind <= KindEvent; kind++ {
		f.Add(AppendRecord(nil, Record{Seq: 1 << (kind * 9), Kind: kind, Stream: 200, Payload: make([]byte, kind*60)}), false)
	}
	f.Fuzz(func(t *testing.T, b []byte, seal bool) {
		if seal && len(b) >= checksumSize { // lets the fuzzer past the checksum
			body := len(b) - checksumSize
			binary.LittleEndian.PutUint32(b[body:], checksum(b[:body]))
		}
		r, n, err := ParseRecord(b)
		if err != nil {
			wantReason(t, err)
			if n != 0 {
				t.Errorf("%x: error %v and %d bytes", b, err, n)
			}
			return
		}
		if again := AppendRecord(nil, r); !bytes.Equal(again, b[:n]) {
			t.Errorf("%x: is written as %x", b[:n], again)
		}
		if _, _, err := ParseRecord(b[:n-1]); !errors.Is(err, ErrShort) {
			t.Errorf("%x: one byte less: error %v, want %v", b[:n], err, ErrShort)
		}
	})
}

// FuzzDecode gives decoders a good key frame and then any bytes, behind a good
// header if so told.
func FuzzDecode(f *testing.F) {
	s := oddSchema(f)
	rows := walk(rand.New(rand.NewPCG(5, 5)), s, 12)
	e := NewEncoder(s.layout, s.id, 100)
	key, _ := e.Append(nil, 0, rows[0])
	first, _ := e.Append(nil, 1000, rows[1])
	header, err := Peek(first)
	if err != nil {
		f.Fatal(err)
	}
	good := first[:header.size:header.size]
	f.Add(first, false)
	for _, row := range rows[2:] {
		e = NewEncoder(s.layout, s.id, 100)
		e.Append(nil, 0, rows[0])
		frame, _ := e.Append(nil, 1000, row)
		f.Add(frame[header.size:], true)
	}
	f.Fuzz(func(t *testing.T, b []byte, headed bool) {
		if headed {
			b = append(good, b...)
		}
		d, r := NewDecoder(s.layout, s.id), newReference(t, s)
		if err := d.Decode(key); err != nil {
			t.Fatal(err)
		}
		r.decode(key)
		err := d.Decode(b)
		for i := range s.parts {
			p := NewPartDecoder(s.layout, s.id, i)
			if err := p.Decode(key); err != nil {
				t.Fatal(err)
			}
			partErr := p.Decode(b) // must not panic, whatever it makes of damage elsewhere
			from, to := s.layout.PartRange(i)
			if err == nil && (partErr != nil || !sameBits(p.Row(), d.Row()[from:to])) {
				t.Errorf("part %d: got %v and error %v, want %v", i, p.Row(), partErr, d.Row()[from:to])
			}
		}
		if err != nil {
			wantReason(t, err)
			damaged := errors.Is(d.Decode(first), ErrBase)
			if damaged != allAbsent(d.Row()) {
				t.Errorf("after error %v: refuses a delta: %v, row %v", err, damaged, d.Row())
			}
			return
		}
		if r.decode(b); !sameBits(d.Row(), r.row) {
			t.Errorf("got  %x\nreference %x", d.Row(), r.row)
		}
	})
}

// FuzzRoundTrip takes any bits for rows of several parts and scales.
func FuzzRoundTrip(f *testing.F) {
	s := newTestSchema(f, widePart("a", 3, 0), widePart("b", 9, 2), widePart("c", 1, 9), widePart("d", 65, 3))
	for seed := range uint64(4) {
		var b []byte
		for _, row := range walk(rand.New(rand.NewPCG(seed, 4)), s, 5) {
			for _, v := range row {
				b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
			}
		}
		f.Add(b, uint8(3))
	}
	f.Fuzz(func(t *testing.T, b []byte, keyEvery uint8) {
		rows := [][]float64{make([]float64, s.layout.Columns())}
		for len(b) >= 8 && len(rows) < 20 {
			row := append([]float64(nil), rows[len(rows)-1]...)
			for i := range min(len(row), len(b)/8) {
				row[i] = math.Float64frombits(binary.LittleEndian.Uint64(b[8*i:]))
			}
			b = b[min(len(b), 8*len(row)):]
			rows = append(rows, row)
		}
		s.check(t, rows, int(keyEvery)+1)
	})
}
