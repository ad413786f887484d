package block

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

func TestTheWriterRefusesWhatMakesNoBlock(t *testing.T) {
	w := NewWriter()
	w.Begin(model.WorkerID{1}, 1)
	a, b := Part{ID: frame.PartID{1}, Scales: []uint8{0}}, Part{ID: frame.PartID{2}, Scales: []uint8{1, 2}}
	f := func(what string, err, want error) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Errorf("%s: error %v, want %v", what, err, want)
		}
	}
	f("frame without a schema", w.Append(1, nil), ErrInvalid)
	f("schema of no parts", w.Schema(nil), ErrInvalid)
	f("part of no columns", w.Schema([]Part{{ID: frame.PartID{1}}}), ErrInvalid)
	f("part twice", w.Schema([]Part{a, b, a}), ErrInvalid)
	f("scale out of reach", w.Schema([]Part{{ID: frame.PartID{1}, Scales: []uint8{maxScale + 1}}}), ErrInvalid)
	f("schema", w.Schema([]Part{a, b}), nil)
	f("first frame", w.Append(5, []float64{1, 2, 3}), nil)
	f("other scales", w.Schema([]Part{{ID: b.ID, Scales: []uint8{2, 1}}}), ErrInvalid)
	f("frame of the same time", w.Append(5, []float64{1, 2, 3}), ErrOrder)
	f("frame of an earlier time", w.Append(4, []float64{1, 2, 3}), ErrOrder)
	f("time out of all reason", w.Append(math.MaxInt64, []float64{1, 2, 3}), ErrInvalid)
	if w.Rows() != 1 || w.Values() != 3 {
		t.Errorf("got %d rows of %d values, want 1 of 3", w.Rows(), w.Values())
	}
	for i := range MaxRows - 1 {
		if err := w.Append(model.Millis(6+i), []float64{1, 2, float64(i)}); err != nil {
			t.Fatal(err)
		}
	}
	f("one frame too many", w.Append(1<<40, []float64{1, 2, 3}), ErrFull)
	if err := readAll(w.Seal(nil)); err != nil {
		t.Error(err)
	}
}

func TestASchemaThatChangesWithEveryFrame(t *testing.T) {
	w := NewWriter()
	w.Begin(model.WorkerID{1}, 1)
	still := Part{ID: frame.PartID{0xff}, Scales: []uint8{0}}
	fleeting := func(i int) Part {
		p := Part{Scales: []uint8{0, 0}}
		binary.BigEndian.PutUint32(p.ID[:], uint32(i))
		return p
	}
	n := 0
	for ; ; n++ {
		if err := w.Schema([]Part{still, fleeting(n)}); err != nil {
			if !errors.Is(err, ErrFull) {
				t.Fatal(err)
			}
			break
		}
		if err := w.Append(model.Millis(1000*n), []float64{float64(n), 1, 2}); err != nil {
			t.Fatal(err)
		}
	}
	if n != MaxParts-1 {
		t.Errorf("full after %d parts, want %d", n, MaxParts-1)
	}
	data := w.Seal(nil)
	if size := float64(len(data)) / float64(n); size > 40 {
		t.Errorf("%.1f bytes a schema, want at most 40", size)
	}
	b, err := Open(data)
	if err != nil {
		t.Fatal(err)
	}
	r := NewReader()
	r.Reset(b)
	for _, i := range []int{0, 1, n / 2, n - 1} {
		part, ok := b.Find(fleeting(i).ID)
		if !ok {
			t.Fatalf("part %d is not there", i)
		}
		if err := r.Select(part); err != nil {
			t.Fatal(err)
		}
		at, v, err := r.Column(nil, nil, 1, math.MinInt64, math.MaxInt64)
		if err != nil || !slices.Equal(at, []int64{int64(1000 * i)}) || !sameBits(v, []float64{2}) {
			t.Errorf("part %d: got %v at %v, error %v", i, v, at, err)
		}
	}
	if _, ok := b.Find(fleeting(n).ID); ok {
		t.Error("found a part that is not there")
	}
}

// A column of the worst kind may be larger than a group should be.
func TestLongColumnsFillGroups(t *testing.T) {
	s := one(0, series(MaxRows, func(i int) float64 { return math.Float64frombits(uint64(i) * 0x9e3779b97f4a7c15) })...)
	s.runs[0].parts[0].Scales = []uint8{0, 0}
	for i, row := range s.runs[0].rows {
		v := float64(i)
		if i%2 == 0 {
			v = math.Float64frombits(0x7ff8<<48 | uint64(i))
		}
		s.runs[0].rows[i] = append(row, v)
	}
	s.check(t)
}

func TestAWriterIsUsedAgain(t *testing.T) {
	w := NewWriter()
	for seed := range uint64(20) {
		s := anyStretch(seed)
		s.fill(t, w)
		if got, want := w.Seal([]byte("kept")), s.seal(t); string(got) != "kept"+string(want) {
			t.Errorf("stretch %d: sealed differently by a writer that was used before", seed)
		}
	}
}

func TestNothingIsAllocatedOnceWarm(t *testing.T) {
	if underRace {
		t.Skip("pools forget at random under the race detector")
	}
	rec := newRecorded(t, 1, nil)
	s := rec.block(1, 120)
	w := NewWriter()
	var data []byte
	seal := func() {
		s.fill(t, w)
		data = w.Seal(data[:0])
	}
	for range 5 {
		seal()
	}
	b, r := new(Block), NewReader()
	var at []int64
	var v []float64
	scan := func() {
		if err := b.Reopen(data); err != nil {
			t.Fatal(err)
		}
		r.Reset(b)
		first, last := b.Range()
		for part := range b.Parts() {
			if err := r.Select(part); err != nil {
				t.Fatal(err)
			}
			for c := range r.Columns() {
				var err error
				if at, v, err = r.Column(at[:0], v[:0], c, first+1, last); err != nil || r.Summary(c).Count == 0 {
					t.Fatal(err)
				}
			}
		}
	}
	scan()
	if n := testing.AllocsPerRun(5, scan); n > 0 {
		t.Errorf("%v allocations to open and read a block", n)
	}
	if n := testing.AllocsPerRun(5, seal); n > 0 {
		t.Errorf("%v allocations to seal a block", n)
	}
}
