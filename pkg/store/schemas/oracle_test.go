package schemas

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// truth is one series of one span, spelled out.
type truth struct {
	labels   labels.Labels
	from, to model.Millis
}

// world is a random fleet, and what is true of it.
type world struct {
	*book
	truths []truth
}

var (
	metricNames = []string{"up", "node_cpu", "node_load1", "disk_read", "disk_written", "A"}
	// Z sorts before __name__, and both instance and zone are labels of hosts as well.
	labelNames  = []string{"Z", "cpu", "device", "exported_job", "instance", "job", "mode", "zone"}
	labelValues = []string{"", "0", "1", "a", "b", "ab", "sda", "idle", "line\nbreak", "ü"}
	hostKinds   = [][]string{{"instance", "job"}, {"instance", "job"}, {"instance", "job", "zone"}, {}, {"instance"}}
)

func randomPart(rnd *rand.Rand) model.Part {
	p := model.Part{Collector: fmt.Sprint("c", rnd.IntN(3))}
	for _, i := range rnd.Perm(len(metricNames))[:1+rnd.IntN(3)] {
		f := model.Family{Name: metricNames[i], Help: fmt.Sprint(rnd.IntN(2)), Type: model.MetricType(rnd.IntN(3))}
		seen := map[string]bool{}
		for range 1 + rnd.IntN(6) {
			var pairs []string
			for _, k := range rnd.Perm(len(labelNames))[:rnd.IntN(4)] {
				pairs = append(pairs, labelNames[k], pick1(rnd, labelValues))
			}
			ls := model.LabelsOf(pairs...)
			if key := string(appendOwn(nil, ls)); !seen[key] {
				seen[key] = true
				f.Series = append(f.Series, ls)
			}
		}
		p.Families = append(p.Families, f)
	}
	return p
}

func newWorld(t testing.TB, rnd *rand.Rand) *world {
	w := &world{book: newBook(t)}
	var parts []*Part
	for range 8 {
		parts = append(parts, w.part(randomPart(rnd)))
	}
	type known struct {
		id    frame.SchemaID
		parts []*Part
	}
	var schemas []known
	for range 12 {
		var ps []*Part
		for _, i := range rnd.Perm(len(parts))[:1+rnd.IntN(3)] {
			ps = append(ps, parts[i])
		}
		record, id, err := w.AddSchema(nil, schemaOf(ps...))
		if err != nil {
			continue // one series in two parts
		}
		w.keep(record, nil)
		schemas = append(schemas, known{id, ps})
	}
	workers := 1 + rnd.IntN(12)
	if rnd.IntN(5) == 0 {
		workers = 100 // some matchers select few of many
	}
	for worker := range workers {
		var ls []string
		for _, name := range pick1(rnd, hostKinds) {
			ls = append(ls, name, pick1(rnd, labelValues[1:]))
		}
		source := w.source(worker, ls...)
		for range rnd.IntN(5) {
			s := pick1(rnd, schemas)
			from := model.Millis(rnd.IntN(100) * 1e9)
			to := from + model.Millis(rnd.IntN(3e6))
			w.use(source, model.StreamID(rnd.IntN(3)), s.id, from, to)
			for _, p := range s.parts {
				w.claim(source, p.Model(), from, to)
			}
		}
	}
	return w
}

// claim notes what must be found, by rules written down a second time.
func (w *world) claim(s *Source, p model.Part, from, to model.Millis) {
	host := map[string]string{}
	for _, l := range s.Labels() {
		host[l.Name] = l.Value
	}
	for _, f := range p.Families {
		for _, own := range f.Series {
			all := map[string]string{labels.MetricName: f.Name}
			for _, l := range own {
				if _, has := host[l.Name]; !has && l.Value != "" {
					all[l.Name] = l.Value
				}
			}
			for _, l := range own {
				if _, has := host[l.Name]; has && l.Value != "" {
					name := "exported_" + l.Name
					for all[name] != "" || host[name] != "" || own.Get(name) != "" {
						name = "exported_" + name
					}
					all[name] = l.Value
				}
			}
			for name, value := range host {
				all[name] = value
			}
			w.truths = append(w.truths, truth{labels.FromMap(all), from, to})
		}
	}
}

func randomMatchers(rnd *rand.Rand) (ms []*labels.Matcher) {
	expressions := []string{"", ".*", ".+", "a|b", "a.*", "[0-9]", "(?i)IDLE", "sd.|idle", "|a", "node_.*", "up|node_cpu", "disk_(read|written)", "0"}
	if rnd.IntN(10) == 0 {
		return append(ms, labels.MustNewMatcher(labels.MatchType(rnd.IntN(2)), "instance", pick1(rnd, labelValues)))
	}
	for range 1 + rnd.IntN(3) {
		kind := labels.MatchType(rnd.IntN(4))
		name, value := pick1(rnd, append(labelNames, labels.MetricName, labels.MetricName, labels.MetricName, "nothing")), pick1(rnd, labelValues)
		if name == labels.MetricName {
			value = pick1(rnd, metricNames)
		}
		if kind == labels.MatchRegexp || kind == labels.MatchNotRegexp {
			value = pick1(rnd, expressions)
		}
		ms = append(ms, labels.MustNewMatcher(kind, name, value))
	}
	return ms
}

// want is what must be selected, by brute force.
func (w *world) want(ms []*labels.Matcher, mint, maxt model.Millis) (sets []labels.Labels) {
truths:
	for _, x := range w.truths {
		if x.from > maxt || x.to < mint {
			continue
		}
		for _, m := range ms {
			if !m.Matches(x.labels.Get(m.Name)) {
				continue truths
			}
		}
		sets = append(sets, x.labels)
	}
	slices.SortFunc(sets, labels.Compare)
	return slices.CompactFunc(sets, labels.Equal)
}

func namesOf(sets []labels.Labels) []string {
	var names []string
	for _, s := range sets {
		s.Range(func(l labels.Label) { names = append(names, l.Name) })
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func valuesOf(sets []labels.Labels, name string) []string {
	var values []string
	for _, s := range sets {
		if v := s.Get(name); v != "" {
			values = append(values, v)
		}
	}
	slices.Sort(values)
	return slices.Compact(values)
}

func spelled(sets []labels.Labels) []string {
	all := make([]string, len(sets))
	for i, s := range sets {
		all[i] = s.String()
	}
	return all
}

// check holds a dictionary against what is true of w.
func (w *world) check(t testing.TB, d *Dictionary, ms []*labels.Matcher, mint, maxt model.Millis) {
	t.Helper()
	want := w.want(ms, mint, maxt)
	if diff := cmp.Diff(spelled(want), spelled(selected(t, d, true, ms, mint, maxt))); diff != "" {
		t.Fatalf("select %v from %d to %d (-want +got):\n%s", ms, mint, maxt, diff)
	}
	unsorted := selected(t, d, false, ms, mint, maxt)
	slices.SortFunc(unsorted, labels.Compare)
	if diff := cmp.Diff(spelled(want), spelled(unsorted)); diff != "" {
		t.Fatalf("select unsorted %v from %d to %d (-want +got):\n%s", ms, mint, maxt, diff)
	}
	names, err := d.LabelNames(t.Context(), mint, maxt, ms...)
	if diff := cmp.Diff(namesOf(want), names); diff != "" || err != nil {
		t.Fatalf("label names %v (-want +got), %v:\n%s", ms, err, diff)
	}
	for _, name := range append(labelNames, labels.MetricName, "nothing") {
		values, err := d.LabelValues(t.Context(), mint, maxt, name, ms...)
		if diff := cmp.Diff(valuesOf(want, name), values); diff != "" || err != nil {
			t.Fatalf("values of %q, %v (-want +got), %v:\n%s", name, ms, err, diff)
		}
	}
}

// selected are the series of a selection; each of its places must be one of that series.
func selected(t testing.TB, d *Dictionary, sorted bool, ms []*labels.Matcher, mint, maxt model.Millis) (sets []labels.Labels) {
	t.Helper()
	sel, err := d.Select(t.Context(), mint, maxt, ms...)
	if err != nil {
		t.Fatal(err)
	}
	groups := make([]Group, 0, sel.Groups())
	for i, g := range sel.AllGroups() {
		if i != len(groups) {
			t.Fatalf("group %d comes as number %d", len(groups), i)
		}
		if g.From > maxt || g.To < mint || len(g.Columns) == 0 {
			t.Fatalf("group from %d to %d of %d columns, for %d to %d", g.From, g.To, len(g.Columns), mint, maxt)
		}
		groups = append(groups, g)
	}
	places := 0
	for s := range sel.Series(sorted) {
		sets = append(sets, s.Labels)
		for _, at := range s.Places {
			g := groups[at.Group]
			name, own := g.Part.Column(int(g.Columns[at.Index]))
			if got := s.Labels.Get(labels.MetricName); got != name {
				t.Fatalf("series %v lies in a column of %q", s.Labels, name)
			}
			for _, l := range own {
				if l.Value != "" && !hasValue(s.Labels, l.Value) {
					t.Fatalf("series %v lies in a column with label %v", s.Labels, l)
				}
			}
			for _, l := range g.Source.Labels() {
				if s.Labels.Get(l.Name) != l.Value {
					t.Fatalf("series %v lies in a group of %v", s.Labels, g.Source.Labels())
				}
			}
			places++
		}
	}
	columns := 0
	for _, g := range groups {
		columns += len(g.Columns)
	}
	if places != columns {
		t.Fatalf("%d places, but %d columns", places, columns)
	}
	if sel.Len() != len(sets) {
		t.Fatalf("Len is %d of %d", sel.Len(), len(sets))
	}
	return sets
}

func hasValue(ls labels.Labels, value string) (has bool) {
	ls.Range(func(l labels.Label) { has = has || l.Value == value })
	return has
}

func TestSelectionsAreThoseOfBruteForce(t *testing.T) {
	for seed := range uint64(40) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		w := newWorld(t, rnd)
		loaded := reloaded(t, w.log)
		if err := w.Bounds(func(record []byte) error { return loaded.Load(record) }); err != nil {
			t.Fatal(err)
		}
		for i := range 40 {
			ms := randomMatchers(rnd)
			if i == 0 {
				ms = nil
			}
			mint := model.Millis(rnd.IntN(110) * 1e9)
			maxt := mint + model.Millis(rnd.IntN(20)*1e9)
			w.check(t, w.Dictionary, ms, mint, maxt)
			w.check(t, loaded, ms, MinTime, MaxTime)
		}
	}
}

func TestSelectionsAreThoseOfPrometheus(t *testing.T) {
	for seed := range uint64(15) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		w := newWorld(t, rnd)
		head := headOf(t, w)
		q, err := tsdb.NewBlockQuerier(tsdb.NewRangeHead(head, 0, 1), 0, 1)
		if err != nil {
			t.Fatal(err)
		}
		for range 60 {
			ms := randomMatchers(rnd)
			var want []labels.Labels
			set := q.Select(context.Background(), true, nil, slices.Clone(ms)...)
			for set.Next() {
				want = append(want, set.At().Labels())
			}
			if diff := cmp.Diff(spelled(want), spelled(selected(t, w.Dictionary, true, ms, MinTime, MaxTime))); diff != "" || set.Err() != nil {
				t.Fatalf("seed %d: select %v (-prometheus +got), %v:\n%s", seed, ms, set.Err(), diff)
			}
			names, _, err := q.LabelNames(context.Background(), nil, slices.Clone(ms)...)
			got, _ := w.LabelNames(context.Background(), MinTime, MaxTime, ms...)
			if !slices.Equal(names, got) || err != nil {
				t.Fatalf("seed %d: label names %v: prometheus %q, got %q, %v", seed, ms, names, got, err)
			}
			for _, name := range append(labelNames, labels.MetricName) {
				values, _, err := q.LabelValues(context.Background(), name, nil, slices.Clone(ms)...)
				got, _ := w.LabelValues(context.Background(), MinTime, MaxTime, name, ms...)
				slices.Sort(values)
				if !slices.Equal(values, got) || err != nil {
					t.Fatalf("seed %d: values of %s, %v: prometheus %q, got %q, %v", seed, name, ms, values, got, err)
				}
			}
		}
		q.Close()
	}
}

// headOf puts all series of a world into the library's head.
func headOf(t testing.TB, w *world) *tsdb.Head {
	t.Helper()
	options := tsdb.DefaultHeadOptions()
	options.ChunkDirRoot = t.TempDir()
	head, err := tsdb.NewHead(nil, nil, nil, nil, options, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { head.Close() })
	if err := head.Init(0); err != nil {
		t.Fatal(err)
	}
	app := head.Appender(context.Background())
	for _, x := range w.want(nil, MinTime, MaxTime) {
		if _, err := app.Append(0, x, 1, 1); err != nil {
			t.Fatal(err)
		}
	}
	if err := app.Commit(); err != nil {
		t.Fatal(err)
	}
	return head
}
