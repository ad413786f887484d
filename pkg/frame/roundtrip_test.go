package frame

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// testSchema is parts with their layout.
type testSchema struct {
	parts  []model.Part
	layout *Layout
	id     SchemaID
}

func newTestSchema(tb testing.TB, parts ...model.Part) testSchema {
	return testSchema{parts: parts, layout: layoutOf(tb, parts...), id: SchemaID{0xaa, byte(len(parts))}}
}

// oddSchema has parts of every size around the limits of masks and blocks, and
// every scale.
func oddSchema(tb testing.TB) testSchema {
	var parts []model.Part
	for i, columns := range []int{1, 7, 8, 9, 2, 63, 64, 65, 3, 128, 130, 1} {
		parts = append(parts, widePart(string(rune('a'+i)), columns, uint8(i%(MaxScale+1))))
	}
	return newTestSchema(tb, parts...)
}

// check encodes rows and holds what all decoders make of them against the rows.
func (s testSchema) check(tb testing.TB, rows [][]float64, keyEvery int) {
	tb.Helper()
	e, d, r := NewEncoder(s.layout, s.id, keyEvery), NewDecoder(s.layout, s.id), newReference(tb, s)
	var parts []*PartDecoder
	for i := range s.parts {
		parts = append(parts, NewPartDecoder(s.layout, s.id, i))
	}
	for n, row := range rows {
		at := model.Millis(n * 1000)
		frame, key := e.Append(nil, at, row)
		if want := n%keyEvery == 0; key != want {
			tb.Errorf("frame %d: key %v, want %v", n, key, want)
		}
		if err := d.Decode(frame); err != nil {
			tb.Fatalf("frame %d %x: %v", n, frame, err)
		}
		r.decode(frame)
		if !sameBits(d.Row(), row) || !sameBits(r.row, row) || d.At() != at {
			tb.Fatalf("frame %d %x:\ngot       %x at %d\nreference %x\nwant      %x at %d", n, frame, d.Row(), d.At(), r.row, row, at)
		}
		for i, p := range parts {
			from, to := s.layout.PartRange(i)
			if err := p.Decode(frame); err != nil {
				tb.Fatalf("frame %d %x, part %d: %v", n, frame, i, err)
			}
			if !sameBits(p.Row(), row[from:to]) || p.At() != at {
				tb.Fatalf("frame %d %x, part %d: got %x at %d, want %x", n, frame, i, p.Row(), p.At(), row[from:to])
			}
			changed := key || !sameBits(row[from:to], rows[n-1][from:to])
			if p.Changed() != changed || d.Changed(i) != changed {
				tb.Fatalf("frame %d, part %d: changed %v and %v, want %v", n, i, p.Changed(), d.Changed(i), changed)
			}
		}
	}
}

// values are those at which codecs break.
var values = []float64{
	0, math.Copysign(0, -1), 1, -1, 0.1, -0.1, 0.01, 1e-9, 0.5, 1.5, 2.5, 1.0 / 3, 687.8100000000001, 4096, 8192, -4096, 4097, 1 << 20,
	1<<51 - 1, 1 << 51, 1<<51 + 0.5, -1<<51 - 1, 1<<52 + 1, 1<<53 - 1, 1 << 53, 1<<53 + 2, 1 << 61, 1<<62 - 512, 1 << 62, 1 << 63, -1 << 63, 1 << 64,
	1e18, 1e19, 1e22, 1e100, math.MaxFloat64, -math.MaxFloat64, math.SmallestNonzeroFloat64, -math.SmallestNonzeroFloat64, 0x1p-1022,
	math.Inf(1), math.Inf(-1), math.NaN(), model.Absent(), math.Float64frombits(0x7ff0000000000001), math.Float64frombits(math.MaxUint64),
	math.Float64frombits(0xfff8deadbeef0001), 1795311039.8701284, math.Pi,
}

func TestEveryValueFollowsEveryOther(t *testing.T) {
	for scale := range uint8(MaxScale + 1) {
		s := newTestSchema(t, widePart("w", len(values), scale))
		var rows [][]float64
		for shift := range values {
			row := make([]float64, len(values))
			for i := range row {
				row[i] = values[(i+shift*i+shift)%len(values)]
			}
			rows = append(rows, row)
		}
		for i := range values {
			for j := range values {
				row := make([]float64, len(values))
				row[i], row[j] = values[j], values[i]
				rows = append(rows, row)
			}
		}
		s.check(t, rows, 50)
	}
}

func TestPageStepsFromEitherSideOfZero(t *testing.T) {
	s := newTestSchema(t, widePart("w", 4, 0), widePart("x", 4, 3))
	var rows [][]float64
	for _, v := range []float64{4096, 8192, 0, -4096, 4096, 4096 + 512, 8192, 1 << 40, 4096, 4095, -8192, -4096, -4097, 4.096, 8.192, 8.193} {
		rows = append(rows, []float64{v, -v, v / 1000, v * 0.001, v, -v, v / 1000, v * 0.001})
	}
	s.check(t, rows, len(rows))
}

// walk makes rows as hosts do, and as they do not: most columns rest, some
// step, a few jump to any bits at all.
func walk(random *rand.Rand, s testSchema, n int) (rows [][]float64) {
	row := make([]float64, s.layout.Columns())
	for range n {
		next := append([]float64(nil), row...)
		for i := range next {
			one := s.layout.ones[i]
			switch random.IntN(16) {
			case 0:
				next[i] = math.Round(next[i]*one+float64(random.IntN(1000))) / one
			case 1:
				next[i] = float64(random.IntN(1<<30)-1<<29) * (1 / one)
			case 2:
				next[i] += 4096 * float64(random.IntN(100)-50)
			case 3:
				next[i] = values[random.IntN(len(values))]
			case 4:
				next[i] = math.Float64frombits(random.Uint64())
			}
		}
		rows, row = append(rows, next), next
	}
	return rows
}

func TestRandomWalksComeBack(t *testing.T) {
	s := oddSchema(t)
	for seed := range uint64(30) {
		random := rand.New(rand.NewPCG(seed, 2))
		s.check(t, walk(random, s, 40), 1+random.IntN(20))
	}
}

func TestTheRowsOfACallerAreNotTouched(t *testing.T) {
	s := oddSchema(t)
	rows := walk(rand.New(rand.NewPCG(1, 1)), s, 2)
	e := NewEncoder(s.layout, s.id, 10)
	var frames []byte
	for _, row := range rows {
		before := append([]float64(nil), row...)
		frames, _ = e.Append(frames, 0, row)
		if !sameBits(before, row) {
			t.Error("Append changed the row")
		}
	}
	d := NewDecoder(s.layout, s.id)
	if got := append(d.Row(), 1); len(got) != s.layout.Columns()+1 || &got[0] == &d.Row()[0] {
		t.Error("appending to Row reaches into the decoder")
	}
}

// The frame of the most columns, all of the worst kind, fits a record.
func TestTheLargestFrameFitsARecord(t *testing.T) {
	var parts []model.Part
	for i := range MaxColumns / MaxPartColumns {
		p := model.Part{Collector: "c", Families: []model.Family{{Name: "m" + string(rune('a'+i)), Scale: 9}}}
		for j := range MaxPartColumns {
			p.Families[0].Series = append(p.Families[0].Series, model.LabelsOf("n", string(rune(0x4e00+j))))
		}
		parts = append(parts, p)
	}
	s := newTestSchema(t, parts...)
	if s.layout.maxFrame() > MaxPayload {
		t.Errorf("bound of %d bytes, want at most %d", s.layout.maxFrame(), MaxPayload)
	}
	row := make([]float64, MaxColumns)
	for i := range row {
		row[i] = math.Float64frombits(0xfff8deadbeef0001 + uint64(i)<<8)
	}
	frame, _ := NewEncoder(s.layout, s.id, 1).Append(nil, math.MinInt64, row)
	d := NewDecoder(s.layout, s.id)
	if err := d.Decode(frame); err != nil || !sameBits(d.Row(), row) || d.At() != math.MinInt64 {
		t.Errorf("frame of %d bytes: error %v", len(frame), err)
	}
	parts[0].Collector = "d"
	if _, err := NewLayout(append(parts, smallPart())); err == nil {
		t.Error("one part more is accepted")
	}
}
