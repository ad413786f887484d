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

// Process lists what this process costs its host. Where the kernel does not
// tell a figure, it is left out.
func Process(version string) model.Metrics {
	var m model.Metrics
	m.Gauge("cloudless_build_info", "Version of the daemon; the value is always 1.", 1,
		"version", version, "goversion", runtime.Version())
	var usage syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &usage) == nil {
		m.Total("cloudless_process_cpu_seconds_total", "CPU time of the daemon, user and system.",
			time.Duration(usage.Utime.Nano()+usage.Stime.Nano()).Seconds())
	}
	if bytes, ok := residentBytes(); ok {
		m.Gauge("cloudless_process_resident_memory_bytes", "Memory of the daemon that is in RAM.", bytes)
	}
	m.Gauge("cloudless_process_goroutines", "Goroutines of the daemon.", float64(runtime.NumGoroutine()))
	return m
}

// residentBytes reads the second field of /proc/self/statm, in pages
// (Documentation/filesystems/proc.rst, table 1-3).
func residentBytes() (bytes float64, ok bool) {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, false
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0, false
	}
	pages, err := strconv.ParseUint(fields[1], 10, 64)
	return float64(pages) * float64(os.Getpagesize()), err == nil
}
