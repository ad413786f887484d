package block

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/frame/frametest"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// stretch is what goes into one block.
type stretch struct {
	worker model.WorkerID
	stream model.StreamID
	runs   []run
}

// run is frames of one schema.
type run struct {
	parts []Part
	times []int64
	rows  [][]float64
}

func (s stretch) rows() (n int) {
	for _, r := range s.runs {
		n += len(r.rows)
	}
	return n
}

func (s stretch) values() (n int) {
	for _, r := range s.runs {
		n += len(r.rows) * len(r.rows[0])
	}
	return n
}

// fill puts the stretch into a writer.
func (s stretch) fill(t testing.TB, w *Writer) {
	t.Helper()
	w.Begin(s.worker, s.stream)
	for _, r := range s.runs {
		if err := w.Schema(r.parts); err != nil {
			t.Fatal(err)
		}
		for i, row := range r.rows {
			if err := w.Append(model.Millis(r.times[i]), row); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func (s stretch) seal(t testing.TB) []byte {
	t.Helper()
	w := NewWriter()
	s.fill(t, w)
	return w.Seal(nil)
}

// columns lists what each column of a part holds: times and values.
func (s stretch) columns(id frame.PartID) (times []int64, columns [][]float64) {
	for _, r := range s.runs {
		from := 0
		for _, p := range r.parts {
			if p.ID == id {
				times = append(times, r.times...)
				for c := range p.Scales {
					if len(columns) <= c {
						columns = append(columns, nil)
					}
					for _, row := range r.rows {
						columns[c] = append(columns[c], row[from+c])
					}
				}
			}
			from += len(p.Scales)
		}
	}
	return times, columns
}

// recorded makes blocks of the recording: hosts of a fleet, at one row in so
// many seconds. Where the sampled rows would come to the end of the recording the phase moves by
// seven seconds, so that a block never holds the same stretch twice.
type recorded struct {
	fleet *frametest.Fleet
	parts []Part
	every int
}

func newRecorded(t testing.TB, every int, of func(*frametest.Recording) *frametest.Recording) recorded {
	t.Helper()
	r, err := frametest.Node()
	if err != nil {
		t.Fatal(err)
	}
	if of != nil {
		r = of(r)
	}
	rec := recorded{fleet: frametest.NewFleet(r), every: every}
	for _, p := range r.Parts {
		encoded, err := frame.AppendPart(nil, p)
		if err != nil {
			t.Fatal(err)
		}
		rec.parts = append(rec.parts, PartOf(frame.PartIDOf(encoded), p))
	}
	return rec
}

// block is a stretch of one host. Its rounds are up to 2 ms late, as timers are.
func (rec recorded) block(host uint64, rows int) stretch {
	h := rec.fleet.Host(host)
	late := rand.New(rand.NewPCG(host, 2))
	r := run{parts: rec.parts}
	at := int64(0)
	for i := range rows {
		from, row := h.Next()
		if i == 0 {
			at = int64(from)
		}
		r.rows = append(r.rows, slices.Clone(row))
		r.times = append(r.times, at+late.Int64N(3))
		at += int64(rec.every) * 1000
		skip := rec.every - 1
		if rec.every > 1 && (i+1)%(600/rec.every) == 0 {
			skip += 7
		}
		for range skip {
			h.Next()
		}
	}
	return stretch{worker: model.WorkerID{1, byte(host)}, stream: 1, runs: []run{r}}
}

func sameBits(a, b []float64) bool {
	return slices.EqualFunc(a, b, func(x, y float64) bool { return math.Float64bits(x) == math.Float64bits(y) })
}

// check seals the stretch and compares all that comes back.
func (s stretch) check(t testing.TB) []byte {
	t.Helper()
	data := s.seal(t)
	b, err := Open(data)
	if err != nil {
		t.Fatal(err)
	}
	if b.Worker() != s.worker || b.Stream() != s.stream || b.Rows() != s.rows() {
		t.Errorf("got %d rows of %v, %d", b.Rows(), b.Worker(), b.Stream())
	}
	r := NewReader()
	if err := r.Verify(b); err != nil {
		t.Fatal(err)
	}
	first, last := b.Range()
	seen := 0
	for i := range b.Parts() {
		info := b.Part(i)
		if n, ok := b.Find(info.ID); !ok || n != i {
			t.Errorf("part %d: found at %d, %v", i, n, ok)
		}
		times, columns := s.columns(info.ID)
		if info.Rows != len(times) || info.Columns != len(columns) {
			t.Fatalf("part %d: got %d rows, %d columns, want %d, %d", i, info.Rows, info.Columns, len(times), len(columns))
		}
		seen += len(times) * len(columns)
		if err := r.Select(i); err != nil {
			t.Fatal(err)
		}
		for c, want := range columns {
			at, v, err := r.Column(nil, nil, c, first, last)
			if err != nil || !slices.Equal(at, times) || !sameBits(v, want) {
				t.Fatalf("part %d column %d (%+v): error %v\ngot  %x\nwant %x\ntimes got  %v\nwant %v", i, c, r.section.columns[c], err, v, want, at, times)
			}
			s.checkRange(t, r, c, times, want)
			checkSummary(t, r, c, times, want)
		}
	}
	if seen != s.values() {
		t.Errorf("got %d values, want %d", seen, s.values())
	}
	return data
}

// checkRange decodes a few ranges of a column.
func (s stretch) checkRange(t testing.TB, r *Reader, c int, times []int64, want []float64) {
	t.Helper()
	n := len(times)
	for _, cut := range [][2]int{{0, 0}, {n - 1, n - 1}, {n / 3, 2 * n / 3}, {n / 2, n - 1}, {0, n / 4}} {
		at, v, err := r.Column(nil, nil, c, model.Millis(times[cut[0]]), model.Millis(times[cut[1]]))
		if err != nil || !slices.Equal(at, times[cut[0]:cut[1]+1]) || !sameBits(v, want[cut[0]:cut[1]+1]) {
			t.Fatalf("column %d, rows %v: error %v\ngot  %x at %v\nwant %x", c, cut, err, v, at, want[cut[0]:cut[1]+1])
		}
	}
	if at, _, err := r.Column(nil, nil, c, model.Millis(times[n-1])+1, math.MaxInt64); err != nil || len(at) > 0 {
		t.Errorf("column %d: %d samples behind the last, error %v", c, len(at), err)
	}
}

func checkSummary(t testing.TB, r *Reader, c int, times []int64, values []float64) {
	t.Helper()
	got := r.Summary(c)
	want, rising := sumUp(values)
	if got.Count != want.count {
		t.Fatalf("column %d: count %d, want %d", c, got.Count, want.count)
	}
	if got.Count == 0 {
		return
	}
	same := func(a, b float64) bool { return a == b || a != a && b != b }
	near := same(got.Sum, want.sum) || math.Abs(got.Sum-want.sum) <= 1e-12*float64(len(values))*max(math.Abs(want.high), math.Abs(want.low))
	first, _ := r.TimeOf(got.FirstRow)
	last, _ := r.TimeOf(got.LastRow)
	if !same(got.First, want.first) || !same(got.Last, want.last) || !same(got.Min, want.low) || !same(got.Max, want.high) || !near ||
		got.Rising != rising || int64(first) != times[want.firstRow] || int64(last) != times[want.lastRow] {
		t.Fatalf("column %d (%+v): got %+v, want %+v, rising %v", c, r.section.columns[c], got, want, rising)
	}
}
