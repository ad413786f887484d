package schemas

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/frame/frametest"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// perHost is how many series of the recorded host a host of the benchmarks has.
const perHost = 500

var recordedParts = sync.OnceValue(func() []model.Part {
	r, err := frametest.Node()
	if err != nil {
		panic(err)
	}
	return r.Parts
})

// hostParts are the parts of the recorded host, cut to most series. With devices, the
// disks, interfaces and mounts are called otherwise on every host.
func hostParts(tb testing.TB, most int, devices string) (parts []model.Part) {
	tb.Helper()
	n := 0
	for _, recorded := range recordedParts() {
		p := model.Part{Collector: recorded.Collector}
		for _, f := range recorded.Families {
			f.Series = append([]model.Labels(nil), f.Series[:min(len(f.Series), most-n)]...)
			if n += len(f.Series); len(f.Series) == 0 {
				continue
			}
			for i, ls := range f.Series {
				f.Series[i] = append(model.Labels(nil), ls...)
				for k, l := range ls {
					switch l.Name {
					case "device", "interface", "mountpoint", "name":
						f.Series[i][k].Value = l.Value + devices
					}
				}
			}
			p.Families = append(p.Families, f)
		}
		if len(p.Families) > 0 {
			parts = append(parts, p)
		}
	}
	return parts
}

// fleet is hosts in a dictionary, as the engine will hold them.
type fleet struct {
	*Dictionary
	layouts []*frame.Layout
	rows    [][]uint64 // 16 bytes a series: the newest value, and its time or state
	series  int
}

func (f *fleet) host(tb testing.TB, number int, encoded [][]byte) {
	var named frame.Schema
	columns := 0
	for _, e := range encoded {
		_, p, err := f.AddPart(nil, e)
		if err != nil {
			tb.Fatal(err)
		}
		named.Parts = append(named.Parts, p.ID())
		columns += p.Columns()
	}
	_, id, err := f.AddSchema(nil, frame.AppendSchema(nil, named))
	if err != nil {
		tb.Fatal(err)
	}
	_, s, err := f.AddSource(nil, workerID(number), hostLabels(number))
	if err != nil {
		tb.Fatal(err)
	}
	if _, _, err := f.Use(nil, s, 1, id, 1000); err != nil {
		tb.Fatal(err)
	}
	layout, err := f.Layout(id)
	if err != nil {
		tb.Fatal(err)
	}
	f.layouts = append(f.layouts, layout)
	f.rows = append(f.rows, make([]uint64, 2*columns))
	f.series += columns
}

func hostLabels(number int) labels.Labels {
	return labels.FromStrings("instance", fmt.Sprintf("host-%05d.example.com", number), "job", "node")
}

func encodeParts(tb testing.TB, parts []model.Part) (all [][]byte) {
	for _, p := range parts {
		all = append(all, encode(tb, p))
	}
	return all
}

func heapInUse() int64 {
	var m runtime.MemStats
	for range 3 {
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func newFleet(tb testing.TB, hosts int, own bool) *fleet {
	f := &fleet{Dictionary: New(DefaultConfig())}
	encoded := encodeParts(tb, hostParts(tb, perHost, ""))
	for i := range hosts {
		if own {
			encoded = encodeParts(tb, hostParts(tb, perHost, fmt.Sprintf("-%06d", i)))
		}
		f.host(tb, i, encoded)
	}
	return f
}

// BenchmarkHeap tells bytes of heap for each active series, newest rows (16 bytes a
// series) and layouts included; run it once with -benchtime 1x.
func BenchmarkHeap(b *testing.B) {
	for _, c := range []struct {
		name  string
		hosts int
		own   bool
	}{{"same", 200, false}, {"same", 2000, false}, {"devices", 200, true}, {"devices", 2000, true}} {
		b.Run(fmt.Sprintf("%s/series=%d", c.name, c.hosts*perHost), func(b *testing.B) {
			for range b.N {
				was := heapInUse()
				f := newFleet(b, c.hosts, c.own)
				heap := heapInUse() - was
				b.ReportMetric(float64(heap)/float64(f.series), "B/series")
				b.ReportMetric(float64(f.Stats().Bytes)/float64(f.series), "estimated-B/series")
				runtime.KeepAlive(f)
			}
		})
	}
	b.Run("tsdb/series=100000", func(b *testing.B) {
		for range b.N {
			was := heapInUse()
			head := newHead(b)
			parts := hostParts(b, perHost, "")
			for i := range 200 {
				addToHead(b, head, i, parts)
			}
			b.ReportMetric(float64(heapInUse()-was)/float64(200*perHost), "B/series")
			runtime.KeepAlive(head)
		}
	})
}

func newHead(tb testing.TB) *tsdb.Head {
	options := tsdb.DefaultHeadOptions()
	options.ChunkDirRoot = tb.TempDir()
	head, err := tsdb.NewHead(nil, nil, nil, nil, options, nil)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { head.Close() })
	if err := head.Init(0); err != nil {
		tb.Fatal(err)
	}
	return head
}

func addToHead(tb testing.TB, head *tsdb.Head, number int, parts []model.Part) {
	app := head.Appender(context.Background())
	host := hostLabels(number)
	b := labels.NewScratchBuilder(8)
	for _, p := range parts {
		for _, f := range p.Families {
			for _, own := range f.Series {
				b.Reset()
				b.Add(labels.MetricName, f.Name)
				for _, l := range own {
					b.Add(l.Name, l.Value)
				}
				host.Range(func(l labels.Label) { b.Add(l.Name, l.Value) })
				b.Sort()
				if _, err := app.Append(0, b.Labels(), 1000, 1); err != nil {
					tb.Fatal(err)
				}
			}
		}
	}
	if err := app.Commit(); err != nil {
		tb.Fatal(err)
	}
}

func matchersOf(pairs ...string) (ms []*labels.Matcher) {
	for i := 0; i < len(pairs); i += 3 {
		kind := map[string]labels.MatchType{"=": labels.MatchEqual, "!=": labels.MatchNotEqual, "=~": labels.MatchRegexp, "!~": labels.MatchNotRegexp}[pairs[i+1]]
		ms = append(ms, labels.MustNewMatcher(kind, pairs[i], pairs[i+2]))
	}
	return ms
}

var selects = []struct {
	name     string
	matchers []*labels.Matcher
	sorted   bool
}{
	{"idle", matchersOf("__name__", "=", "node_cpu_seconds_total", "mode", "=", "idle"), false},
	{"idle-sorted", matchersOf("__name__", "=", "node_cpu_seconds_total", "mode", "=", "idle"), true},
	{"instance-regexp", matchersOf("__name__", "=", "node_cpu_seconds_total", "mode", "=", "idle", "instance", "=~", "host-0[0-4][0-9]*5[.].*"), false},
	{"instance-set", matchersOf("__name__", "=", "node_cpu_seconds_total", "instance", "=~", "host-00007.example.com|host-07777.example.com"), false},
	{"one-host", matchersOf("instance", "=", "host-07777.example.com"), false},
	{"name-regexp", matchersOf("__name__", "=~", "node_load.*|node_cpu_guest.*"), false},
	{"nothing", matchersOf("__name__", "=", "node_cpu_seconds_total", "mode", "=", "nothing"), false},
}

// BenchmarkSelect goes through the label sets of what 10,000 hosts have. The library has
// only the first 60 series of each host, for the sake of memory.
func BenchmarkSelect(b *testing.B) {
	const hosts = 10_000
	for _, own := range []bool{false, true} {
		name := map[bool]string{false: "same", true: "devices"}[own]
		f := newFleet(b, hosts, false)
		if own {
			f = newFleet(b, hosts/5, true) // makes them differ; fewer, for the sake of time
			name = "devices-2000-hosts"
		}
		f.rows, f.layouts = nil, nil
		for _, s := range selects {
			b.Run(name+"/"+s.name, func(b *testing.B) {
				b.ReportAllocs()
				n := 0
				for range b.N {
					n = 0
					sel, err := f.Select(context.Background(), 0, 2000, s.matchers...)
					if err != nil {
						b.Fatal(err)
					}
					for x := range sel.Series(s.sorted) {
						n++
						_ = x
					}
				}
				b.ReportMetric(float64(n), "series")
			})
		}
		b.Run(name+"/idle-groups", func(b *testing.B) {
			for range b.N {
				sel, _ := f.Select(context.Background(), 0, 2000, selects[0].matchers...)
				for _, g := range sel.AllGroups() {
					_ = g
				}
			}
		})
		b.Run(name+"/values-of-instance", func(b *testing.B) {
			for range b.N {
				f.LabelValues(context.Background(), 0, 2000, "instance")
			}
		})
		b.Run(name+"/values-of-name", func(b *testing.B) {
			for range b.N {
				f.LabelValues(context.Background(), 0, 2000, labels.MetricName)
			}
		})
		f = nil
		runtime.GC()
	}
	head := newHead(b)
	parts := hostParts(b, 60, "")
	for i := range hosts {
		addToHead(b, head, i, parts)
	}
	q, err := tsdb.NewBlockQuerier(tsdb.NewRangeHead(head, 0, 2000), 0, 2000)
	if err != nil {
		b.Fatal(err)
	}
	defer q.Close()
	for _, s := range selects {
		b.Run("tsdb/"+s.name, func(b *testing.B) {
			b.ReportAllocs()
			n := 0
			for range b.N {
				n = 0
				hints := &storage.SelectHints{Start: 0, End: 2000, Func: "series"}
				set := q.Select(context.Background(), s.sorted, hints, append([]*labels.Matcher(nil), s.matchers...)...)
				for set.Next() {
					_ = set.At().Labels()
					n++
				}
			}
			b.ReportMetric(float64(n), "series")
		})
	}
	b.Run("tsdb/values-of-instance", func(b *testing.B) {
		for range b.N {
			q.LabelValues(context.Background(), "instance", nil)
		}
	})
}

// BenchmarkAddHost adds hosts of 500 series.
func BenchmarkAddHost(b *testing.B) {
	parts := hostParts(b, perHost, "")
	encoded := encodeParts(b, parts)
	b.Run("known-kind", func(b *testing.B) {
		config := DefaultConfig()
		config.Sources = 1 << 30
		f := &fleet{Dictionary: New(config)}
		var named frame.Schema
		for _, e := range encoded {
			_, p, _ := f.AddPart(nil, e)
			named.Parts = append(named.Parts, p.ID())
		}
		schema := frame.AppendSchema(nil, named)
		b.ReportAllocs()
		b.ResetTimer()
		for i := range b.N {
			_, id, err := f.AddSchema(nil, schema)
			if err != nil {
				b.Fatal(err)
			}
			_, s, err := f.AddSource(nil, workerID(i), hostLabels(i))
			if err != nil {
				b.Fatal(err)
			}
			if _, _, err := f.Use(nil, s, 1, id, 1000); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("new-kind", func(b *testing.B) {
		f := &fleet{Dictionary: New(DefaultConfig())}
		for i := range b.N {
			b.StopTimer()
			own := encodeParts(b, hostParts(b, perHost, fmt.Sprintf("-%06d", i)))
			b.StartTimer()
			f.host(b, i, own)
		}
	})
	b.Run("tsdb", func(b *testing.B) {
		head := newHead(b)
		b.ReportAllocs()
		b.ResetTimer()
		for i := range b.N {
			addToHead(b, head, i, parts)
		}
	})
}

// churnPart is what a host with short-lived interfaces has: 20 families of 50 devices,
// one of which is new each time.
func churnPart(i int) model.Part {
	p := model.Part{Collector: "netdev"}
	var devices []model.Labels
	for k := range 50 {
		devices = append(devices, model.LabelsOf("device", fmt.Sprintf("veth%07d", i+k)))
	}
	for k := range 20 {
		p.Families = append(p.Families, model.Family{Name: fmt.Sprintf("node_network_%d_total", k), Type: model.Counter, Series: devices})
	}
	return p
}

// BenchmarkChurn changes a schema: of 37 parts, one of 1,000 columns loses a device and
// gets another.
func BenchmarkChurn(b *testing.B) {
	b.Run("frames", func(b *testing.B) {
		was := heapInUse()
		d := New(DefaultConfig())
		var named frame.Schema
		for _, e := range encodeParts(b, hostParts(b, perHost, "")) {
			_, p, _ := d.AddPart(nil, e)
			named.Parts = append(named.Parts, p.ID())
		}
		_, s, _ := d.AddSource(nil, workerID(1), hostLabels(1))
		named.Parts = append(named.Parts, frame.PartID{})
		b.ResetTimer()
		for i := range b.N {
			b.StopTimer()
			encoded := encode(b, churnPart(i))
			b.StartTimer()
			_, p, err := d.AddPart(nil, encoded)
			if err != nil {
				b.Fatal(err)
			}
			named.Parts[len(named.Parts)-1] = p.ID()
			_, id, err := d.AddSchema(nil, frame.AppendSchema(nil, named))
			if err != nil {
				b.Fatal(err)
			}
			if _, _, err := d.Use(nil, s, 1, id, model.Millis(i)*1000); err != nil {
				b.Fatal(err)
			}
		}
		b.StopTimer()
		b.ReportMetric(float64(heapInUse()-was)/float64(b.N), "B/change")
		b.ReportMetric(float64(d.Stats().Bytes)/float64(b.N), "estimated-B/change")
		runtime.KeepAlive(d)
	})
	b.Run("tsdb", func(b *testing.B) {
		was := heapInUse()
		head := newHead(b)
		for i := range b.N {
			p := churnPart(i)
			for k := range p.Families {
				p.Families[k].Series = p.Families[k].Series[49:]
			}
			addToHead(b, head, 1, []model.Part{p})
		}
		b.StopTimer()
		b.ReportMetric(float64(heapInUse()-was)/float64(b.N), "B/change")
		runtime.KeepAlive(head)
	})
}

// BenchmarkExtend is what every frame costs.
func BenchmarkExtend(b *testing.B) {
	d := newBook(b)
	span := d.use(d.source(1, "instance", "a"), 1, d.schema(d.part(simplePart("c", "up", nil))), 0)
	b.ResetTimer()
	for i := range b.N {
		if !span.Extend(model.Millis(i)) {
			b.Fatal("not taken")
		}
	}
}

// BenchmarkLoad is a start from a snapshot.
func BenchmarkLoad(b *testing.B) {
	for _, c := range []struct {
		name  string
		hosts int
		own   bool
	}{{"same", 10_000, false}, {"devices", 200, true}, {"devices", 2000, true}} {
		var log [][]byte
		size := 0
		newFleet(b, c.hosts, c.own).Snapshot(func(record []byte) error {
			log = append(log, append([]byte(nil), record...))
			size += len(record)
			return nil
		})
		b.Run(fmt.Sprintf("%s/hosts=%d", c.name, c.hosts), func(b *testing.B) {
			for range b.N {
				d := New(DefaultConfig())
				for _, record := range log {
					if err := d.Load(record); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(float64(size)/float64(c.hosts), "log-B/host")
		})
	}
}
