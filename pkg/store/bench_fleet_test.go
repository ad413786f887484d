package store

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"golang.org/x/sys/unix"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/frame/frametest"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// benchFleet is what hosts that are all like the recorded one send, round by round.
type benchFleet struct {
	parts   []model.Part
	columns int
	hosts   []*frametest.Host
	first   []frame.Record
	encode  []*frame.Encoder
	seqs    []uint64
	now     time.Time

	every, length int
	taken         []int // rows of each host
	times         []model.Millis
}

// newBenchFleet replays the recording, one row every so many seconds and so many series
// at most.
func newBenchFleet(tb testing.TB, hosts, every, series int) *benchFleet {
	tb.Helper()
	recording, err := frametest.Node()
	if err != nil {
		tb.Fatal(err)
	}
	recording = narrow(recording, series)
	layout, err := frame.NewLayout(recording.Parts)
	if err != nil {
		tb.Fatal(err)
	}
	f := &benchFleet{parts: recording.Parts, columns: layout.Columns(), every: every, length: len(recording.Rows), taken: make([]int, hosts), times: make([]model.Millis, hosts)}
	var named frame.Schema
	for _, p := range recording.Parts {
		encoded, err := frame.AppendPart(nil, p)
		if err != nil {
			tb.Fatal(err)
		}
		named.Parts = append(named.Parts, frame.PartIDOf(encoded))
		f.first = append(f.first, frame.Record{Seq: uint64(len(f.first) + 1), Kind: frame.KindPart, Payload: encoded})
	}
	f.first = append(f.first, frame.Record{Seq: uint64(len(f.first) + 1), Kind: frame.KindSchema, Stream: 1, Payload: frame.AppendSchema(nil, named)})
	makers := frametest.NewFleet(recording)
	for host := range hosts {
		f.hosts = append(f.hosts, makers.Host(uint64(host)))
		f.encode = append(f.encode, frame.NewEncoder(layout, named.ID(), 60))
		f.seqs = append(f.seqs, uint64(len(f.first)))
	}
	f.now = time.UnixMilli(int64(recording.Start))
	return f
}

// narrow keeps the first series of a recording, whole parts but for the last.
func narrow(r *frametest.Recording, most int) *frametest.Recording {
	kept := *r
	kept.Parts = nil
	left := most
	for _, p := range r.Parts {
		var part model.Part
		part.Collector = p.Collector
		for _, family := range p.Families {
			if left == 0 {
				break
			}
			family.Series = family.Series[:min(left, len(family.Series))]
			left -= len(family.Series)
			part.Families = append(part.Families, family)
		}
		if len(part.Families) > 0 {
			kept.Parts = append(kept.Parts, part)
		}
	}
	columns := most - left
	kept.Rows = make([][]float64, len(r.Rows))
	for i, row := range r.Rows {
		kept.Rows[i] = row[:columns]
	}
	return &kept
}

// message is one encoded frame of a host.
type message struct {
	record frame.Record
	raw    []byte
}

// row is the next row of a host, valid until the next call. When the recording is over it
// begins anew some seconds later: the same rows again would look too good on disk.
func (f *benchFleet) row(host int) (at model.Millis, row []float64) {
	skip := f.every
	if f.every > 1 && f.taken[host]*f.every%f.length < f.every {
		skip += 7
	}
	for range skip {
		at, row = f.hosts[host].Next()
	}
	if f.taken[host] == 0 {
		f.times[host] = at
	}
	f.taken[host]++
	at = f.times[host]
	f.times[host] += model.Millis(1000 * f.every)
	return at, row
}

// next is the next frame of a host, and its row, valid until the next call.
func (f *benchFleet) next(host int) (m message, at model.Millis, row []float64) {
	at, row = f.row(host)
	f.seqs[host]++
	payload, _ := f.encode[host].Append(nil, at, row)
	m.record = frame.Record{Seq: f.seqs[host], Kind: frame.KindFrame, Stream: 1, Payload: payload}
	m.raw = frame.AppendRecord(nil, m.record)
	if t := time.UnixMilli(int64(at)); t.After(f.now) {
		f.now = t
	}
	return m, at, row
}

func (f *benchFleet) source(host int) Source {
	var id [16]byte
	binary.BigEndian.PutUint32(id[:], uint32(host+1))
	return Source{Worker: model.WorkerIDFrom(id), Boot: model.BootID{1}, Instance: fmt.Sprintf("host%d", host), First: 1}
}

// store opens a store in dir and a session for each host, with its definitions.
func (f *benchFleet) store(tb testing.TB, dir string) (*Store, []*Session) {
	tb.Helper()
	s := f.openStore(tb, dir)
	sessions := make([]*Session, len(f.hosts))
	for host := range sessions {
		session, err := s.OpenSession(f.source(host))
		if err != nil {
			tb.Fatal(err)
		}
		for _, r := range f.first {
			if err := session.Append(r, frame.AppendRecord(nil, r)); err != nil {
				tb.Fatal(err)
			}
		}
		sessions[host] = session
	}
	return s, sessions
}

func (f *benchFleet) openStore(tb testing.TB, dir string) *Store {
	tb.Helper()
	config := DefaultConfig()
	config.Dir, config.MinFree = dir, 0
	config.Retention, config.MinuteRetention, config.HourRetention = 100*365*24*time.Hour, 0, 0
	config.SealAfter = 24 * time.Hour
	s, err := Open(config, Deps{Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Now: func() time.Time { return f.now }})
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// yardstick is prometheus/tsdb as a library, its references cached by host and column.
type yardstick struct {
	db   *tsdb.DB
	sets [][]labels.Labels
	refs [][]storage.SeriesRef
}

func (f *benchFleet) yardstick(tb testing.TB, dir string) *yardstick {
	tb.Helper()
	options := tsdb.DefaultOptions()
	options.RetentionDuration = (100 * 365 * 24 * time.Hour).Milliseconds()
	db, err := tsdb.Open(dir, slog.New(slog.NewTextHandler(io.Discard, nil)), nil, options, nil)
	if err != nil {
		tb.Fatal(err)
	}
	y := &yardstick{db: db}
	b := labels.NewScratchBuilder(8)
	for host := range f.hosts {
		var sets []labels.Labels
		for _, p := range f.parts {
			for _, family := range p.Families {
				for _, own := range family.Series {
					b.Reset()
					b.Add(labels.MetricName, family.Name)
					b.Add("instance", f.source(host).Instance)
					b.Add("job", "node")
					for _, l := range own {
						b.Add(l.Name, l.Value)
					}
					b.Sort()
					sets = append(sets, b.Labels())
				}
			}
		}
		y.sets = append(y.sets, sets)
		y.refs = append(y.refs, make([]storage.SeriesRef, len(sets)))
	}
	return y
}

// add appends and commits a row of a host.
func (y *yardstick) add(tb testing.TB, host int, at model.Millis, row []float64) {
	app := y.db.Appender(context.Background())
	for i, v := range row {
		ref, err := app.Append(y.refs[host][i], y.sets[host][i], int64(at), v)
		if err != nil {
			tb.Fatal(err)
		}
		y.refs[host][i] = ref
	}
	if err := app.Commit(); err != nil {
		tb.Fatal(err)
	}
}

// cpuTime is what the process has used so far, in all threads.
func cpuTime(tb testing.TB) time.Duration {
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// heapBytes is what is in use.
func heapBytes() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}
