package query

import (
	"os"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"golang.org/x/sys/unix"
)

func testMain(m *testing.M) {
	var err error
	if benchDir, err = os.MkdirTemp("", "query-bench-"); err != nil {
		panic(err)
	}
	code := m.Run()
	os.RemoveAll(benchDir)
	os.Exit(code)
}

// selectAll reads all samples of a selection and counts them.
func selectAll(tb testing.TB, q storage.Queryable, hints *storage.SelectHints, matchers ...*labels.Matcher) (samples int) {
	tb.Helper()
	querier, err := q.Querier(hints.Start, hints.End)
	if err != nil {
		tb.Fatal(err)
	}
	defer querier.Close()
	set := querier.Select(tb.Context(), false, hints, matchers...)
	var all []storage.Series
	for set.Next() {
		all = append(all, set.At())
	}
	var it chunkenc.Iterator
	for _, s := range all {
		it = s.Iterator(it)
		for it.Next() != chunkenc.ValNone {
			samples++
		}
		if it.Err() != nil {
			tb.Fatal(it.Err())
		}
	}
	if set.Err() != nil || samples == 0 {
		tb.Fatal(set.Err(), samples)
	}
	return samples
}

// cpuTime is what the process has used so far, in all threads: other figures suffer from
// whatever else runs on the machine.
func cpuTime(b *testing.B) time.Duration {
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func reportCPU(b *testing.B, before time.Duration) {
	b.ReportMetric((cpuTime(b)-before).Seconds()*1000/float64(b.N), "CPU-ms/op")
}
