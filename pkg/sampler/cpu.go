package sampler

import (
	"strconv"

	"github.com/cloudless-fleet/cloudless/pkg/kernel"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// cpu is what each processor has spent its time on, and how it is set up.
type cpu struct {
	source *statSource
	guest  bool
	known  []kernel.CPUTimes // as told last, in the order of the columns
	topo   *cpuTopology
}

func newCPU(h *host, c *Collectors) (collector, error) {
	return &cpu{source: h.stat, guest: c.CPU.Guest, topo: newCPUTopology(h.fs)}, nil
}

func (c *cpu) update(r *round, s *sheet) error {
	stat, err := c.source.read(r)
	if err != nil {
		return err
	}
	if !s.described() || !sameCPUs(stat.CPUs, c.known) {
		c.describe(r, s, stat.CPUs)
	}
	modes, guests := kernel.CPUGuest, 0
	if c.guest {
		guests = kernel.CPUModes - kernel.CPUGuest
	}
	guestColumn := len(c.known) * modes
	for i := range c.known {
		known := &c.known[i]
		notBackwards(known, &stat.CPUs[i])
		for mode := range modes {
			s.values[i*modes+mode] = seconds(known.Ticks[mode])
		}
		for mode := range guests {
			s.values[guestColumn+i*guests+mode] = seconds(known.Ticks[modes+mode])
		}
	}
	return c.topo.read(r, s)
}

func (c *cpu) describe(r *round, s *sheet, cpus []kernel.CPUTimes) {
	c.known = carryOver(c.known, cpus)
	s.begin()
	s.family("node_cpu_seconds_total", "Seconds the CPUs spent in each mode.", model.Counter, 2)
	for _, times := range cpus {
		for _, mode := range [kernel.CPUGuest]string{"user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"} {
			s.series("cpu", strconv.Itoa(int(times.CPU)), "mode", mode)
		}
	}
	s.family("node_cpu_guest_seconds_total", "Seconds the CPUs spent in guests (VMs) for each mode.", model.Counter, 2)
	if c.guest {
		for _, times := range cpus {
			s.series("cpu", strconv.Itoa(int(times.CPU)), "mode", "user")
			s.series("cpu", strconv.Itoa(int(times.CPU)), "mode", "nice")
		}
	}
	c.topo.describe(r, s)
	s.end()
}

func (c *cpu) close() {
	c.source.file.Close()
	c.topo.close()
}

func sameCPUs(a, b []kernel.CPUTimes) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].CPU != b[i].CPU {
			return false
		}
	}
	return true
}

// carryOver returns the processors of now with what was told of them before.
func carryOver(known, now []kernel.CPUTimes) []kernel.CPUTimes {
	next := make([]kernel.CPUTimes, len(now))
	for i := range now {
		next[i].CPU = now[i].CPU
		for j := range known {
			if known[j].CPU == now[i].CPU {
				next[i] = known[j]
			}
		}
	}
	return next
}

// jumpBack is how far the idle time must fall for it to be another processor
// under the same number, or the same one after it was taken out, in ticks.
const jumpBack = 3 * kernel.UserHZ

// notBackwards brings known up to now without letting a counter fall: the
// kernel estimates idle and iowait, and its estimates of one moment may exceed
// those of the next. A fall would be read as a reset, a spike of the whole
// uptime.
func notBackwards(known, now *kernel.CPUTimes) {
	if idle := known.Ticks[kernel.CPUIdle]; idle >= jumpBack && idle-jumpBack >= now.Ticks[kernel.CPUIdle] {
		*known = *now
		return
	}
	for mode := range known.Ticks {
		known.Ticks[mode] = max(known.Ticks[mode], now.Ticks[mode])
	}
}

func seconds(ticks uint64) float64 { return float64(ticks) / kernel.UserHZ }
