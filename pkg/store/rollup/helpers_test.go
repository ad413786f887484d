package rollup

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/block"
)

// laneRow is a row of a lane: of no part, it is an end row.
type laneRow struct {
	at    model.Millis
	parts []block.Part
	row   []float64
}

// world is a lane of random rows.
type world struct {
	parts []block.Part
	rows  []laneRow
}

// story makes the values of a column.
type story func(r *rand.Rand, before float64) float64

var stories = []story{
	func(*rand.Rand, float64) float64 { return 0 },
	func(*rand.Rand, float64) float64 { return 12.25 },
	func(r *rand.Rand, v float64) float64 { // counter of whole numbers that is reset now and then
		if r.IntN(40) == 0 {
			return float64(r.IntN(3))
		}
		return v + float64(r.IntN(100))
	},
	func(r *rand.Rand, v float64) float64 { // counter of hundredths
		if r.IntN(60) == 0 {
			return float64(r.IntN(500)) / 100
		}
		return math.Round(v*100+float64(r.IntN(150))) / 100
	},
	func(r *rand.Rand, v float64) float64 { return float64(r.IntN(1000) - 500) },
	func(r *rand.Rand, v float64) float64 { return float64(r.IntN(100000)) / 1000 },
	func(r *rand.Rand, v float64) float64 { return r.NormFloat64() * 1e6 },
	func(r *rand.Rand, v float64) float64 { // trouble
		return [...]float64{0, math.Copysign(0, -1), 1, -1, math.NaN(), math.Inf(1), math.Inf(-1), 1e300, 1 << 52}[r.IntN(9)]
	},
	func(r *rand.Rand, v float64) float64 { // seldom moves
		if r.IntN(30) == 0 {
			return v + 4096
		}
		return v
	},
}

var scales = []uint8{0, 2, 0, 2, 0, 3, 0, 0, 0}

// newWorld makes rows from a start on, one about every so many milliseconds.
func newWorld(r *rand.Rand, start, every model.Millis, rows int) world {
	var w world
	for i := range 4 {
		w.parts = append(w.parts, block.Part{ID: frame.PartID{byte(0xa0 + i), byte(r.IntN(256))}, Scales: scales})
	}
	k := len(scales)
	values := make([]float64, 4*k)
	gone := make([]bool, 4*k)
	inside := []bool{true, r.IntN(2) == 0, r.IntN(2) == 0, false}
	at := start
	for range rows {
		at += every + model.Millis(r.IntN(5))
		switch r.IntN(150) {
		case 0:
			at += every * model.Millis(r.IntN(30)) // rounds are missing
		case 1:
			at += model.Millis(r.IntN(3 * int(Hour)))
		case 2:
			w.rows = append(w.rows, laneRow{at: at})
			continue
		case 3, 4:
			i := r.IntN(4)
			inside[i] = !inside[i]
		case 5:
			gone[r.IntN(len(gone))] = true
		case 6, 7:
			gone[r.IntN(len(gone))] = false
		}
		one := laneRow{at: at}
		for i, there := range inside {
			if !there {
				continue
			}
			one.parts = append(one.parts, w.parts[i])
			for c := range k {
				n := i*k + c
				values[n] = stories[c](r, values[n])
				v := values[n]
				if gone[n] || r.IntN(400) == 0 {
					v = model.Absent()
				}
				one.row = append(one.row, v)
			}
		}
		w.rows = append(w.rows, one)
	}
	return w
}

// series lists the raw samples and markers of a column.
func (w world) series(part, column int) (t []int64, v []float64) {
	live := false
	for _, row := range w.rows {
		x, at := model.Absent(), 0
		for _, p := range row.parts {
			if p.ID == w.parts[part].ID {
				x = row.row[at+column]
			}
			at += len(p.Scales)
		}
		if absent := model.IsAbsent(x); !absent || live {
			t, v = append(t, int64(row.at)), append(v, x)
			live = !absent
		}
	}
	return t, v
}

// build makes rollups of the world, each of up to so many rows.
func (w world) build(t testing.TB, tier Tier, most int) (blocks []*block.Block) {
	t.Helper()
	b := NewBuilder(tier)
	for start := 0; start < len(w.rows); start += most {
		b.Begin(model.WorkerID{1}, 7)
		w.append(t, b, start, min(start+most, len(w.rows)))
		blocks = append(blocks, opened(t, b.Seal(nil)))
	}
	return blocks
}

// append gives rows to a builder.
func (w world) append(t testing.TB, b *Builder, from, to int) {
	t.Helper()
	var before []block.Part
	for i, row := range w.rows[from:to] {
		if len(row.parts) == 0 {
			if err := b.End(row.at); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if i == 0 || !sameParts(before, row.parts) {
			if err := b.Schema(row.parts); err != nil {
				t.Fatal(err)
			}
			before = row.parts
		}
		if err := b.Append(row.at, row.row); err != nil {
			t.Fatal(err)
		}
	}
}

func sameParts(a, b []block.Part) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].ID != b[i].ID {
			return false
		}
	}
	return true
}

func opened(t testing.TB, data []byte) *block.Block {
	t.Helper()
	b, err := block.Open(data)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// buckets reads those of a column out of blocks of a lane.
func buckets(t testing.TB, r *Reader, tier Tier, blocks []*block.Block, part frame.PartID, column int) []Bucket {
	t.Helper()
	var all []Bucket
	for _, b := range blocks {
		if err := r.Reset(b); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Select(part); err != nil {
			t.Fatal(err)
		}
		var err error
		if all, err = r.Buckets(all, column, math.MinInt64, math.MaxInt64); err != nil {
			t.Fatal(err)
		}
	}
	all, apart := Compact(tier, all)
	if !apart {
		t.Fatal("rows of blocks lie between each other")
	}
	return all
}

// alike compares the samples of two buckets. Sums of what is not whole may differ by rounding.
func alike(a, b *Bucket) bool {
	if a.At != b.At || a.Count != b.Count {
		return false
	}
	if a.Count == 0 {
		return true
	}
	return a.FirstAt == b.FirstAt && a.LastAt == b.LastAt && same(a.First, b.First) && same(a.Last, b.Last) &&
		alikeNaN(a.Min, b.Min) && alikeNaN(a.Max, b.Max) && (a.Gauge || b.Gauge || a.Resets == b.Resets &&
		(a.Resets != 1 || same(a.Before, b.Before)) && rounded(a.Before, b.Before)) &&
		rounded(a.Sum, b.Sum) && a.Stale == b.Stale && a.StaleAt == b.StaleAt
}

func alikeNaN(a, b float64) bool { return same(a, b) || math.IsNaN(a) && math.IsNaN(b) }

func rounded(a, b float64) bool {
	return a == b || math.IsNaN(a) && math.IsNaN(b) || math.Abs(a-b) <= 1e-9*max(math.Abs(a), math.Abs(b), 1e3) ||
		max(math.Abs(a), math.Abs(b)) > 1e200
}

func int64Millis(n int) model.Millis { return model.Millis(n) }

// fewer is how many of n worlds are enough: the race detector takes ten times as long, and has
// little to find in a package without goroutines.
func fewer(n uint64) uint64 {
	if underRace || testing.Short() {
		return max(n/8, 1)
	}
	return n
}
