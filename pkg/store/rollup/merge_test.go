package rollup

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/block"
)

func scalesOf(frame.PartID) []uint8 { return scales }

func TestMergedRollupsSayWhatTheRowsSay(t *testing.T) {
	reader, merger := NewReader(), NewMerger()
	for seed := range fewer(32) {
		r := rand.New(rand.NewPCG(seed, 3))
		every := pick[model.Millis](r, 700, 1000, 5000, 15_000, 60_000)
		w := newWorld(r, 1_700_000_000_000+model.Millis(r.IntN(100_000)), every, 300+r.IntN(1500))
		for _, tiers := range [][2]Tier{{Minute, Hour}, {Minute, Minute}, {Hour, Hour}} {
			blocks := w.build(t, tiers[0], 1+r.IntN(len(w.rows)))
			r.Shuffle(len(blocks), func(i, j int) { blocks[i], blocks[j] = blocks[j], blocks[i] })
			data, err := merger.Merge(nil, tiers[1], blocks, scalesOf)
			if err != nil {
				t.Fatal(err)
			}
			merged := []*block.Block{opened(t, data)}
			if merged[0].Worker() != blocks[0].Worker() || merged[0].Stream() != blocks[0].Stream() {
				t.Fatal("merged into another lane")
			}
			direct := w.build(t, tiers[1], len(w.rows))
			for part := range w.parts {
				for c := range scales {
					got := buckets(t, reader, tiers[1], merged, w.parts[part].ID, c)
					times, values := w.series(part, c)
					compare(t, got, Fold(nil, tiers[1], times, values))
					want := buckets(t, reader, tiers[1], direct, w.parts[part].ID, c)
					if len(got) != len(want) {
						t.Fatalf("got %d buckets, want %d", len(got), len(want))
					}
					for i := range got {
						if !alike(&got[i], &want[i]) || got[i].From != want[i].From || got[i].To != want[i].To || got[i].Whole != want[i].Whole {
							t.Errorf("got %+v\nwant %+v", got[i], want[i])
						}
					}
					if t.Failed() {
						t.Fatalf("seed %d, %v into %v, part %d, column %d", seed, tiers[0], tiers[1], part, c)
					}
				}
			}
		}
	}
}

func TestRollupsThatOverlapAreNotMerged(t *testing.T) {
	w := newWorld(rand.New(rand.NewPCG(1, 4)), 1_700_000_000_000, 1000, 100)
	whole, half := w.build(t, Minute, 100), w.build(t, Minute, 60)
	_, err := NewMerger().Merge(nil, Hour, []*block.Block{whole[0], half[1]}, scalesOf)
	if !errors.Is(err, ErrOverlap) {
		t.Errorf("got %v, want ErrOverlap", err)
	}
	hours := w.build(t, Hour, 100)
	if _, err := NewMerger().Merge(nil, Minute, hours, scalesOf); !errors.Is(err, ErrInvalid) {
		t.Errorf("hours into minutes: got %v, want ErrInvalid", err)
	}
}

func TestPartsOfManyColumnsComeInPieces(t *testing.T) {
	const columns = 2500
	part := block.Part{ID: frame.PartID{0xcc}, Scales: make([]uint8, columns)}
	b := NewBuilder(Minute)
	b.Begin(model.WorkerID{1}, 1)
	if err := b.Schema([]block.Part{part}); err != nil {
		t.Fatal(err)
	}
	row := make([]float64, columns)
	for i := range 240 {
		for c := range row {
			row[c] = float64(i * c)
		}
		if err := b.Append(model.Millis(i*1000+1), row); err != nil {
			t.Fatal(err)
		}
	}
	minutes := opened(t, b.Seal(nil))
	data, err := NewMerger().Merge(nil, Hour, []*block.Block{minutes}, func(frame.PartID) []uint8 { return part.Scales })
	if err != nil {
		t.Fatal(err)
	}
	for tier, bl := range map[Tier]*block.Block{Minute: minutes, Hour: opened(t, data)} {
		r := NewReader()
		for _, c := range []int{0, 1, 1023, 1024, 2047, 2048, 2499, 5} {
			got := buckets(t, r, tier, []*block.Block{bl}, part.ID, c)
			last := got[len(got)-1]
			if last.Last != float64(239*c) || got[0].First != 0 || tier == Hour && (last.Count != 240 || last.Sum != float64(239*240/2*c)) {
				t.Errorf("%v, column %d: got %+v", tier, c, last)
			}
		}
	}
}

func TestCompact(t *testing.T) {
	one := func(from, to model.Millis, v ...float64) Bucket {
		times := make([]int64, len(v))
		for i := range v {
			times[i] = int64(from) + int64(i)*int64(to-from)/max(int64(len(v)-1), 1)
		}
		b := Fold(nil, Minute, times, v)[0]
		b.From, b.To = from, to
		return b
	}
	for _, test := range []struct {
		name   string
		pieces []Bucket
		want   string
		apart  bool
	}{
		{"one after the other", []Bucket{one(31, 60, 4, 2), one(1, 30, 1, 5)}, "4 samples, 1 to 2, before resets 9", true},
		{"the same twice", []Bucket{one(1, 30, 1, 5), one(1, 30, 1, 5)}, "2 samples, 1 to 5, before resets 0", true},
		{"between each other", []Bucket{one(1, 40, 1, 5), one(30, 60, 4, 8)}, "2 samples, 1 to 8, before resets 0", false},
	} {
		got, apart := Compact(Minute, test.pieces)
		b := got[0]
		if text := fmt.Sprintf("%d samples, %v to %v, before resets %v", b.Count, b.First, b.Last, b.Before); text != test.want || len(got) != 1 || apart != test.apart {
			t.Errorf("%s: got %s, apart %v, want %s, %v", test.name, text, apart, test.want, test.apart)
		}
	}
}
