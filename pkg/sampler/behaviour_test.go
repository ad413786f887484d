package sampler

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/kernel"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

func (h *testHost) collectorStats(s *Sampler, name string) CollectorStats {
	h.t.Helper()
	for _, c := range s.Stats().Collectors {
		if c.Name == name {
			return c
		}
	}
	h.t.Fatalf("no collector %q", name)
	return CollectorStats{}
}

// Each source of each collector, gone and broken.
func TestMissingAndBrokenFiles(t *testing.T) {
	for _, c := range []struct {
		collector, source string
		series            string // one of it, when all is well
	}{
		{"cpu", "proc/stat", `node_cpu_seconds_total{cpu="0",mode="user"}`},
		{"stat", "proc/stat", "node_forks_total"},
		{"loadavg", "proc/loadavg", "node_load1"},
		{"meminfo", "proc/meminfo", "node_memory_MemTotal_bytes"},
		{"vmstat", "proc/vmstat", "node_vmstat_pgpgin"},
		{"pressure", "proc/pressure", "node_pressure_io_waiting_seconds_total"},
		{"diskstats", "proc/diskstats", `node_disk_io_now{device="vda"}`},
		{"netdev", "proc/net/dev", `node_network_receive_bytes_total{device="eth0"}`},
		{"netclass", "sys/class/net", `node_network_up{device="eth0"}`},
		{"os", "root/etc/os-release", "node_os_support_end_timestamp_seconds"},
		{"filesystem", "proc/1/mountinfo", `node_filesystem_readonly{device="tmpfs",device_error="",fstype="tmpfs",mountpoint="/run"}`},
	} {
		success := `node_scrape_collector_success{collector="` + c.collector + `"}`
		t.Run(c.collector+" missing", func(t *testing.T) {
			h := newTestHost(t)
			h.remove(c.source)
			s := h.sampler()
			round := h.round(s)
			round.without(t, c.series)
			round.want(t, values{success: 0, "node_uname_info" + unameLabels: 1})
			if stats := h.collectorStats(s, c.collector); stats.Errors != 0 || !stats.Missing || stats.Series != 0 {
				t.Errorf("got %+v, want missing and no error", stats)
			}
		})
		if c.collector == "netclass" {
			continue // a folder cannot hold nonsense
		}
		t.Run(c.collector+" broken", func(t *testing.T) {
			h := newTestHost(t)
			s := h.sampler()
			well := h.round(s)
			if _, ok := well[c.series]; !ok {
				t.Fatalf("%s is not there to begin with", c.series)
			}
			source := c.source
			if source == "proc/pressure" {
				source += "/io"
			}
			before := h.read(source)
			h.write(source, "cpu0 x\nctxt x\n\x00 nonsense\n - \n")
			h.clock = h.clock.Add(2 * refreshEvery)
			broken := h.round(s)
			broken.without(t, c.series)
			broken.want(t, values{success: 0, "node_uname_info" + unameLabels: 1})
			stats := h.collectorStats(s, c.collector)
			if stats.Errors != 1 || stats.Missing || stats.Err == "" {
				t.Errorf("got %+v, want one error", stats)
			}
			if stats.Series == 0 {
				t.Error("its columns left the schema")
			}
			if !strings.Contains(h.logged.String(), "collector failed") {
				t.Errorf("logged %q", h.logged.String())
			}
			schemas := s.Stats().SchemaChanges
			h.write(source, before)
			h.clock = h.clock.Add(2 * refreshEvery)
			h.round(s).want(t, values{success: 1, c.series: well[c.series]})
			if got := s.Stats().SchemaChanges; got != schemas {
				t.Errorf("a failure made %d new schemas, want none", got-schemas)
			}
			if !strings.Contains(h.logged.String(), "collector recovered") {
				t.Errorf("logged %q", h.logged.String())
			}
		})
	}
}

const unameLabels = `{domainname="(none)",machine="x86_64",nodename="host-small",release="6.18.44",sysname="Linux",version="#1 SMP"}`

func TestAFileThatVanishesTakesItsPartAlong(t *testing.T) {
	h := newTestHost(t).only("loadavg", "pressure", "os")
	s := h.sampler()
	h.round(s)
	h.remove("root/etc/os-release")
	h.clock = h.clock.Add(refreshEvery)
	h.round(s).without(t, "node_os")
	if got := s.Stats().SchemaChanges; got != 2 {
		t.Errorf("got %d schemas, want 2", got)
	}
	h.write("root/usr/lib/os-release", "ID=other\nVERSION_ID=22.04.3\n")
	h.clock = h.clock.Add(refreshEvery)
	h.round(s).want(t, values{`node_os_version{id="other",id_like="",name=""}`: 22.04})
}

func TestInterfacesComeAndGo(t *testing.T) {
	h := newTestHost(t).only("netdev", "netclass")
	s := h.sampler()
	h.round(s)
	first, _ := s.Newest()

	h.write("proc/net/dev", h.read("proc/net/dev")+"  tap0:     1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n")
	h.write("sys/class/net/tap0/mtu", "9000\n")
	h.write("sys/class/net/tap0/flags", "0x1003\n")
	h.write("sys/class/net/tap0/operstate", "up\n")
	h.write("sys/class/net/tap0/speed", "-1\n")
	h.round(s).want(t, values{
		`node_network_receive_bytes_total{device="tap0"}`:       1,
		`node_network_transmit_compressed_total{device="tap0"}`: 16,
		`node_network_receive_bytes_total{device="eth0"}`:       338731267,
		`node_network_mtu_bytes{device="tap0"}`:                 9000,
		`node_network_flags{device="tap0"}`:                     0x1003,
		`node_network_speed_bytes{device="tap0"}`:               -125000,
		`node_network_up{device="tap0"}`:                        1,
		`node_network_info{address="",adminstate="up",broadcast="",device="tap0",duplex="",ifalias="",operstate="up"}`: 1,
	})
	if got := s.Stats().SchemaChanges; got != 2 {
		t.Errorf("got %d schemas, want 2", got)
	}
	h.replace("proc/net/dev", "  tap0:     1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n", "")
	h.remove("sys/class/net/tap0")
	h.round(s).without(t, "tap0")
	last, _ := s.Newest()
	if !slices.Equal(first.Row[:40], last.Row[:40]) || len(first.Row) != len(last.Row) {
		t.Error("the row is not what it was before the interface came")
	}
}

// A link that goes down loses its carrier and speed. That is no reason for a
// new schema each time.
func TestAttributesThatComeAndGoKeepTheirColumn(t *testing.T) {
	h := newTestHost(t).only("netclass")
	s := h.sampler()
	speed := `node_network_speed_bytes{device="eth0"}`
	h.round(s).want(t, values{speed: 1.25e9})
	for range 3 {
		h.write("sys/class/net/eth0/speed", "\n") // a test cannot make reading fail
		h.round(s).without(t, speed)
		h.write("sys/class/net/eth0/speed", "100\n")
		h.round(s).want(t, values{speed: 12.5e6})
	}
	if got := s.Stats().SchemaChanges; got != 1 {
		t.Errorf("got %d schemas, want 1", got)
	}
	h.write("sys/class/net/ifb0/carrier", "0\n")
	h.round(s).want(t, values{`node_network_carrier{device="ifb0"}`: 0})
	h.write("sys/class/net/eth0/operstate", "down\n")
	h.round(s).want(t, values{`node_network_up{device="eth0"}`: 0})
	if got := s.Stats().SchemaChanges; got != 3 {
		t.Errorf("got %d schemas, want 3: a new attribute and a new label", got)
	}
}

func TestDisksComeAndGo(t *testing.T) {
	h := newTestHost(t).only("diskstats")
	s := h.sampler()
	h.round(s).without(t, `"sda1"`, "loop", "zram0")
	h.write("proc/diskstats", h.read("proc/diskstats")+"   8      16 sdb 1 2 3 4 5 6 7 8 9 10 11\n")
	h.write("root/run/udev/data/b8:16", "E:ID_SERIAL=virtual\n")
	h.round(s).want(t, values{
		`node_disk_reads_completed_total{device="sdb"}`:                                                                         1,
		`node_disk_read_bytes_total{device="sdb"}`:                                                                              3 * 512,
		`node_disk_io_time_weighted_seconds_total{device="sdb"}`:                                                                0.011,
		`node_disk_info{device="sdb",major="8",minor="16",model="",path="",revision="",rotational="0",serial="virtual",wwn=""}`: 1,
	})
	// This kernel line ends before the discards; the others do not.
	h.round(s).without(t, `discards_completed_total{device="sdb"}`)
	h.round(s).want(t, values{`node_disk_discards_completed_total{device="vda"}`: 29753})
	h.replace("proc/diskstats", "   8      16 sdb 1 2 3 4 5 6 7 8 9 10 11\n", "")
	h.round(s).without(t, "sdb")
	// What udev finds out later is seen within a minute.
	h.replace("root/run/udev/data/b8:0", "ID_MODEL=ACME_HD4000", "ID_MODEL=OTHER")
	h.clock = h.clock.Add(refreshEvery)
	h.round(s).want(t, values{`node_disk_info{device="sda",major="8",minor="0",model="OTHER",path="pci-0000:00:1f.2-ata-1",revision="1A02",rotational="1",serial="AC1234567",wwn="0x5000c500a1b2c3d4"}`: 1})
}

func TestProcessorsComeAndGo(t *testing.T) {
	h := newTestHost(t).only("cpu")
	s := h.sampler()
	h.round(s)
	line := "cpu1 46914 2563 9229 255022 1031 0 360 2721 500 20\n"
	h.replace("proc/stat", line, "")
	h.write("sys/devices/system/cpu/cpu1/online", "0\n")
	round := h.round(s)
	round.without(t, `cpu_seconds_total{cpu="1"`)
	round.want(t, values{`node_cpu_seconds_total{cpu="0",mode="idle"}`: 2530.01, `node_cpu_online{cpu="1"}`: 0})
	h.replace("proc/stat", "intr ", "cpu1 1 2 3 4 5 6 7 8 9 10\nintr ")
	h.round(s).want(t, values{`node_cpu_seconds_total{cpu="1",mode="idle"}`: 0.04})
}

func TestCountersOfAProcessorDoNotFall(t *testing.T) {
	times := func(idle, iowait uint64) (c kernel.CPUTimes) {
		c.Ticks[kernel.CPUIdle], c.Ticks[kernel.CPUIOWait] = idle, iowait
		return c
	}
	for _, c := range []struct {
		name             string
		known, now, want kernel.CPUTimes
	}{
		{"growth", times(1000, 5), times(1001, 6), times(1001, 6)},
		{"iowait falls", times(1000, 5), times(1001, 3), times(1001, 5)},
		{"idle falls a little", times(1000, 5), times(701, 6), times(1000, 6)},
		{"idle falls by three seconds: another processor", times(1000, 5), times(700, 3), times(700, 3)},
	} {
		got := c.known
		if notBackwards(&got, &c.now); got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got.Ticks, c.want.Ticks)
		}
	}
}

func TestParseCPUList(t *testing.T) {
	for in, want := range map[string][]int{
		"": nil, "1": {1}, "0,4-7": {0, 4, 5, 6, 7}, "x": nil, "3-1": nil, "1-": nil, "-1": nil, "99999": nil, "0-65535,0-65535": nil,
	} {
		if got := parseCPUList(in); !slices.Equal(got, want) {
			t.Errorf("parseCPUList(%q) = %v, want %v", in, got, want)
		}
	}
}

func FuzzParseCPUList(f *testing.F) {
	for _, text := range []string{"0,4-7", "", "1-", "0-65535"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if got := parseCPUList(text); len(got) > 1<<16 {
			t.Errorf("%d processors", len(got))
		}
	})
}

func TestMetricNamesComeFromFieldNames(t *testing.T) {
	h := newTestHost(t).only("meminfo", "vmstat")
	h.write("proc/meminfo", "Active(anon): 2 kB\nHugePages_Total: 3\nNew-Field: 4\n")
	h.write("proc/vmstat", "pgpgin 5\nnr_free_pages 6\noom_kill 7\n")
	s := h.sampler()
	round := h.round(s)
	round.want(t, values{"node_memory_Active_anon_bytes": 2048, "node_memory_HugePages_Total": 3, "node_memory_New_Field": 4,
		"node_vmstat_pgpgin": 5, "node_vmstat_oom_kill": 7})
	round.without(t, "nr_free_pages")
}

func TestNamesThatAreNotUTF8(t *testing.T) {
	h := newTestHost(t).only("netdev", "diskstats")
	h.write("proc/net/dev", "\n\n \xff0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n")
	h.write("proc/diskstats", " 8 0 sd\xff 1 2 3 4 5 6 7 8 9 10 11\n")
	s := h.sampler()
	h.round(s)
	h.round(s).want(t, values{"node_network_receive_bytes_total{device=\"�0\"}": 1, "node_disk_io_now{device=\"sd�\"}": 9})
	if got := s.Stats().SchemaChanges; got != 1 {
		t.Errorf("got %d schemas, want 1", got)
	}
}

func TestClockSourceAndZone(t *testing.T) {
	h := newTestHost(t).only("time")
	s := h.sampler()
	h.round(s)
	h.write("sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc\n")
	h.clock = h.clock.In(time.FixedZone("CET", 3600))
	round := h.round(s)
	round.want(t, values{
		`node_time_clocksource_current_info{clocksource="tsc",device="0"}`: 1,
		`node_time_zone_offset_seconds{time_zone="CET"}`:                   3600,
		"node_time_seconds": float64(h.clock.UnixMilli()) / 1000,
	})
	round.without(t, `current_info{clocksource="kvm-clock"`, "UTC")
}

func TestHostnameChanges(t *testing.T) {
	h := newTestHost(t).only("uname")
	s := h.sampler()
	h.round(s)
	h.uname = kernel.UnameOf("Linux", "renamed", "6.18.44", "#1 SMP", "x86_64", "(none)")
	round := h.round(s)
	round.want(t, values{strings.Replace("node_uname_info"+unameLabels, "host-small", "renamed", 1): 1})
	round.without(t, "host-small")
}

// A collector with too many series is left out as a whole; the others, and
// what tells about it, stay.
func TestTooManySeries(t *testing.T) {
	h := newTestHost(t).only("loadavg", "meminfo", "netdev", "uname")
	h.cfg.MaxSeries = 100
	lines := h.read("proc/net/dev")
	var many strings.Builder
	for i := range 50 {
		fmt.Fprintf(&many, "v%d: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n", i)
	}
	h.write("proc/net/dev", lines+many.String())
	s := h.sampler()
	round := h.round(s)
	round.without(t, "node_network_receive")
	round.want(t, values{"node_load1": 1.03, `node_scrape_collector_success{collector="netdev"}`: 0, "node_uname_info" + unameLabels: 1})
	stats := h.collectorStats(s, "netdev")
	if stats.Refused != 1 || stats.Errors != 0 || stats.Series != 0 || !strings.Contains(stats.Err, `collector "netdev": 851 series`) {
		t.Errorf("got %+v", stats)
	}
	if !strings.Contains(h.logged.String(), "collector left out") {
		t.Errorf("logged %q", h.logged.String())
	}
	h.write("proc/net/dev", strings.Join(strings.SplitAfter(lines, "\n")[:3], ""))
	h.round(s).want(t, values{`node_network_receive_packets_total{device="lo"}`: 469, `node_scrape_collector_success{collector="netdev"}`: 1})
}

func TestSelfMetrics(t *testing.T) {
	h := newTestHost(t).only("loadavg")
	mine := []model.Metric{
		{Name: "cloudless_build_info", Help: "The build.", Type: model.Gauge, Labels: model.LabelsOf("version", "1"), Value: 1},
		{Name: "cloudless_spool_bytes", Help: "Size.", Type: model.Gauge, Labels: model.LabelsOf("kind", "a"), Value: 10},
		{Name: "cloudless_rounds_total", Help: "Rounds.", Type: model.Counter, Value: 1},
		{Name: "cloudless_spool_bytes", Help: "Size.", Type: model.Gauge, Labels: model.LabelsOf("kind", "b"), Value: 20},
	}
	h.deps.Self = func() []model.Metric { return mine }
	s := h.sampler()
	want := values{`cloudless_build_info{version="1"}`: 1, `cloudless_spool_bytes{kind="a"}`: 10, `cloudless_spool_bytes{kind="b"}`: 20, "cloudless_rounds_total": 1}
	h.round(s).want(t, want)
	mine[2].Value, want["cloudless_rounds_total"] = 2, 2
	h.round(s).want(t, want)
	if got := s.Stats().SchemaChanges; got != 1 {
		t.Errorf("got %d schemas, want 1", got)
	}
	mine = append(mine, model.Metric{Name: "cloudless_new", Value: 3})
	want["cloudless_new"] = 3
	h.round(s).want(t, want)
	// What no schema can hold costs the daemon's own part and nothing else.
	mine = append(mine, model.Metric{Name: "cloudless_new", Value: 4})
	round := h.round(s)
	round.without(t, "cloudless_")
	round.want(t, values{"node_load1": 1.03})
	if stats := h.collectorStats(s, "cloudless"); stats.Refused != 1 {
		t.Errorf("got %+v", stats)
	}
	mine = []model.Metric{{Name: "node_load1", Value: 5}}
	round = h.round(s)
	round.without(t, "cloudless_")
	round.want(t, values{"node_load1": 1.03})
	if stats := h.collectorStats(s, "cloudless"); stats.Errors != 1 {
		t.Errorf("got %+v", stats)
	}
	mine = nil
	h.round(s).without(t, "cloudless_")
}

func TestNoDescriptorIsLost(t *testing.T) {
	h := newTestHost(t)
	open := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skip(err)
		}
		return len(entries)
	}
	before := open()
	s := h.sampler()
	h.round(s)
	most := open()
	for range 20 {
		// Everything that makes collectors look for files anew.
		h.write("sys/class/net/tap0/mtu", "1500\n")
		h.write("proc/net/dev", h.read("proc/net/dev")+"  tap0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n")
		h.clock = h.clock.Add(refreshEvery)
		h.round(s)
		h.replace("proc/net/dev", "  tap0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n", "")
		h.remove("sys/class/net/tap0")
		h.round(s)
	}
	if got := open(); got > most {
		t.Errorf("%d descriptors after 40 rounds, %d after the first", got, most)
	}
	s.Close()
	if got := open(); got > before {
		t.Errorf("%d descriptors after Close, %d before New", got, before)
	}
	if _, err := s.SampleOnce(); err == nil {
		t.Error("a closed sampler samples")
	}
}
