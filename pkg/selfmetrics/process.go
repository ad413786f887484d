package selfmetrics

import (
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Process lists what this process costs its host. What the kernel does not tell
// is listed all the same, as absent.
func Process(version string) model.Metrics {
	var m model.Metrics
	m.Gauge("cloudless_build_info", "Version of the daemon; the value is always 1.", 1,
		"version", version, "goversion", runtime.Version())
	m.Total("cloudless_process_cpu_seconds_total", "CPU time of the daemon, user and system.", cpuSeconds())
	m.Gauge("cloudless_process_resident_memory_bytes", "Memory of the daemon that is in RAM.", residentBytes("/proc/self/statm"))
	m.Gauge("cloudless_process_goroutines", "Goroutines of the daemon.", float64(runtime.NumGoroutine()))
	return m
}

func cpuSeconds() float64 {
	var usage syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &usage) != nil {
		return model.Absent()
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()).Seconds()
}

// residentBytes reads the second field of /proc/self/statm, in pages
// (Documentation/filesystems/proc.rst, table 1-3).
func residentBytes(path string) float64 {
	text, err := os.ReadFile(path)
	if err != nil {
		return model.Absent()
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return model.Absent()
	}
	pages, err := strconv.ParseUint(fields[1], 10, 64)
	if err != nil {
		return model.Absent()
	}
	return float64(pages) * float64(os.Getpagesize())
}
