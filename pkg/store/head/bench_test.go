package head

import (
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/cloudless-fleet/cloudless/pkg/durable"
	"github.com/cloudless-fleet/cloudless/pkg/event"
	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/frame/frametest"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/journal"
	"github.com/cloudless-fleet/cloudless/pkg/store/query"
	"github.com/cloudless-fleet/cloudless/pkg/store/schemas"
)

const benchHosts = 200

// fleet is what some hosts send in some rounds.
type fleet struct {
	columns int
	hosts   int
	now     time.Time
	first   [][]frame.Record // parts and schema of each host
	rounds  [][]message      // by round and host
}

type message struct {
	record frame.Record
	raw    []byte
}

// newFleet replays the recording, thinned to one row every so many seconds.
func newFleet(tb testing.TB, hosts, rounds, every int) *fleet {
	recording, err := frametest.Node()
	if err != nil {
		tb.Fatal(err)
	}
	recording = recording.Thin(every)
	layout, err := frame.NewLayout(recording.Parts)
	if err != nil {
		tb.Fatal(err)
	}
	f := &fleet{columns: layout.Columns(), hosts: hosts}
	var named frame.Schema
	var first []frame.Record
	for _, p := range recording.Parts {
		encoded, err := frame.AppendPart(nil, p)
		if err != nil {
			tb.Fatal(err)
		}
		named.Parts = append(named.Parts, frame.PartIDOf(encoded))
		first = append(first, frame.Record{Seq: uint64(len(first) + 1), Kind: frame.KindPart, Payload: encoded})
	}
	first = append(first, frame.Record{Seq: uint64(len(first) + 1), Kind: frame.KindSchema, Stream: 1, Payload: frame.AppendSchema(nil, named)})
	makers := frametest.NewFleet(recording)
	f.rounds = make([][]message, rounds)
	for host := range hosts {
		f.first = append(f.first, first)
		h, e := makers.Host(uint64(host)), frame.NewEncoder(layout, named.ID(), 60)
		seq := uint64(len(first))
		for round := range rounds {
			at, row := h.Next()
			seq++
			payload, _ := e.Append(nil, at, row)
			r := frame.Record{Seq: seq, Kind: frame.KindFrame, Stream: 1, Payload: payload}
			f.rounds[round] = append(f.rounds[round], message{r, frame.AppendRecord(nil, r)})
			f.now = time.UnixMilli(int64(at))
		}
	}
	return f
}

// discard takes everything.
type discard struct{ log [][]byte }

func (d *discard) Append(record []byte) error {
	d.log = append(d.log, append([]byte(nil), record...))
	return nil
}

func (*discard) Refused(model.WorkerID, model.BootID, uint64, event.Cause, model.Millis, int) error {
	return nil
}

func (f *fleet) head(tb testing.TB, j Journal, log *discard) *Head {
	d := schemas.New(schemas.DefaultConfig())
	for _, record := range log.log {
		if err := d.Load(record); err != nil {
			tb.Fatal(err)
		}
	}
	return New(DefaultLimits(), Deps{Dictionary: d, SchemaLog: log, Journal: j, Ledger: log,
		Now: func() time.Time { return f.now }, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
}

func (f *fleet) worker(host int) model.WorkerID {
	var id [16]byte
	binary.BigEndian.PutUint32(id[:], uint32(host+1))
	return model.WorkerIDFrom(id)
}

func (f *fleet) labels(host int) labels.Labels {
	return labels.FromStrings("instance", fmt.Sprintf("host%d", host), "job", "node")
}

func (f *fleet) open(tb testing.TB, h *Head) []*Session {
	sessions := make([]*Session, f.hosts)
	for host := range sessions {
		s, refusal := h.OpenSession(Source{Worker: f.worker(host), Boot: model.BootID{1}, Labels: f.labels(host), First: 1})
		if refusal != nil {
			tb.Fatal(refusal)
		}
		for _, r := range f.first[host] {
			if refusal := s.Append(r, nil); refusal != nil {
				tb.Fatal(refusal)
			}
		}
		sessions[host] = s
	}
	return sessions
}

func (f *fleet) send(tb testing.TB, sessions []*Session, rounds [][]message) {
	for _, round := range rounds {
		for host, m := range round {
			if refusal := sessions[host].Append(m.record, m.raw); refusal != nil {
				tb.Fatal(refusal)
			}
		}
	}
}

func benchJournal(tb testing.TB, dir string) *journal.Journal {
	j, _, err := journal.Open(dir, journal.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { j.Close() })
	return j
}

// cpu is the processor time that the process has used.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkIngest takes 10 minutes of 200 hosts at 1 s.
func BenchmarkIngest(b *testing.B) {
	f := newFleet(b, benchHosts, 600, 1)
	frames := float64(f.hosts * len(f.rounds))
	b.ReportAllocs()
	used := time.Duration(0)
	b.ResetTimer()
	for range b.N {
		b.StopTimer()
		j := benchJournal(b, b.TempDir())
		h := f.head(b, Over(j), &discard{})
		sessions := f.open(b, h)
		runtime.GC()
		before := cpu()
		b.StartTimer()
		f.send(b, sessions, f.rounds)
		used += cpu() - before
	}
	n := frames * float64(b.N)
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/n, "ns/frame")
	b.ReportMetric(float64(used.Nanoseconds())/n, "cpu-ns/frame")
	b.ReportMetric(n*float64(f.columns)/used.Seconds()/1e6, "Msamples/cpu-s")
}

// nowhere is a journal that keeps nothing: what is left is the head.
type nowhere struct {
	Journal
	next uint64
}

func (n *nowhere) Records(uint64, ...[]byte) (uint64, error) {
	n.next += 199
	return n.next, nil
}

func BenchmarkIngestWithoutJournal(b *testing.B) {
	f := newFleet(b, benchHosts, 600, 1)
	j := benchJournal(b, b.TempDir())
	used := time.Duration(0)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		b.StopTimer()
		h := f.head(b, &nowhere{Journal: Over(j)}, &discard{})
		sessions := f.open(b, h)
		runtime.GC()
		before := cpu()
		b.StartTimer()
		f.send(b, sessions, f.rounds)
		used += cpu() - before
	}
	b.ReportMetric(float64(used.Nanoseconds())/float64(f.hosts*len(f.rounds)*b.N), "cpu-ns/frame")
}

// heap is what is in use.
func heap() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// BenchmarkMemory tells how much memory a series takes in two hours at 15 s and at 1 s (one pass in
// between, as it were): all of the head and the dictionary.
func BenchmarkMemory(b *testing.B) {
	for _, c := range []struct{ every, rounds int }{{15, 480}, {1, 1800}} {
		b.Run(fmt.Sprintf("%d rounds at %ds", c.rounds, c.every), func(b *testing.B) {
			f := newFleet(b, benchHosts, c.rounds, c.every)
			for range b.N {
				j := benchJournal(b, b.TempDir())
				before := heap()
				h := f.head(b, &nowhere{Journal: Over(j)}, &discard{})
				sessions := f.open(b, h)
				opened := heap()
				f.send(b, sessions, f.rounds)
				after := heap()
				series := float64(f.hosts * f.columns)
				b.ReportMetric((after-before)/series, "B/series")
				b.ReportMetric((opened-before)/series, "opened-B/series")
				b.ReportMetric((after-opened)/float64(f.hosts*c.rounds), "B/frame")
				runtime.KeepAlive(h)
				runtime.KeepAlive(sessions)
			}
		})
	}
}

// BenchmarkReplay replays 2 hours of 200 hosts at 15 s.
func BenchmarkReplay(b *testing.B) {
	f := newFleet(b, benchHosts, 480, 15)
	dir, log := b.TempDir(), &discard{}
	j := benchJournal(b, dir)
	f.send(b, f.open(b, f.head(b, Over(j), log)), f.rounds)
	if err := j.Sync(); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	used := time.Duration(0)
	b.ResetTimer()
	for range b.N {
		b.StopTimer()
		h := f.head(b, Over(j), log)
		before := cpu()
		b.StartTimer()
		err := j.Replay(func(index uint64, e journal.Entry) error {
			return h.Replay(index, e, func(uint64) bool { return false })
		}, func(d *durable.Damage) { b.Fatal(d) })
		if err != nil {
			b.Fatal(err)
		}
		got := h.FinishReplay()
		used += cpu() - before
		if got.Frames != uint64(f.hosts*len(f.rounds)) || got.Lost != 0 {
			b.Fatalf("got %+v", got)
		}
	}
	n := float64(f.hosts * len(f.rounds) * b.N)
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/n, "ns/frame")
	b.ReportMetric(float64(used.Milliseconds())/float64(b.N), "cpu-ms")
}

// BenchmarkPieces reads a part of all hosts over an hour at 15 s, and over the last five minutes.
func BenchmarkPieces(b *testing.B) {
	f := newFleet(b, benchHosts, 480, 15)
	j := benchJournal(b, b.TempDir())
	h := f.head(b, Over(j), &discard{})
	f.send(b, f.open(b, h), f.rounds)
	if err := j.Sync(); err != nil {
		b.Fatal(err)
	}
	part := h.Live(f.worker(0))[0].Parts[3].ID()
	now, _ := h.Newest(f.worker(0))
	for _, minutes := range []int64{5, 60} {
		b.Run(fmt.Sprintf("%dm", minutes), func(b *testing.B) {
			b.ReportAllocs()
			var pool query.Readers
			var pieces []query.Piece
			var values []float64
			rows := 0
			for range b.N {
				rows = 0
				for host := range f.hosts {
					source := h.peek(f.worker(host)).source
					pieces = h.Data().Pieces(pieces[:0], source, 1, now.At-model.Millis(minutes*60_000), now.At)
					for _, p := range pieces {
						r, err := p.Open(&pool)
						if err != nil {
							b.Fatal(err)
						}
						times, _ := r.Times()
						if _, err := r.Select(part); err != nil {
							b.Fatal(err)
						}
						if values, err = r.Column(values[:0], 0); err != nil {
							b.Fatal(err)
						}
						rows += len(times)
						r.Close()
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(rows*b.N), "ns/row")
		})
	}
}

// BenchmarkPass begins a pass over 200 hosts and goes over all rows of 30 minutes at 15 s.
func BenchmarkPass(b *testing.B) {
	f := newFleet(b, benchHosts, 120, 15)
	j := benchJournal(b, b.TempDir())
	h := f.head(b, Over(j), &discard{})
	f.send(b, f.open(b, h), f.rounds)
	rows := 0
	begin := time.Duration(0)
	b.ResetTimer()
	for volume := range b.N {
		at := time.Now()
		p, err := h.BeginPass(uint64(volume + 1))
		if err != nil {
			b.Fatal(err)
		}
		begin += time.Since(at)
		err = p.Lanes(func(l *SealLane) error {
			return l.Rows(func(r SealRow) error { rows++; return nil }, nil)
		})
		if err != nil {
			b.Fatal(err)
		}
		p.Done(false)
	}
	b.ReportMetric(float64(begin.Microseconds())/float64(b.N*f.hosts), "begin-us/lane")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(rows), "ns/row")
}

func TestAFrameAllocatesNothing(t *testing.T) {
	f := newFleet(t, 1, 601, 1)
	j := benchJournal(t, t.TempDir())
	h := f.head(t, Over(j), &discard{})
	sessions := f.open(t, h)
	f.send(t, sessions, f.rounds[:120])
	at := 120
	// A group is made every 60 frames, with its rows.
	if n := testing.AllocsPerRun(400, func() {
		f.send(t, sessions, f.rounds[at:at+1])
		at++
	}); n > 0 {
		t.Errorf("got %v allocations a frame", n)
	}
}
