package selfmetrics

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/selfmetrics/metricstest"
)

func TestProcessTellsWhatThisProcessCosts(t *testing.T) {
	metrics := Process("v1")
	metricstest.Check(t, metrics)
	metricstest.SameSeries(t, metrics, Process("v1"))
	values := map[string]float64{}
	for _, metric := range metrics {
		values[metric.Name] = metric.Value
	}
	for _, name := range []string{"cloudless_build_info", "cloudless_process_cpu_seconds_total",
		"cloudless_process_resident_memory_bytes", "cloudless_process_goroutines"} {
		if !(values[name] > 0) {
			t.Errorf("%s = %v, want more than 0", name, values[name])
		}
	}
	if rss := values["cloudless_process_resident_memory_bytes"]; rss < 1<<20 || rss > 1<<34 {
		t.Errorf("resident memory %v bytes: not plausible for a test process", rss)
	}
}

// TestWhatTheKernelDoesNotTellIsAbsent: a figure that comes and goes would
// change the schema each time.
func TestWhatTheKernelDoesNotTellIsAbsent(t *testing.T) {
	f := func(text string, want float64) {
		t.Helper()
		path := filepath.Join(t.TempDir(), "statm")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := residentBytes(path); got != want && !(model.IsAbsent(got) && model.IsAbsent(want)) {
			t.Errorf("%q: got %v, want %v", text, got, want)
		}
	}
	f("4961 2 1064 15 0 3026 0\n", 2*float64(os.Getpagesize()))
	f("", model.Absent())
	f("4961", model.Absent())
	f("4961 x", model.Absent())
	if got := residentBytes(filepath.Join(t.TempDir(), "none")); !model.IsAbsent(got) {
		t.Errorf("no file: got %v, want absent", got)
	}
}
