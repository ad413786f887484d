package selfmetrics

import "testing"

func TestProcessTellsWhatThisProcessCosts(t *testing.T) {
	values := map[string]float64{}
	for _, metric := range Process("v1") {
		values[metric.Name] = metric.Value
	}
	for _, name := range []string{"cloudless_build_info", "cloudless_process_cpu_seconds_total",
		"cloudless_process_resident_memory_bytes", "cloudless_process_goroutines"} {
		if values[name] <= 0 {
			t.Errorf("%s = %v, want more than 0", name, values[name])
		}
	}
	if rss := values["cloudless_process_resident_memory_bytes"]; rss < 1<<20 || rss > 1<<34 {
		t.Errorf("resident memory %v bytes: not plausible for a test process", rss)
	}
}
