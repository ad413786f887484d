package sampler

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/cloudless-fleet/cloudless/pkg/kernel"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// cpuTopology is the part of the cpu collector that comes from sysfs
// (drivers/base/cpu.c, arch/x86/kernel/cpu/mce/therm_throt.c): throttling of
// cores and packages, which processors are online, which are isolated. Where
// the hardware does not count throttling, as in virtual machines, there is
// nothing to read after the first round.
type cpuTopology struct {
	fs     kernel.FS
	dir    *kernel.Dir
	gauges []cpuGauge
}

// cpuGauge is one file with one number and its column.
type cpuGauge struct {
	file   *kernel.File
	column int
	isBool bool
}

func newCPUTopology(fs kernel.FS) *cpuTopology {
	return &cpuTopology{fs: fs, dir: kernel.NewDir(fs.SysPath("devices/system/cpu"))}
}

// describe looks for files anew and adds their families. It is called when
// the set of online processors changes.
func (t *cpuTopology) describe(r *round, s *sheet) {
	t.close()
	t.gauges = t.gauges[:0]
	cpus := t.list()

	s.family("node_cpu_core_throttles_total", "Number of times this CPU core has been throttled.", model.Counter, 0)
	type core struct{ pkg, core string }
	var cores []core
	for _, cpu := range cpus {
		c := core{t.text(r, cpu, "topology/physical_package_id"), t.text(r, cpu, "topology/core_id")}
		if c.pkg == "" || c.core == "" || slices.Contains(cores, c) || t.text(r, cpu, "thermal_throttle/core_throttle_count") == "" {
			continue
		}
		cores = append(cores, c)
		t.add(cpu+"/thermal_throttle/core_throttle_count", s.series("package", c.pkg, "core", c.core), false)
	}
	s.family("node_cpu_package_throttles_total", "Number of times this CPU package has been throttled.", model.Counter, 0)
	var packages []string
	for _, cpu := range cpus {
		pkg := t.text(r, cpu, "topology/physical_package_id")
		if pkg == "" || slices.Contains(packages, pkg) || t.text(r, cpu, "thermal_throttle/package_throttle_count") == "" {
			continue
		}
		packages = append(packages, pkg)
		t.add(cpu+"/thermal_throttle/package_throttle_count", s.series("package", pkg), false)
	}
	s.family("node_cpu_online", "CPUs that are online and being scheduled.", model.Gauge, 0)
	// Where the first processor cannot be taken offline, the kernel does not
	// say of it that it is online, and node_exporter then says nothing at all.
	if len(cpus) > 0 && t.text(r, cpus[0], "online") != "" {
		for _, cpu := range cpus {
			t.add(cpu+"/online", s.series("cpu", strings.TrimPrefix(cpu, "cpu")), true)
		}
	}
	s.family("node_cpu_isolated", "Whether each core is isolated, information from /sys/devices/system/cpu/isolated.", model.Gauge, 0)
	for _, cpu := range parseCPUList(t.text(r, "", "isolated")) {
		t.gauges = append(t.gauges, cpuGauge{column: s.series("cpu", strconv.Itoa(cpu))})
	}
}

// read sets the values. A file that fails leaves its column absent.
func (t *cpuTopology) read(r *round, s *sheet) (err error) {
	for i := range t.gauges {
		gauge := &t.gauges[i]
		if gauge.file == nil {
			s.values[gauge.column] = 1
			continue
		}
		s.values[gauge.column] = model.Absent()
		content, readErr := r.read(gauge.file)
		if readErr != nil {
			if !kernel.NotThere(readErr) {
				err = partial{readErr}
			}
			continue
		}
		value, ok := kernel.ParseInt(content)
		switch {
		case !ok:
			err = partial{errors.New(gauge.file.Path() + ": want a number")}
		case gauge.isBool:
			s.values[gauge.column] = oneIf(value == 1)
		default:
			s.values[gauge.column] = float64(value)
		}
	}
	return err
}

func (t *cpuTopology) close() {
	t.dir.Close()
	for _, gauge := range t.gauges {
		if gauge.file != nil {
			gauge.file.Close()
		}
	}
}

func (t *cpuTopology) add(path string, column int, isBool bool) {
	file := t.fs.SysFile("devices/system/cpu/" + path)
	file.Transient = len(t.gauges) >= maxOpen
	t.gauges = append(t.gauges, cpuGauge{file, column, isBool})
}

// list returns the folders cpu0, cpu1, ... sorted by number.
func (t *cpuTopology) list() []string {
	entries, _, err := t.dir.List()
	if err != nil {
		return nil
	}
	var cpus []string
	for _, entry := range entries {
		if digits, isCPU := strings.CutPrefix(entry.Name, "cpu"); isCPU && isNumber(digits) {
			cpus = append(cpus, entry.Name)
		}
	}
	slices.SortFunc(cpus, func(a, b string) int {
		if len(a) != len(b) {
			return len(a) - len(b)
		}
		return strings.Compare(a, b)
	})
	return cpus
}

// text returns the content of one small file, or "" when it cannot be read.
func (t *cpuTopology) text(r *round, cpu, name string) string {
	file := t.fs.SysFile("devices/system/cpu/" + cpu + "/" + name)
	defer file.Close()
	content, err := r.read(file)
	if err != nil {
		return ""
	}
	return string(kernel.ParseText(content))
}

// parseCPUList reads a list of processors as the kernel prints it (lib/vsprintf.c,
// bitmap_list_string): "0,4-7". What is no such list gives none.
func parseCPUList(text string) (cpus []int) {
	const most = 1 << 16
	if text == "" {
		return nil
	}
	for item := range strings.SplitSeq(text, ",") {
		first, last, isRange := strings.Cut(item, "-")
		if !isRange {
			last = first
		}
		from, err1 := strconv.ParseUint(first, 10, 16)
		to, err2 := strconv.ParseUint(last, 10, 16)
		if err1 != nil || err2 != nil || from > to || len(cpus)+int(to-from) >= most {
			return nil
		}
		for cpu := from; cpu <= to; cpu++ {
			cpus = append(cpus, int(cpu))
		}
	}
	return cpus
}

func isNumber(text string) bool {
	return text != "" && strings.Trim(text, "0123456789") == ""
}

func oneIf(condition bool) float64 {
	if condition {
		return 1
	}
	return 0
}
