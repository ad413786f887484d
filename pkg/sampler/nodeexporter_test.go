package sampler

import (
	"bufio"
	"context"
	"io"
	"maps"
	"math"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/kernel"
)

// exposition is a scrape in the text format.
type exposition struct {
	meta   map[string][2]string // of a family: help, type
	series map[string]float64
}

func parseExposition(t *testing.T, r io.Reader) exposition {
	t.Helper()
	e := exposition{map[string][2]string{}, map[string]float64{}}
	for lines := bufio.NewScanner(r); lines.Scan(); {
		line := lines.Text()
		switch fields := strings.SplitN(line, " ", 4); {
		case strings.HasPrefix(line, "# HELP "):
			e.meta[fields[2]] = [2]string{fields[3], e.meta[fields[2]][1]}
		case strings.HasPrefix(line, "# TYPE "):
			e.meta[fields[2]] = [2]string{e.meta[fields[2]][0], fields[3]}
		default:
			at := strings.LastIndexByte(line, ' ')
			value, err := strconv.ParseFloat(line[at+1:], 64)
			if err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			e.series[line[:at]] = value
		}
	}
	const itself = "node_exporter_build_info"
	delete(e.meta, itself)
	maps.DeleteFunc(e.series, func(series string, _ float64) bool { return familyOf(series) == itself })
	return e
}

func familyOf(series string) string {
	name, _, _ := strings.Cut(series, "{")
	return name
}

// nodeExporter runs the program that NODE_EXPORTER names and scrapes it once.
func nodeExporter(t *testing.T, environment []string, args ...string) exposition {
	t.Helper()
	program := os.Getenv("NODE_EXPORTER")
	if program == "" {
		t.Skip("NODE_EXPORTER does not name a node_exporter to compare with")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	args = append([]string{"--web.listen-address=" + address, "--log.level=error", "--web.disable-exporter-metrics"}, args...)
	process := exec.CommandContext(ctx, program, args...)
	process.Env = append(os.Environ(), environment...)
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	defer process.Wait()
	defer cancel()
	for {
		response, err := http.Get("http://" + address + "/metrics")
		if err == nil {
			defer response.Body.Close()
			return parseExposition(t, response.Body)
		}
		select {
		case <-ctx.Done():
			t.Fatalf("scrape %s: %v", program, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func ourExposition(t *testing.T, s *Sampler) exposition {
	t.Helper()
	snapshot, err := s.SampleOnce()
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	if err := snapshot.WritePrometheus(&text); err != nil {
		t.Fatal(err)
	}
	return parseExposition(t, strings.NewReader(text.String()))
}

// collectorFlags switches node_exporter to the collectors of our table.
func collectorFlags() (flags []string) {
	flags = []string{"--collector.disable-defaults"}
	for _, entry := range table() {
		flags = append(flags, "--collector."+entry.name)
	}
	return flags
}

// extra are the families that only we have: fields of /proc/meminfo that
// node_exporter does not know.
func extra(family string) bool {
	return slices.Contains([]string{"node_memory_KReclaimable_bytes", "node_memory_SecPageTables_bytes", "node_memory_FileHugePages_bytes",
		"node_memory_FilePmdMapped_bytes", "node_memory_Balloon_bytes", "node_memory_Hugetlb_bytes", "node_memory_Unaccepted_bytes",
		"node_memory_Quicklists_bytes", "node_memory_GPUActive_bytes", "node_memory_GPUReclaim_bytes"}, family)
}

// compareNames reports differences in families, their help and type, and series.
func compareNames(t *testing.T, ours, theirs exposition) {
	t.Helper()
	for _, family := range slices.Sorted(maps.Keys(theirs.meta)) {
		if got, ok := ours.meta[family]; !ok {
			t.Errorf("%s: not among ours", family)
		} else if got != theirs.meta[family] {
			t.Errorf("%s: got help and type %q, want %q", family, got, theirs.meta[family])
		}
	}
	for _, series := range slices.Sorted(maps.Keys(theirs.series)) {
		if _, ok := ours.series[series]; !ok && ours.meta[familyOf(series)] != [2]string{} {
			t.Errorf("%s: not among ours", series)
		}
	}
	for _, series := range slices.Sorted(maps.Keys(ours.series)) {
		if _, ok := theirs.series[series]; !ok && !extra(familyOf(series)) {
			t.Errorf("%s: only ours", series)
		}
	}
}

// The same frozen host, every value. Only the clock, the time the collectors
// took and the kernel's own name are not frozen for node_exporter.
func TestAgainstNodeExporterFrozen(t *testing.T) {
	h := newTestHost(t)
	for _, point := range []string{"root/run", "root/srv/my data"} {
		if err := os.MkdirAll(h.path(point), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	h.deps.Uname, h.deps.Statfs = nil, nil
	theirs := nodeExporter(t, []string{"TZ=UTC"}, append(collectorFlags(), "--path.procfs="+h.fs.Proc, "--path.sysfs="+h.fs.Sys, "--path.rootfs="+h.fs.Root,
		"--path.udev.data="+h.fs.RootPath("run/udev/data"), "--no-collector.netdev.netlink")...)
	ours := ourExposition(t, h.sampler())
	for series := range ours.series {
		// They take this one from netlink only, and no tree can be frozen there.
		if familyOf(series) == "node_network_receive_nohandler_total" {
			delete(ours.series, series)
		}
	}
	compareNames(t, ours, theirs)
	compared := 0
	for _, series := range slices.Sorted(maps.Keys(theirs.series)) {
		switch family := familyOf(series); {
		case family == "node_time_seconds", family == "node_scrape_collector_duration_seconds":
		case strings.HasPrefix(family, "node_filesystem_") && (strings.Contains(family, "avail") || strings.Contains(family, "free")):
			// The folder is on a disk that others write to.
		default:
			compared++
			// They multiply and divide twice where one division is exact.
			if got, want := ours.series[series], theirs.series[series]; math.Abs(got-want) > 1e-12*math.Abs(want) {
				t.Errorf("%s: got %v, want %v", series, got, want)
			}
		}
	}
	t.Logf("%d values compared", compared)
	if compared < 250 {
		t.Errorf("only %d values compared", compared)
	}
}

// This very host. Gauges move between two readings, counters grow: a value of
// theirs must lie between the one we read before and the one we read after.
func TestAgainstNodeExporterLive(t *testing.T) {
	s, err := New(DefaultConfig(), kernel.Host(), Deps{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	before := ourExposition(t, s)
	theirs := nodeExporter(t, nil, collectorFlags()...)
	after := ourExposition(t, s)
	compareNames(t, after, theirs)
	for series, value := range theirs.series {
		if theirs.meta[familyOf(series)][1] != "counter" {
			continue
		}
		slack := 1e-12 * math.Abs(value)
		if low, high := before.series[series], after.series[series]; value < low-slack || value > high+slack {
			t.Errorf("%s: got %v before and %v after, node_exporter %v between", series, low, high, value)
		}
	}
}
