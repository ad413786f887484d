package query

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/schemas"
)

// chooser makes a world: a random one, or what a fuzzer says.
type chooser interface{ IntN(n int) int }

// bytesChooser chooses by bytes; when there are none left it is always 0.
type bytesChooser struct{ left []byte }

func (c *bytesChooser) IntN(n int) int {
	if len(c.left) == 0 {
		return 0
	}
	b := int(c.left[0])
	c.left = c.left[1:]
	if n > 256 && len(c.left) > 0 {
		b = b<<8 | int(c.left[0])
		c.left = c.left[1:]
	}
	return b % n
}

// start is when the rows of random worlds begin.
const start = 1_700_000_000_000

// catalog are parts that share series with each other, as versions of one do.
func catalog(w *world) (parts []*schemas.Part) {
	series := func(names ...string) (all []model.Labels) {
		for _, n := range names {
			all = append(all, model.Labels{{Name: "device", Value: n}})
		}
		return all
	}
	for _, p := range []model.Part{
		{Collector: "disk", Families: []model.Family{{Name: "reads", Type: model.Counter, Series: series("a")}}},
		{Collector: "disk", Families: []model.Family{{Name: "reads", Type: model.Counter, Series: series("a", "b")}}},
		{Collector: "disk", Families: []model.Family{{Name: "reads", Type: model.Counter, Series: series("b", "c")}}},
		{Collector: "mem", Families: []model.Family{{Name: "free", Scale: 1, Series: []model.Labels{nil}}}},
		{Collector: "cpu", Families: []model.Family{
			{Name: "busy", Type: model.Counter, Scale: 2, Series: series("0", "1")},
			{Name: "temperature", Scale: 3, Series: series("0")},
		}},
	} {
		parts = append(parts, w.part(p))
	}
	return parts
}

// sheets are sparse parts. Their series are in other lanes, not in other parts.
func sheets(w *world) (parts []*schemas.Part) {
	for _, names := range [][]string{{"0", "1"}, {"2"}} {
		f := model.Family{Name: "result"}
		for _, n := range names {
			f.Series = append(f.Series, model.Labels{{Name: "device", Value: n}})
		}
		parts = append(parts, w.part(model.Part{Collector: model.SparseCollector, Families: []model.Family{f}}))
	}
	return parts
}

// gen makes random rows.
type gen struct {
	chooser
	w     *world
	parts []*schemas.Part // of usual lanes
	sheet []*schemas.Part // of sparse ones; nil for none
	spans []model.Millis  // steps between rows
	only  form            // of all pieces, when it is not 0
}

func (g *gen) value() float64 {
	switch g.IntN(12) {
	case 0, 1:
		return model.Absent()
	case 2:
		return math.NaN()
	case 3:
		return float64(g.IntN(1000)) / 8
	}
	return float64(g.IntN(100))
}

// schema chooses parts that can be together; none for an end row.
func (g *gen) schema() (parts []*schemas.Part) {
	if g.IntN(8) == 0 {
		return nil
	}
	versions, other := g.parts[:3], g.parts[3:]
	if i := g.IntN(4); i < 3 {
		parts = append(parts, versions[i])
	}
	for _, p := range other {
		if g.IntN(3) > 0 {
			parts = append(parts, p)
		}
	}
	return parts
}

// sheets chooses sparse parts.
func (g *gen) sheets() []*schemas.Part {
	switch g.IntN(4) {
	case 0:
		return g.sheet[:1]
	case 1:
		return g.sheet[1:]
	}
	return g.sheet
}

// lane stores some pieces: each begins about where another began or ended.
func (g *gen) lane(id laneID) {
	sparse := g.sheet != nil && g.IntN(4) == 0
	at := model.Millis(start + 1000*g.IntN(300))
	for range 1 + g.IntN(4) {
		if g.IntN(3) == 0 {
			at = start + model.Millis(1000*g.IntN(300))
		}
		step := g.spans[g.IntN(len(g.spans))]
		var rows []stored
		schema := g.schema
		if sparse {
			schema = g.sheets
		}
		parts := schema()
		for range 1 + g.IntN(12) {
			if g.IntN(4) == 0 {
				parts = schema()
			}
			r := stored{at: at, parts: parts}
			for _, p := range parts {
				for range p.Columns() {
					v := g.value()
					if sparse && g.IntN(2) == 0 {
						v = []float64{model.Absent(), model.Ended()}[g.IntN(2)]
					}
					r.values = append(r.values, v)
				}
			}
			rows = append(rows, r)
			at += step * model.Millis(1+g.IntN(2))
		}
		if g.IntN(4) == 0 {
			at -= 3 * step // the next one overlaps
		}
		as := form(g.IntN(3))
		if g.only != 0 {
			as = g.only
		}
		g.w.store(id, as, rows...)
	}
}

// randomWorld makes a world of a few lanes, some of which share series.
func randomWorld(tb testing.TB, c chooser) *world {
	w := newWorld(tb)
	g := &gen{chooser: c, w: w, parts: catalog(w), sheet: sheets(w), spans: []model.Millis{1000, 5000, 15000, 60000}}
	hosts := 1 + g.IntN(3)
	for h := range hosts {
		for copies := range 1 + g.IntN(2)*g.IntN(2) { // a cloned disk: another worker, the same labels
			source := w.source(10*h+copies+1, "instance", fmt.Sprint("host", h), "job", "node")
			for s := range 1 + g.IntN(3) {
				g.lane(laneID{source, model.StreamID(s + 1)})
			}
		}
	}
	return w
}

// lookbacks of the tests are short, so that lanes fall silent.
var lookback = (100 * time.Second).Milliseconds()

func checkWindows(tb testing.TB, w *world, c chooser) {
	q := w.queryable(func(o *Options) {
		o.Lookback = 100 * time.Second
		o.Parallel = 1 + c.IntN(2)
		if c.IntN(3) == 0 {
			o.Memory = model.Bytes(c.IntN(2000))
		}
	})
	q.batch = 1 + c.IntN(100)
	truth := w.truth(lookback)
	all := labels.MustNewMatcher(labels.MatchRegexp, labels.MetricName, ".+")
	for i := range 6 {
		mint, maxt := int64(math.MinInt64), int64(math.MaxInt64)
		if i > 0 {
			mint = start + int64(c.IntN(600_000)) - 50_000
			maxt = mint + int64(c.IntN(300_000))
		}
		querier, err := q.Querier(mint, maxt)
		if err != nil {
			tb.Fatal(err)
		}
		if d := differences(selected(tb, querier, c.IntN(2) == 0, nil, all), truth, mint, maxt); d != "" {
			tb.Fatal(d)
		}
		checkSeeks(tb, c, querier.Select(tb.Context(), false, nil, all))
		if err := querier.Close(); err != nil {
			tb.Fatal(err)
		}
	}
}

// checkSeeks goes through every series in leaps, and compares where it lands with single steps.
func checkSeeks(tb testing.TB, c chooser, set storage.SeriesSet) {
	for set.Next() {
		s := set.At()
		want := drained(tb, s.Iterator(nil))
		it := s.Iterator(nil)
		for at := -1; at < len(want); {
			var found chunkenc.ValueType
			if c.IntN(2) == 0 {
				at++
				found = it.Next()
			} else {
				t := start + int64(c.IntN(400_000))
				for at = max(at, 0); at < len(want) && want[at].t < t; {
					at++
				}
				found = it.Seek(t)
			}
			if (found == chunkenc.ValFloat) != (at < len(want)) {
				tb.Fatalf("%v: got %v at sample %d of %v", s.Labels(), found, at, want)
			}
			if found == chunkenc.ValFloat {
				if t, v := it.At(); !want[at].is(sample{t, v}) {
					tb.Fatalf("%v: got %v, want %v of %v", s.Labels(), sample{t, v}, want[at], want)
				}
			}
		}
		if it.Next() != chunkenc.ValNone || it.Seek(0) != chunkenc.ValNone || it.Err() != nil {
			tb.Fatalf("%v: goes on after its end: %v", s.Labels(), it.Err())
		}
	}
}

func TestTimelinesAreWhatTheRulesSay(t *testing.T) {
	seed := uint64(0)
	defer func() {
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	}()
	for ; seed < 300; seed++ {
		r := rand.New(rand.NewPCG(seed, 4))
		checkWindows(t, randomWorld(t, r), r)
	}
}

func FuzzTimelines(f *testing.F) {
	for seed := range byte(8) {
		b := make([]byte, 200)
		for i := range b {
			b[i] = byte(i*7) * seed
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, choices []byte) {
		c := &bytesChooser{choices}
		checkWindows(t, randomWorld(t, c), c)
	})
}
