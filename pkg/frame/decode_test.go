package frame

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// stream is a key frame and two deltas of a random walk.
func stream(t *testing.T) (s testSchema, rows [][]float64, frames [][]byte) {
	s = oddSchema(t)
	rows = walk(rand.New(rand.NewPCG(3, 3)), s, 3)
	e := NewEncoder(s.layout, s.id, 10)
	for i, row := range rows {
		frame, _ := e.Append(nil, model.Millis(1000*i), row)
		frames = append(frames, frame)
	}
	return s, rows, frames
}

func TestADeltaNeedsItsBase(t *testing.T) {
	s, rows, frames := stream(t)
	other := NewEncoder(s.layout, s.id, 10)
	other.Append(nil, 1, rows[0])
	stranger, _ := other.Append(nil, 1000, rows[1])
	d, p := NewDecoder(s.layout, s.id), NewPartDecoder(s.layout, s.id, 3)
	from, to := s.layout.PartRange(3)
	f := func(what string, frame []byte, want error, holds int) {
		t.Helper()
		if err := d.Decode(frame); !errors.Is(err, want) {
			t.Errorf("%s: got error %v, want %v", what, err, want)
		}
		if err := p.Decode(frame); !errors.Is(err, want) {
			t.Errorf("%s: part: got error %v, want %v", what, err, want)
		}
		if holds < 0 {
			if !allAbsent(d.Row()) || !allAbsent(p.Row()) || !d.Changed(3) || !p.Changed() {
				t.Errorf("%s: got %v, want all absent", what, d.Row())
			}
			return
		}
		if !sameBits(d.Row(), rows[holds]) || !sameBits(p.Row(), rows[holds][from:to]) || d.At() != model.Millis(1000*holds) {
			t.Errorf("%s: does not hold row %d", what, holds)
		}
	}
	f("delta before any key", frames[1], ErrBase, -1)
	f("key", frames[0], nil, 0)
	f("a delta too early", frames[2], ErrBase, 0)
	f("a delta of another key", stranger, ErrBase, 0)
	f("the delta", frames[1], nil, 1)
	f("the delta again", frames[1], ErrBase, 1)
	f("a key of another schema", append([]byte{keyFrame, 1}, make([]byte, 40)...), ErrSchema, 1)
	f("another version", []byte{0x20}, ErrVersion, 1)
	f("nothing", nil, ErrMalformed, 1)
	f("half a header", frames[2][:4], ErrMalformed, 1)
	f("the next delta", frames[2], nil, 2)
	f("the key again", frames[0], nil, 0)
}

func TestDamageMakesADecoderWaitForAKey(t *testing.T) {
	s, rows, frames := stream(t)
	header, err := Peek(frames[1])
	if err != nil {
		t.Fatal(err)
	}
	f := func(what string, damaged []byte) {
		t.Helper()
		d := NewDecoder(s.layout, s.id)
		if err := d.Decode(frames[0]); err != nil {
			t.Fatal(err)
		}
		if err := d.Decode(damaged); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: got error %v, want %v", what, err, ErrMalformed)
		}
		if !allAbsent(d.Row()) || !d.Changed(0) || d.At() != 0 {
			t.Errorf("%s: row is not forgotten", what)
		}
		if err := d.Decode(frames[1]); !errors.Is(err, ErrBase) {
			t.Errorf("%s: a delta after it: got error %v, want %v", what, err, ErrBase)
		}
		if err := d.Decode(frames[0]); err != nil || !sameBits(d.Row(), rows[0]) {
			t.Errorf("%s: a key after it: got error %v", what, err)
		}
	}
	for cut := header.size; cut < len(frames[1]); cut++ {
		f("cut off", frames[1][:cut])
	}
	f("a byte too many", append(bytes.Clone(frames[1]), 0))
	spare := bytes.Clone(frames[1])
	spare[header.size+s.layout.partMap()-1] |= 0x80
	f("a part that is none", spare)
}

func TestBodiesThatNoEncoderWritesAreRefused(t *testing.T) {
	// Nine columns and two: masks of either form.
	s := newTestSchema(t, widePart("a", 9, 0), widePart("b", 2, 0))
	key := append([]byte{keyFrame, 1}, s.id[:]...)
	f := func(what string, want error, body string) {
		t.Helper()
		d := NewDecoder(s.layout, s.id)
		if err := d.Decode(append(key[:len(key):len(key)], unhex(t, body)...)); !errors.Is(err, want) {
			t.Errorf("%s: got error %v, want %v", what, err, want)
		}
	}
	f("all zero", nil, `00`)
	f("good", nil, `03 07 01 80 05 05 02 05`)
	f("no bitmap", ErrMalformed, ``)
	f("third part of two", ErrMalformed, `04 05 01 05`)
	f("column beyond a short mask", ErrMalformed, `02 05 04 05`)
	f("column beyond a long mask", ErrMalformed, `01 07 02 02 05`)
	f("mask byte beyond the columns", ErrMalformed, `01 07 04 01 05`)
	f("mask byte that is zero", ErrMalformed, `01 09 03 01 00 05`)
	f("mask cut off by the part's end", ErrMalformed, `01 03 01`)
	f("changed part without changes", ErrMalformed, `01 03 00`)
	f("changed part of no bytes", ErrMalformed, `02 01`)
	f("part longer than its values", ErrMalformed, `02 07 01 05 05`)
	f("part shorter than its values", ErrMalformed, `02 03 01 05`)
	f("length beyond the frame", ErrMalformed, `02 ff 01 05`)
	f("enormous length", ErrMalformed, `02 00 ffffffffffffffff 01 05`)
	f("value cut off", ErrMalformed, `02 05 01 02`)
	f("long value cut off", ErrMalformed, `02 05 01 00`)
	f("escape cut off", ErrMalformed, `02 05 01 01`)
	f("delta after an escape cut off", ErrMalformed, `02 07 01 01 40`)
	f("float bits cut off", ErrMalformed, `02 09 01 01 01 05`)
	f("control byte with its first bit", ErrMalformed, `02 09 01 01 80 05`)
	f("control byte with all bits", ErrMalformed, `02 09 01 01 ff 05`)
	f("more float bits than a float has", ErrMalformed, `02 0b 01 01 39 05 05`)
	f("float bits with a zero byte first", ErrMalformed, `02 0b 01 01 01 00 05`)
	f("float bits with a zero byte last", ErrMalformed, `02 0b 01 01 01 05 00`)
	f("float bits", nil, `02 0b 01 01 31 f03f`)
}

func TestPeekSaysWhatAFrameIs(t *testing.T) {
	s, _, frames := stream(t)
	f := func(frame []byte, want Header) {
		t.Helper()
		got, err := Peek(frame)
		got.size = 0
		if err != nil || got != want {
			t.Errorf("got %+v and error %v, want %+v", got, err, want)
		}
	}
	f(frames[0], Header{Key: true, Schema: s.id})
	f(frames[1], Header{At: 1000, SinceKey: 1})
	f(frames[2], Header{At: 2000, SinceKey: 2, Base: 1000})
	bad := func(b []byte, want error) {
		t.Helper()
		if h, err := Peek(b); !errors.Is(err, want) || h != (Header{}) {
			t.Errorf("%x: got %+v and error %v, want %v", b, h, err, want)
		}
	}
	bad(nil, ErrMalformed)
	bad([]byte{0x12, 1, 1, 1}, ErrVersion)
	bad([]byte{deltaFrame, 1, 1, 1}, ErrMalformed) // its own key
	bad(append([]byte{deltaFrame, 1}, append(appendVarint(nil, MaxSinceKey+1), 1)...), ErrMalformed)
	for _, frame := range frames {
		h, _ := Peek(frame)
		for cut := range h.size {
			bad(frame[:cut], ErrMalformed)
		}
	}
}

func TestRestartMakesAKeyFrame(t *testing.T) {
	s, rows, _ := stream(t)
	e := NewEncoder(s.layout, s.id, 4)
	var keys []bool
	for i := range 10 {
		if i == 6 {
			e.Restart()
		}
		_, key := e.Append(nil, 0, rows[i%3])
		keys = append(keys, key)
	}
	want := []bool{true, false, false, false, true, false, true, false, false, false}
	if diff := diffText(want, keys); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, every := range []int{-1, 0, 1} {
		e := NewEncoder(s.layout, s.id, every)
		e.Append(nil, 0, rows[0])
		if _, key := e.Append(nil, 0, rows[0]); !key {
			t.Errorf("every %d: the second frame is no key", every)
		}
	}
}

func TestARowOfAnotherLengthIsABug(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	s := oddSchema(t)
	NewEncoder(s.layout, s.id, 1).Append(nil, 0, make([]float64, 3))
}

func TestSteadyStateAllocatesNothing(t *testing.T) {
	s, rows, _ := stream(t)
	e, d, p := NewEncoder(s.layout, s.id, 5), NewDecoder(s.layout, s.id), NewPartDecoder(s.layout, s.id, 2)
	out := make([]byte, 0, s.layout.maxFrame())
	n := 0
	allocs := testing.AllocsPerRun(100, func() {
		out, _ = e.Append(out[:0], model.Millis(n), rows[n%len(rows)])
		n++
		if d.Decode(out) != nil || p.Decode(out) != nil {
			t.Error("does not decode")
		}
	})
	if allocs != 0 {
		t.Errorf("got %v allocations a frame, want 0", allocs)
	}
}
