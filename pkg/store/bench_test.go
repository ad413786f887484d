package store

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"golang.org/x/sys/unix"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/frame/frametest"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// benchHosts send the recording of one host at the same time.
const benchHosts = 20

// cpuTime is what the process has used so far, in all threads.
func cpuTime(b *testing.B) time.Duration {
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func openBench(b *testing.B, end time.Time) *Store {
	config := DefaultConfig()
	config.Dir, config.MinFree, config.Retention = b.TempDir(), 0, 1000*24*time.Hour
	s, err := Open(config, Deps{Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Now: func() time.Time { return end }})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	return s
}

// rowOf is the row of a round, with counters that go on growing where the
// recording wraps around.
func rowOf(recording *frametest.Recording, round int, dst []float64) []float64 {
	laps, first, last := float64(round/len(recording.Rows)), recording.Rows[0], recording.Rows[len(recording.Rows)-1]
	dst = append(dst[:0], recording.Rows[round%len(recording.Rows)]...)
	for i := range dst {
		if last[i] > first[i] {
			dst[i] += laps * (last[i] - first[i])
		}
	}
	return dst
}

func report(b *testing.B, samples int, cpu time.Duration) {
	b.ReportMetric(float64(samples)/cpu.Seconds()/1e6, "Msamples/CPU-s")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkAppend is the whole way of a frame through the store: decode, append,
// group commit. One operation is one round of all hosts.
func BenchmarkAppend(b *testing.B) {
	recording, err := frametest.Node()
	if err != nil {
		b.Fatal(err)
	}
	start := time.UnixMilli(int64(recording.Start))
	s := openBench(b, start.Add(time.Duration(b.N)*time.Second))
	sp := newSpooler(b)
	sp.schema(1, recording.Parts...)
	head := sp.drain()
	frames := make([]frame.Record, b.N)
	var row []float64
	for i := range frames {
		row = rowOf(recording, i, row)
		frames[i] = sp.frame(1, start.Add(time.Duration(i)*time.Second), row...)
	}
	sessions := make([]*Session, benchHosts)
	for i := range sessions {
		source := testSource(byte(i+1), 1)
		source.Instance = fmt.Sprint("host", i)
		sessions[i] = openSession(b, s, source)
		send(b, sessions[i], head...)
	}
	before := cpuTime(b)
	b.ResetTimer()
	for _, f := range frames {
		for _, session := range sessions {
			if err := session.Append(f, f.Payload); err != nil {
				b.Fatal(err)
			}
		}
	}
	awaitDurable(b, sessions[0], sp.seq)
	b.StopTimer()
	report(b, b.N*benchHosts*len(row), cpuTime(b)-before)
}

// BenchmarkLibrary is the yardstick: the same samples into the same database
// with cached references and a commit for each host and round, without frames
// and without our group commit.
func BenchmarkLibrary(b *testing.B) {
	recording, err := frametest.Node()
	if err != nil {
		b.Fatal(err)
	}
	s := openBench(b, time.UnixMilli(int64(recording.Start)).Add(time.Duration(b.N)*time.Second))
	var sets [benchHosts][]labels.Labels
	var refs [benchHosts][]storage.SeriesRef
	builder := labels.NewScratchBuilder(8)
	for host := range sets {
		source := labels.FromStrings("instance", fmt.Sprint("host", host), "job", "node")
		for _, p := range recording.Parts {
			newPart(frame.PartID{}, 0, p).each(func(_ int, f *model.Family, own model.Labels) {
				sets[host] = append(sets[host], seriesLabels(&builder, source, f.Name, own))
			})
		}
		refs[host] = make([]storage.SeriesRef, len(sets[host]))
	}
	rows := make([][]float64, b.N)
	for i := range rows {
		rows[i] = rowOf(recording, i, nil)
	}
	before := cpuTime(b)
	b.ResetTimer()
	for i, row := range rows {
		at := int64(recording.Start) + int64(i)*1000
		for host := range sets {
			app := s.db.Appender(context.Background())
			for column, v := range row {
				ref, err := app.Append(refs[host][column], sets[host][column], at, v)
				if err != nil {
					b.Fatal(err)
				}
				refs[host][column] = ref
			}
			if err := app.Commit(); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.StopTimer()
	report(b, b.N*benchHosts*len(rows[0]), cpuTime(b)-before)
}

// BenchmarkIndex is the part of the group commit that grows with the fleet: the
// resume points of 2,000 of 10,000 workers, which is 10,000 hosts at one second.
func BenchmarkIndex(b *testing.B) {
	x, err := openIndex(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer x.Close()
	const fleet, share = 10_000, 2_000
	marks := make([]mark, fleet)
	for i := range marks {
		id := [16]byte{byte(i * 37), byte(i >> 8), byte(i)}
		marks[i] = mark{model.WorkerIDFrom(id), model.BootIDFrom(id), 1}
	}
	if err := x.write(batch{marks: marks, now: testNow}); err != nil {
		b.Fatal(err)
	}
	before := cpuTime(b)
	b.ResetTimer()
	for i := range b.N {
		from := i * share % fleet
		if err := x.write(batch{marks: marks[from : from+share], now: testNow}); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	b.ReportMetric((cpuTime(b)-before).Seconds()*1000/float64(b.N), "CPU-ms/commit")
}
