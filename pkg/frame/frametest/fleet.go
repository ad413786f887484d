package frametest

import (
	"math"
	"math/rand/v2"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Fleet makes many hosts of one recording. Every host begins at a phase of its
// own, and its counters at values of their own; where the recording ends it
// begins anew, with the counters going on. Immutable; hosts of one fleet may run in
// different goroutines.
type Fleet struct {
	recording *Recording
	counters  []counter
}

// counter is a column that only grows, as whole units of its scale.
type counter struct {
	column int
	value  func(units int64) float64
	units  []int64 // by row
	grain  int64   // all units are multiples of it
	cycle  int64   // growth from the beginning of one replay to that of the next
}

// NewFleet prepares a recording of two rows or more for replay.
func NewFleet(r *Recording) *Fleet {
	f := &Fleet{recording: r}
	column := 0
	for _, part := range r.Parts {
		for _, family := range part.Families {
			for range family.Series {
				// The clock is a gauge to Prometheus, and a counter here.
				if family.Type != model.Gauge || family.Name == "node_time_seconds" {
					f.addCounter(column, math.Pow10(int(family.Scale)))
				}
				column++
			}
		}
	}
	return f
}

// addCounter adds the column if it moves, never falls, and is whole units that
// turn into its recorded values in one of the ways in which node_exporter
// computes them. All other columns are replayed as they are.
func (f *Fleet) addCounter(column int, ones float64) {
	rows := f.recording.Rows
	if rows[0][column] == rows[len(rows)-1][column] {
		return
	}
	ways := [...]func(int64) float64{
		func(n int64) float64 { return float64(n) / ones },
		func(n int64) float64 { return float64(n) * (1 / ones) },
		func(n int64) float64 { return float64(n) / 1000 / (ones / 1000) },
	}
	for _, way := range ways {
		c := counter{column: column, value: way, units: make([]int64, len(rows))}
		if c.fill(rows, ones) {
			f.counters = append(f.counters, c)
			return
		}
	}
}

func (c *counter) fill(rows [][]float64, ones float64) bool {
	for i, row := range rows {
		v := row[c.column]
		n := int64(math.Round(v * ones))
		if n < 0 || c.value(n) != v || i > 0 && n < c.units[i-1] {
			return false
		}
		c.units[i] = n
		c.grain = gcd(c.grain, n)
	}
	last := len(rows) - 1
	c.cycle = c.units[last] - c.units[0] + c.units[1] - c.units[0]
	return true
}

func gcd(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// Host replays the recording as one host of a fleet. Not safe for concurrent
// use.
type Host struct {
	fleet *Fleet
	at    model.Millis
	next  int // row
	bases []int64
	row   []float64
}

// Host returns the host of a number: the same number is the same host.
func (f *Fleet) Host(number uint64) *Host {
	random := rand.New(rand.NewPCG(number, 1))
	h := &Host{
		fleet: f,
		at:    f.recording.Start + model.Millis(random.Int64N(int64(f.recording.Every))),
		next:  random.IntN(len(f.recording.Rows)),
		bases: make([]int64, len(f.counters)),
		row:   make([]float64, len(f.recording.Rows[0])),
	}
	for i, c := range f.counters {
		// Up to eight times as old as the recorded host.
		h.bases[i] = c.grain * random.Int64N(8*c.units[0]/c.grain+1)
	}
	return h
}

// Next returns the host's next row and its time. The row belongs to the host
// and is valid until the next call.
func (h *Host) Next() (at model.Millis, row []float64) {
	r := h.fleet.recording
	copy(h.row, r.Rows[h.next])
	for i := range h.fleet.counters {
		c := &h.fleet.counters[i]
		h.row[c.column] = c.value(c.units[h.next] + h.bases[i])
	}
	at = h.at
	h.at += r.Every
	if h.next++; h.next == len(r.Rows) {
		h.next = 0
		for i := range h.fleet.counters {
			h.bases[i] += h.fleet.counters[i].cycle
		}
	}
	return at, h.row
}
