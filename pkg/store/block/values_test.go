package block

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// one is a stretch of one part of one column.
func one(scale uint8, values ...float64) stretch {
	r := run{parts: []Part{{ID: frame.PartID{1}, Scales: []uint8{scale}}}}
	for i, v := range values {
		r.times, r.rows = append(r.times, int64(1000*i)), append(r.rows, []float64{v})
	}
	return stretch{worker: model.WorkerID{7}, stream: 2, runs: []run{r}}
}

// series makes n values of their numbers.
func series(n int, f func(i int) float64) []float64 {
	v := make([]float64, n)
	for i := range v {
		v[i] = f(i)
	}
	return v
}

func describe(t *testing.T, data []byte) column {
	t.Helper()
	b, err := Open(data)
	if err != nil {
		t.Fatal(err)
	}
	r := NewReader()
	r.Reset(b)
	if err := r.Select(0); err != nil {
		t.Fatal(err)
	}
	return r.section.columns[0]
}

func TestEveryColumnComesBackInTheKindMadeForIt(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	noise := func(n int64) float64 { return float64(random.Int64N(n)) }
	walk, total := 0.0, 0.0
	nan := func(payload uint64) float64 { return math.Float64frombits(0x7ff8000000000000 | payload) }
	f := func(name string, scale uint8, want kind, most int, values []float64) {
		t.Run(name, func(t *testing.T) {
			data := one(scale, values...).check(t)
			c := describe(t, data)
			if c.kind != want {
				t.Errorf("kind %d, want %d: %+v", c.kind, want, c)
			}
			if size := len(data) - len(one(0, make([]float64, len(values))...).seal(t)); size > most {
				t.Errorf("%d bytes more than zeros take, want at most %d: %+v", size, most, c)
			}
		})
	}
	f("one value", 0, constUnits, 2, []float64{5})
	f("one odd value", 0, constBits, 8, []float64{math.Pi})
	f("zero", 3, constZero, 0, series(500, func(int) float64 { return 0 }))
	f("negative zero", 3, constBits, 8, series(500, func(int) float64 { return math.Copysign(0, -1) }))
	f("constant", 2, constUnits, 4, series(500, func(int) float64 { return 12.34 }))
	f("constant infinity", 2, constBits, 8, series(500, func(int) float64 { return math.Inf(-1) }))
	f("always absent", 2, constBits, 8, series(500, func(int) float64 { return model.Absent() }))
	f("sawtooth", 2, deltaDeltas, 300, series(500, func(i int) float64 { return float64(i%7) / 100 }))
	f("exact rate", 2, slopes, 20, series(500, func(i int) float64 { return float64(700000+25*i) / 100 }))
	f("rate that grows evenly", 0, deltaDeltas, 30, series(500, func(i int) float64 { return float64(i) * float64(i) }))
	f("counter with noise", 0, slopes, 560, series(500, func(int) float64 { total += 1e6 + noise(200); return total }))
	f("gauge around a mean", 0, offsets, 560, series(500, func(int) float64 { return 40000 + noise(200) }))
	f("gauge that walks", 0, deltas, 700, series(500, func(int) float64 { walk += noise(100) - noise(100); return walk }))
	f("pages", 0, deltas, 700, series(500, func(int) float64 { walk += noise(100) - noise(100); return walk * 4096 }))
	f("counter that seldom moves", 0, slopes, 60, series(500, func(i int) float64 { return float64(i / 100) }))
	f("gauge that seldom moves", 0, deltas, 70, series(500, func(i int) float64 { return float64(1000 * (i / 100 % 3)) }))
	f("reset", 0, deltaDeltas, 30, series(500, func(i int) float64 { return float64(7 * (i % 300)) }))
	f("multiplied by a thousandth", 3, slopes, 900, series(500, func(int) float64 { total += noise(500); return total * 0.001 }))
	f("microseconds by way of milliseconds", 6, slopes, 1400, series(500, func(int) float64 { total += noise(50000); return total / 1000 / 1000 }))
	f("beyond 2^53", 0, offsets, 1200, series(500, func(int) float64 { return float64(int64(1)<<60 + random.Int64N(1000)*1024) }))
	f("absent for a while", 2, deltaDeltas, 100, series(500, func(i int) float64 {
		if i > 100 && i < 200 {
			return model.Absent()
		}
		return float64(i)
	}))
	f("absent at first", 2, deltaDeltas, 80, series(500, func(i int) float64 {
		if i < 3 {
			return model.Absent()
		}
		return float64(i)
	}))
	f("odd values among numbers", 2, deltaDeltas, 400, []float64{1, nan(0), 2, nan(5), nan(5), math.Inf(1), math.Inf(-1), math.Copysign(0, -1), 3, model.Absent(),
		4, 5, 6, 7, 8, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3, 4, 5, 6, 7, 8})
	f("finer than the scale", 2, xored, 4200, series(500, func(int) float64 { return random.Float64() }))
	f("too far apart", 0, xored, 4300, series(500, func(int) float64 { return math.Ldexp(noise(1<<40), int(noise(22))) }))
	f("all bits", 0, xored, 4200, series(500, func(int) float64 { return math.Float64frombits(random.Uint64()) }))
	f("every NaN another", 0, xored, 4200, series(500, func(i int) float64 { return nan(uint64(i)) }))
	f("smallest and largest", 0, xored, 300, []float64{math.SmallestNonzeroFloat64, math.MaxFloat64, -math.MaxFloat64, 0, 1})
}

// anyColumn draws a column of any kind.
func anyColumn(random *rand.Rand, n int) (values []float64, scale uint8) {
	scale = uint8(random.IntN(maxScale + 1))
	ones := math.Pow10(int(scale))
	now, rate := random.Int64N(1<<random.IntN(50)), random.Int64N(1<<random.IntN(20))
	mode, spread, grain := random.IntN(8), int64(1)<<random.IntN(20), int64(1)<<random.IntN(13)
	odd := []int{0, 0, 3, 30}[random.IntN(4)]
	for range n {
		switch mode {
		case 0:
		case 1:
			now += rate
		case 2:
			now += rate + random.Int64N(spread)
		case 3:
			now += (random.Int64N(spread) - spread/2) * grain
		case 4:
			if random.IntN(40) == 0 {
				now += random.Int64N(spread)
			}
		case 5:
			rate += random.Int64N(3)
			now += rate
		case 6:
			now = random.Int64N(spread)
		}
		v := float64(now) / ones
		if mode == 7 {
			v = math.Float64frombits(random.Uint64() & (1<<random.IntN(64) - 1))
		}
		if random.IntN(100) < odd {
			v = []float64{model.Absent(), math.NaN(), math.Inf(1), math.Copysign(0, -1), random.Float64()}[random.IntN(5)]
		}
		values = append(values, v)
	}
	return values, scale
}

func TestAnyStretchComesBack(t *testing.T) {
	for seed := range uint64(150) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { anyStretch(seed).check(t) })
	}
}

// anyStretch draws a stretch in which parts come and go.
func anyStretch(seed uint64) stretch {
	random := rand.New(rand.NewPCG(seed, 9))
	s := stretch{worker: model.WorkerID{byte(seed)}, stream: model.StreamID(random.Uint32())}
	var pool []Part
	for i := range 1 + random.IntN(6) {
		id := frame.PartID{byte(random.IntN(256)), byte(i)}
		pool = append(pool, Part{ID: id, Scales: make([]uint8, 1+random.IntN(20))})
	}
	at := random.Int64N(1<<40) - 1<<39
	lengths := make([]int, 1+random.IntN(5))
	for i := range lengths {
		lengths[i] = 1 + random.IntN(60)
	}
	for _, n := range lengths {
		r := run{}
		random.Shuffle(len(pool), func(i, j int) { pool[i], pool[j] = pool[j], pool[i] })
		r.parts = append(r.parts, pool[:1+random.IntN(len(pool))]...)
		r.rows = make([][]float64, n)
		for range n {
			at += 1 + random.Int64N(2000)
			r.times = append(r.times, at)
		}
		for _, p := range r.parts {
			for range p.Scales {
				values, _ := anyColumn(random, n)
				for i := range r.rows {
					r.rows[i] = append(r.rows[i], values[i])
				}
			}
		}
		s.runs = append(s.runs, r)
	}
	return s
}

// FuzzRoundTrip takes any bits for the values of two columns.
func FuzzRoundTrip(f *testing.F) {
	random := rand.New(rand.NewPCG(3, 3))
	for range 20 {
		values, scale := anyColumn(random, 40)
		var b []byte
		for _, v := range values {
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
		}
		f.Add(b, scale)
	}
	f.Fuzz(func(t *testing.T, b []byte, scale uint8) {
		var values []float64
		for ; len(b) >= 8; b = b[8:] {
			values = append(values, math.Float64frombits(binary.LittleEndian.Uint64(b)))
		}
		if len(values) == 0 {
			return
		}
		one(scale%(maxScale+1), values...).check(t)
	})
}
