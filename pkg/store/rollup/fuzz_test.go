package rollup

import (
	"encoding/binary"
	"math"
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/block"
)

// anyBlock makes a block whose checksums hold, and whose columns say anything.
func anyBlock(data []byte) []byte {
	next := func() byte {
		if len(data) == 0 {
			return 0
		}
		b := data[0]
		data = data[1:]
		return b
	}
	number := func() float64 {
		switch kind := next(); {
		case kind < 100:
			return float64(next())
		case kind < 150:
			return float64(next()) * 1000
		case kind < 170:
			return [...]float64{60_000, 3_600_000, version, -1, 0.5, math.NaN(), math.Inf(1), 1e18}[next()%8]
		case kind < 200:
			var b [8]byte
			for i := range b {
				b[i] = next()
			}
			return math.Float64frombits(binary.LittleEndian.Uint64(b[:]))
		}
		return 0
	}
	w := block.NewWriter()
	w.Begin(model.WorkerID{1}, 1)
	ids := []frame.PartID{clock, {0xaa}, pieceID(frame.PartID{0xaa}, 1), {0xbb}}
	widths := []int{clockColumns + int(next()%2), int(next()), int(next()), int(next() % 16)}
	at := model.Millis(0)
	for range 1 + next()%20 {
		var parts []block.Part
		var row []float64
		mine := next()
		for i, id := range ids {
			if mine>>i&1 != 0 && (i > 0 || mine < 16) || widths[i] == 0 {
				continue
			}
			parts = append(parts, block.Part{ID: id, Scales: make([]uint8, widths[i])})
			start := len(row)
			row = append(row, make([]float64, widths[i])...)
			mine := row[start:]
			if i == 0 {
				copy(mine, []float64{version, float64(Minute), 1 + float64(next())*100, float64(next()) * 50, float64(next())})
				if next() < 8 {
					mine[next()%clockColumns] = number()
				}
				continue
			}
			for j := range mine {
				mine[j] = number()
			}
			if next() < 250 && widths[i] > headSize {
				columns := 1 + int(next())%8
				m := mask(1<<statFirst) | mask(next())<<4 | mask(next()&15)
				copy(mine, []float64{float64(m & (1<<statistics - 1)), 0, float64(columns)})
				widths[i] = headSize + (m&(1<<statistics-1)).count()*columns
				parts[len(parts)-1].Scales = make([]uint8, widths[i])
				row = append(row[:start], make([]float64, widths[i])...)
				copy(row[start:], mine)
			}
		}
		at += model.Millis(Minute) * model.Millis(1+next()%3)
		if len(parts) == 0 || w.Schema(parts) != nil {
			continue
		}
		if w.Append(at, row) != nil {
			break
		}
	}
	if w.Rows() == 0 {
		return nil
	}
	return w.Seal(nil)
}

// FuzzReader: whatever a block says, reading it and merging it end well or with an error, and
// buckets are such that samples can be made of them.
func FuzzReader(f *testing.F) {
	f.Add([]byte{0, 40, 40, 3, 4, 0, 10, 20, 30, 200, 1})
	f.Add([]byte("some bytes that are quite long, for there is much to say about a block of columns"))
	f.Fuzz(func(t *testing.T, data []byte) {
		sealed := anyBlock(data)
		if sealed == nil {
			return
		}
		b := opened(t, sealed)
		r := NewReader()
		if r.Reset(b) != nil {
			return
		}
		var e Emitter
		for _, id := range []frame.PartID{{0xaa}, {0xbb}, {0xcc}} {
			columns, err := r.Select(id)
			if err != nil {
				continue
			}
			for c := range max(columns, 1) {
				list, err := r.Buckets(nil, c, math.MinInt64, math.MaxInt64)
				if err != nil {
					continue
				}
				total := 0
				for i := range list {
					total += list[i].Count
				}
				for use := UseLast; use <= UseFill && total < 2000; use++ {
					p := Plan{Tier: Minute, Use: use, Range: 300_000, First: list[0].At, Last: list[len(list)-1].At, Step: 60_000}
					times, _, _ := e.Emit(nil, nil, &p, list)
					for i := 1; i < len(times); i++ {
						if times[i] <= times[i-1] {
							t.Fatalf("use %d of %+v: times %v do not rise", use, list, times)
						}
					}
				}
				Join(nil, list, list)
				Compact(Hour, list)
			}
		}
		merged, err := NewMerger().Merge(nil, Hour, []*block.Block{b}, scalesOf)
		if err != nil {
			return
		}
		if err := r.Reset(opened(t, merged)); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzPromQL asks a random lane random questions.
func FuzzPromQL(f *testing.F) {
	f.Add(uint64(1000))
	f.Fuzz(func(t *testing.T, seed uint64) {
		engine, parse := newEngine()
		askAround(t, engine, parse, seed, 300, 20)
	})
}

func TestDamagedRollupsAreNotRead(t *testing.T) {
	w := goldenWorld()
	data := sealedWorld(t, w)
	for i := range data {
		bad := append([]byte(nil), data...)
		bad[i] ^= 1 << (i % 8)
		b, err := block.Open(bad)
		if err != nil {
			continue
		}
		r := NewReader()
		err = r.Reset(b)
		if err == nil {
			_, err = r.Select(w.parts[0].ID)
		}
		for c := 0; err == nil && c < 3; c++ {
			_, err = r.Buckets(nil, c, math.MinInt64, math.MaxInt64)
		}
		if err == nil {
			t.Errorf("byte %d is another, and nobody minds", i)
		}
	}
}
