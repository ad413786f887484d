package frame

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/frame/frametest"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

const goldenState = `
	12 20b33c7000d1 03                   | held: at 1795311040870, 1 since key
	03                                   | parts 0 and 1
	0b 05 445210 0d                      | 5 bytes; columns 0, 2: +66852, +3
	09 02 01 0280                        | 4 bytes; column 8: +4096`

func TestGoldenState(t *testing.T) {
	l := layoutOf(t, smallPart(), widePart("w", 9, 0))
	d := NewDecoder(l, SchemaID(unhex(t, goldenID)))
	wantBytes(t, "state of a new decoder", d.AppendState(nil), "13 01")
	for _, frame := range []string{goldenKey, goldenDelta} {
		if err := d.Decode(unhex(t, frame)); err != nil {
			t.Fatal(err)
		}
	}
	state := d.AppendState([]byte("kept"))
	wantBytes(t, "state", state[len("kept"):], goldenState)
	again := NewDecoder(l, SchemaID(unhex(t, goldenID)))
	if err := again.SetState(unhex(t, goldenState)); err != nil {
		t.Fatal(err)
	}
	if !again.Changed(0) || !again.Changed(1) {
		t.Error("nothing counts as changed")
	}
	for _, frame := range []string{goldenSame, goldenOdd} {
		if err := again.Decode(unhex(t, frame)); err != nil {
			t.Error(err)
		}
	}
	// What it held before the last damage is told of a decoder that waits: the time.
	again.Decode(append(unhex(t, goldenKey), 0))
	wantBytes(t, "state after damage", again.AppendState(nil), "13 209b407000d1")
	if err := again.SetState(unhex(t, "13 209b407000d1")); err != nil || again.At() != 1795311042870 || !allAbsent(again.Row()) {
		t.Errorf("at %d, row %v, error %v", again.At(), again.Row(), err)
	}
	if err := again.Decode(unhex(t, goldenSame)); !errors.Is(err, ErrBase) {
		t.Errorf("a delta frame for who waits: %v", err)
	}
}

// TestAStateIsWhereADecoderStands gives the state after every frame to fresh
// decoders, which take all that follows.
func TestAStateIsWhereADecoderStands(t *testing.T) {
	s := oddSchema(t)
	rows := walk(rand.New(rand.NewPCG(8, 1)), s, 12)
	e, d := NewEncoder(s.layout, s.id, 5), NewDecoder(s.layout, s.id)
	var frames [][]byte
	for i, row := range rows {
		frame, _ := e.Append(nil, model.Millis(i*1000), row)
		frames = append(frames, frame)
	}
	for n, frame := range frames {
		if err := d.Decode(frame); err != nil {
			t.Fatal(err)
		}
		state := d.AppendState(nil)
		key, _ := NewEncoder(s.layout, s.id, 1).Append(nil, 0, rows[n])
		h, _ := Peek(key)
		if _, body, err := parseState(state); err != nil || !bytes.Equal(state[body:], key[h.size:]) {
			t.Fatalf("frame %d: the row is not that of a key frame, error %v", n, err)
		}
		again := NewDecoder(s.layout, s.id)
		if err := again.SetState(state); err != nil || !sameBits(again.Row(), rows[n]) || again.At() != d.At() {
			t.Fatalf("frame %d: got %v at %d, error %v", n, again.Row(), again.At(), err)
		}
		if !bytes.Equal(again.AppendState(nil), state) {
			t.Errorf("frame %d: another state", n)
		}
		var parts []*PartDecoder
		for i := range s.parts {
			p := NewPartDecoder(s.layout, s.id, i)
			if err := p.SetState(state); err != nil || !p.Changed() {
				t.Fatalf("frame %d, part %d: %v", n, i, err)
			}
			parts = append(parts, p)
		}
		for after := n; after < len(frames); after++ {
			if after > n {
				if err := again.Decode(frames[after]); err != nil {
					t.Fatalf("frame %d after %d: %v", after, n, err)
				}
			}
			if !sameBits(again.Row(), rows[after]) {
				t.Fatalf("frame %d after %d: another row", after, n)
			}
			for i, p := range parts {
				if after > n {
					if err := p.Decode(frames[after]); err != nil {
						t.Fatalf("frame %d after %d, part %d: %v", after, n, i, err)
					}
				}
				from, to := s.layout.PartRange(i)
				if !sameBits(p.Row(), rows[after][from:to]) {
					t.Fatalf("frame %d after %d, part %d: another row", after, n, i)
				}
			}
		}
	}
}

func TestWhatIsNoStateIsRefused(t *testing.T) {
	l := layoutOf(t, smallPart(), widePart("w", 9, 0))
	good := unhex(t, goldenState)
	f := func(what string, state []byte, want error) {
		t.Helper()
		d := NewDecoder(l, SchemaID{})
		if err := d.SetState(good); err != nil {
			t.Fatal(err)
		}
		err := d.SetState(state)
		if !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", what, err, want)
		}
		if kept := sameBits(d.Row(), []float64{668.52, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 4096}); !kept && !allAbsent(d.Row()) {
			t.Errorf("%s: leaves %v", what, d.Row())
		}
	}
	for cut := range good {
		f("cut off", good[:cut], ErrMalformed)
	}
	f("too long", append(good, 0), ErrMalformed)
	f("a frame", unhex(t, goldenKey), ErrVersion)
	f("another version", append([]byte{0x22}, good[1:]...), ErrVersion)
	f("waiting, and more", unhex(t, "13 01 01"), ErrMalformed)
	f("too many since key", unhex(t, "12 01 08000001 00"), ErrMalformed)
}

func TestStatesOfADecoderNeedNoMemory(t *testing.T) {
	s := oddSchema(t)
	row := walk(rand.New(rand.NewPCG(8, 2)), s, 1)[0]
	frame, _ := NewEncoder(s.layout, s.id, 1).Append(nil, 0, row)
	d := NewDecoder(s.layout, s.id)
	if err := d.Decode(frame); err != nil {
		t.Fatal(err)
	}
	var state []byte
	if n := testing.AllocsPerRun(100, func() {
		state = d.AppendState(state[:0])
		if err := d.SetState(state); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzSetState gives decoders any bytes as a state, behind a good header if so told.
// What a decoder takes, it gives again, up to the way it is written.
func FuzzSetState(f *testing.F) {
	s := oddSchema(f)
	rows := walk(rand.New(rand.NewPCG(6, 6)), s, 6)
	e, d := NewEncoder(s.layout, s.id, 3), NewDecoder(s.layout, s.id)
	f.Add(d.AppendState(nil), false)
	for i, row := range rows {
		frame, _ := e.Append(nil, model.Millis(i*1000), row)
		if err := d.Decode(frame); err != nil {
			f.Fatal(err)
		}
		state := d.AppendState(nil)
		_, body, _ := parseState(state)
		f.Add(state, false)
		f.Add(state[body:], true)
	}
	header := unhexState
	f.Fuzz(func(t *testing.T, b []byte, behind bool) {
		if behind {
			b = append(append([]byte{}, header...), b...)
		}
		d := NewDecoder(s.layout, s.id)
		err := d.SetState(b)
		for i := range s.parts {
			p := NewPartDecoder(s.layout, s.id, i)
			partErr := p.SetState(b) // must not panic, whatever it makes of damage elsewhere
			from, to := s.layout.PartRange(i)
			if err == nil && (partErr != nil || !sameBits(p.Row(), d.Row()[from:to])) {
				t.Errorf("part %d: got %v and error %v, want %v", i, p.Row(), partErr, d.Row()[from:to])
			}
		}
		if err != nil {
			wantReason(t, err)
			if !allAbsent(d.Row()) {
				t.Errorf("after error %v: row %v", err, d.Row())
			}
			return
		}
		again := NewDecoder(s.layout, s.id)
		if err := again.SetState(d.AppendState(nil)); err != nil || !sameBits(again.Row(), d.Row()) || again.base != d.base {
			t.Errorf("got %v %v, error %v, want %v %v", again.base, again.Row(), err, d.base, d.Row())
		}
	})
}

// unhexState is the header of a state: at 1000, 2 since key.
var unhexState = []byte{heldState, 0x42, 0x1f, 0x05}

func TestPeekRecordIsParseRecordWithoutTheSum(t *testing.T) {
	good := unhex(t, goldenRecord)
	want, _, err := ParseRecord(good)
	if err != nil {
		t.Fatal(err)
	}
	got, err := PeekRecord(good)
	if diff := diffText(want, got); err != nil || diff != "" {
		t.Errorf("error %v (-want +got):\n%s", err, diff)
	}
	bad := bytes.Clone(good)
	bad[len(bad)-1]++
	if _, err := PeekRecord(bad); err != nil {
		t.Errorf("the sum: %v", err)
	}
	for cut := range good {
		if _, err := PeekRecord(good[:cut]); !errors.Is(err, ErrShort) {
			t.Errorf("%d bytes: %v", cut, err)
		}
	}
	if _, err := PeekRecord(append(good, 0)); !errors.Is(err, ErrMalformed) {
		t.Errorf("a byte too many: %v", err)
	}
}

// BenchmarkState takes down where the decoder of a host stands, and makes another one
// stand there.
func BenchmarkState(b *testing.B) {
	r, err := frametest.Node()
	if err != nil {
		b.Fatal(err)
	}
	l, err := NewLayout(r.Parts)
	if err != nil {
		b.Fatal(err)
	}
	d := NewDecoder(l, SchemaID{1})
	for _, frame := range encodeAll(r, l, benchKeyEvery)[:30] {
		if err := d.Decode(frame); err != nil {
			b.Fatal(err)
		}
	}
	var state []byte
	b.Run("append", func(b *testing.B) {
		b.ReportAllocs()
		start := cpuTime(b)
		for b.Loop() {
			state = d.AppendState(state[:0])
		}
		report(b, l, start, b.N*len(state))
	})
	b.Run("set", func(b *testing.B) {
		b.ReportAllocs()
		start := cpuTime(b)
		for b.Loop() {
			if err := d.SetState(state); err != nil {
				b.Fatal(err)
			}
		}
		report(b, l, start, 0)
	})
}
