package query

import (
	"context"
	"fmt"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/frame/frametest"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/block"
	"github.com/cloudless-fleet/cloudless/pkg/store/schemas"
)

// The fleet of the benchmarks: a recorded host, 200 times, for 65 minutes at 15 s. Its first
// 500 series.
const (
	benchHosts    = 200
	benchSeries   = 500
	benchRows     = 4 * 65
	benchKeyEvery = 60
)

// fleet is the hosts in three engines.
type fleet struct {
	dictionary   *schemas.Dictionary
	end          time.Time
	open, sealed *fleetData
	library      func() *tsdb.DB // filled at the first call
}

// fleetData is Data without locks: nothing changes.
type fleetData struct {
	pieces map[*schemas.Source][]Piece
	newest map[*schemas.Source]stored
}

func (d *fleetData) Pieces(dst []Piece, source *schemas.Source, _ model.StreamID, mint, maxt model.Millis) []Piece {
	for _, p := range d.pieces[source] {
		if first, last := p.Range(); first <= maxt && last >= mint {
			dst = append(dst, p)
		}
	}
	return dst
}

func (d *fleetData) Newest(dst []float64, source *schemas.Source, _ model.StreamID, part frame.PartID, mint, maxt model.Millis) (values []float64, at model.Millis, has, ok bool) {
	r := d.newest[source]
	if r.at < mint || r.at > maxt {
		return dst, 0, false, false
	}
	from := 0
	for _, p := range r.parts {
		if p.ID() == part {
			return append(dst[:0], r.values[from:from+p.Columns()]...), r.at, true, true
		}
		from += p.Columns()
	}
	return dst, r.at, false, true
}

// group is a key group of frames, as the head will have them.
type keyGroup struct {
	first, last model.Millis
	rank        uint64
	schema      frame.SchemaID
	layout      *frame.Layout
	parts       []*schemas.Part
	times       []int64
	frames      [][]byte
}

func (g *keyGroup) Range() (first, last model.Millis) { return g.first, g.last }
func (g *keyGroup) Rank() uint64                      { return g.rank }

type keyGroupKind struct{}

func (g *keyGroup) Open(pool *Readers) (PieceReader, error) {
	r, known := pool.Take(keyGroupKind{}).(*keyGroupReader)
	if !known {
		r = &keyGroupReader{pool: pool}
	}
	r.group = g
	return r, nil
}

type keyGroupReader struct {
	pool   *Readers
	group  *keyGroup
	rows   []float64
	stride int
	run    [1]Run

	decoder *frame.PartDecoder // of this part:
	schema  frame.SchemaID
	part    int
}

func (r *keyGroupReader) Times() ([]int64, error) { return r.group.times, nil }

func (r *keyGroupReader) Select(part frame.PartID) ([]Run, error) {
	for i, p := range r.group.parts {
		if p.ID() != part {
			continue
		}
		if r.decoder == nil || r.schema != r.group.schema || r.part != i {
			r.decoder, r.schema, r.part = frame.NewPartDecoder(r.group.layout, r.group.schema, i), r.group.schema, i
		}
		r.rows, r.stride = r.rows[:0], p.Columns()
		for _, f := range r.group.frames {
			if err := r.decoder.Decode(f); err != nil {
				return nil, err
			}
			r.rows = append(r.rows, r.decoder.Row()...)
		}
		r.run[0] = Run{0, len(r.group.frames)}
		return r.run[:], nil
	}
	return nil, nil
}

func (r *keyGroupReader) Column(dst []float64, column int) ([]float64, error) {
	return r.Rows(dst, column, 0, len(r.group.frames))
}

func (r *keyGroupReader) Rows(dst []float64, column, from, to int) ([]float64, error) {
	for i := from; i < to; i++ {
		dst = append(dst, r.rows[i*r.stride+column])
	}
	return dst, nil
}

func (r *keyGroupReader) Close() { r.pool.Give(keyGroupKind{}, r) }

// cutParts are parts of the recorded host, cut to the first series.
func cutParts(recorded []model.Part) (parts []model.Part) {
	n := 0
	for _, p := range recorded {
		cut := model.Part{Collector: p.Collector}
		for _, f := range p.Families {
			f.Series = f.Series[:min(len(f.Series), benchSeries-n)]
			if n += len(f.Series); len(f.Series) > 0 {
				cut.Families = append(cut.Families, f)
			}
		}
		if len(cut.Families) > 0 {
			parts = append(parts, cut)
		}
	}
	return parts
}

var benchFleet = sync.OnceValue(func() *fleet {
	f := &fleet{dictionary: schemas.New(schemas.DefaultConfig())}
	must := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	recording, err := frametest.Node()
	must(err)
	recording = recording.Thin(15)
	f.open = &fleetData{map[*schemas.Source][]Piece{}, map[*schemas.Source]stored{}}
	f.sealed = &fleetData{map[*schemas.Source][]Piece{}, f.open.newest}
	var named frame.Schema
	var parts []*schemas.Part
	var sealing []block.Part
	for _, p := range cutParts(recording.Parts) {
		encoded, err := frame.AppendPart(nil, p)
		must(err)
		_, added, err := f.dictionary.AddPart(nil, encoded)
		must(err)
		parts = append(parts, added)
		named.Parts = append(named.Parts, added.ID())
		sealing = append(sealing, block.PartOf(added.ID(), p))
	}
	_, id, err := f.dictionary.AddSchema(nil, frame.AppendSchema(nil, named))
	must(err)
	layout, err := f.dictionary.Layout(id)
	must(err)
	replay := frametest.NewFleet(recording)
	w := block.NewWriter()
	var sources []*schemas.Source
	for number := range benchHosts {
		_, source, err := f.dictionary.AddSource(nil, workerID(number), labels.FromStrings("instance", fmt.Sprintf("host-%05d", number), "job", "node"))
		must(err)
		sources = append(sources, source)
		encoder := frame.NewEncoder(layout, id, benchKeyEvery)
		w.Begin(source.Worker(), 1)
		must(w.Schema(sealing))
		host := replay.Host(uint64(number))
		var group *keyGroup
		for range benchRows {
			at, row := host.Next()
			row = row[:layout.Columns()]
			payload, key := encoder.Append(nil, at, row)
			if key {
				group = &keyGroup{first: at, rank: uint64(at), schema: id, layout: layout, parts: parts}
				f.open.pieces[source] = append(f.open.pieces[source], group)
			}
			group.last = at
			group.times, group.frames = append(group.times, int64(at)), append(group.frames, payload)
			must(w.Append(at, row))
			if at > model.Millis(f.end.UnixMilli()) || f.end.IsZero() {
				f.end = time.UnixMilli(int64(at))
			}
			f.open.newest[source] = stored{at, parts, append([]float64(nil), row...)}
			_, _, err = f.dictionary.Use(nil, source, 1, id, at)
			must(err)
		}
		first, last := group.times[0], group.last
		first = f.open.pieces[source][0].(*keyGroup).times[0]
		f.sealed.pieces[source] = []Piece{Sealed(sealedBytes(w.Seal(nil)), model.Millis(first), last, 1)}
	}
	f.library = sync.OnceValue(func() *tsdb.DB { return filledLibrary(replay, sources, parts) })
	return f
})

// filledLibrary appends the same samples in the order in which they come.
func filledLibrary(replay *frametest.Fleet, sources []*schemas.Source, parts []*schemas.Part) *tsdb.DB {
	options := tsdb.DefaultOptions()
	options.RetentionDuration = math.MaxInt64
	db, err := tsdb.Open(benchDir, nil, nil, options, nil)
	if err != nil {
		panic(err)
	}
	db.DisableCompactions()
	hosts := make([]*frametest.Host, len(sources))
	sets := make([][]labels.Labels, len(sources))
	refs := make([][]storage.SeriesRef, len(sources))
	for i, source := range sources {
		hosts[i] = replay.Host(uint64(i))
		for _, p := range parts {
			for c := range p.Columns() {
				sets[i] = append(sets[i], labelsOf(source, p, c))
			}
		}
		refs[i] = make([]storage.SeriesRef, len(sets[i]))
	}
	for range benchRows {
		app := db.Appender(context.Background())
		for i, h := range hosts {
			at, row := h.Next()
			for c, ls := range sets[i] {
				if refs[i][c], err = app.Append(refs[i][c], ls, int64(at), row[c]); err != nil {
					panic(err)
				}
			}
		}
		if err := app.Commit(); err != nil {
			panic(err)
		}
	}
	return db
}

var benchDir string

func TestMain(m *testing.M) { testMain(m) }

// engine is whom queries are asked of.
type engine struct {
	name string
	open func() storage.Queryable
}

func (f *fleet) engines() []engine {
	return []engine{
		{"open", func() storage.Queryable { return New(f.dictionary, f.open, DefaultOptions()) }},
		{"sealed", func() storage.Queryable { return New(f.dictionary, f.sealed, DefaultOptions()) }},
		{"tsdb", func() storage.Queryable { return f.library() }},
	}
}

var benchQueries = []struct {
	name, query string
	hours       float64
	step        time.Duration
}{
	{"rate by instance", `sum by (instance) (rate(node_cpu_seconds_total[5m]))`, 0, 0},
	{"one series for 1 h", `node_load1{instance="host-00042"}`, 1, 15 * time.Second},
	{"topk over all", `topk(10, {job="node"})`, 0, 0},
	{"topk of a rate", `topk(10, rate(node_cpu_seconds_total[5m]))`, 0, 0},
	{"fleet-wide rate for 1 h", `sum(rate(node_cpu_seconds_total[5m]))`, 1, time.Minute},
}

func BenchmarkQuery(b *testing.B) {
	f := benchFleet()
	engine := newEngine(5 * time.Minute)
	for _, q := range benchQueries {
		for _, with := range f.engines() {
			b.Run(q.name+"/"+with.name, func(b *testing.B) {
				data := with.open()
				b.ReportAllocs()
				b.ResetTimer()
				before := cpuTime(b)
				for range b.N {
					result, done := evaluate(b, engine, data, q.query, f.end.Add(-time.Duration(q.hours*float64(time.Hour))), f.end, q.step)
					if result.Err != nil || len(matrixOf(result.Value)) == 0 {
						b.Fatal(result)
					}
					done()
				}
				reportCPU(b, before)
			})
		}
	}
}

// BenchmarkSelect is without the engine.
func BenchmarkSelect(b *testing.B) {
	f := benchFleet()
	for _, c := range []struct {
		name     string
		matcher  *labels.Matcher
		back     time.Duration
		rangeFor int64
	}{
		{"cpu for 5 min", labels.MustNewMatcher(labels.MatchEqual, "__name__", "node_cpu_seconds_total"), 5 * time.Minute, 300_000},
		{"cpu for 1 h", labels.MustNewMatcher(labels.MatchEqual, "__name__", "node_cpu_seconds_total"), time.Hour, 300_000},
		{"all newest", labels.MustNewMatcher(labels.MatchEqual, "job", "node"), 5 * time.Minute, 0},
		{"all for 1 h", labels.MustNewMatcher(labels.MatchEqual, "job", "node"), time.Hour, 300_000},
	} {
		for _, with := range f.engines() {
			b.Run(c.name+"/"+with.name, func(b *testing.B) {
				data := with.open()
				b.ReportAllocs()
				b.ResetTimer()
				samples := 0
				before := cpuTime(b)
				hints := &storage.SelectHints{Start: f.end.Add(-c.back).UnixMilli() + 1, End: f.end.UnixMilli(), Range: c.rangeFor}
				for range b.N {
					samples = selectAll(b, data, hints, c.matcher)
				}
				reportCPU(b, before)
				b.ReportMetric(float64((cpuTime(b)-before).Nanoseconds())/float64(b.N)/float64(samples), "ns/sample")
			})
		}
	}
}
