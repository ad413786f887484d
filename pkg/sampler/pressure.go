package sampler

import (
	"errors"

	"github.com/cloudless-fleet/cloudless/pkg/kernel"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// pressure is for how long work was stalled for want of something.
type pressure struct {
	resources [4]pressureFile
	shape     [4]kernel.Pressure // which lines each file had when described
}

type pressureFile struct {
	name string
	file *kernel.File
	now  kernel.Pressure
}

func newPressure(h *host, _ *Collectors) (collector, error) {
	c := &pressure{}
	for i, name := range [...]string{"cpu", "io", "memory", "irq"} {
		file := h.fs.ProcFile("pressure/" + name)
		file.OneRead = true // kernel/sched/psi.c, psi_open: single_open
		c.resources[i] = pressureFile{name: name, file: file}
	}
	return c, nil
}

func (c *pressure) update(r *round, s *sheet) error {
	var failed error
	found := 0
	for i := range c.resources {
		resource := &c.resources[i]
		resource.now = kernel.Pressure{}
		content, err := r.read(resource.file)
		if err == nil {
			resource.now, err = kernel.ParsePressure(content)
		}
		switch {
		case err == nil:
			found++
		case !notThere(err):
			failed = errors.Join(failed, err)
		}
	}
	if failed != nil {
		return failed
	}
	if found == 0 {
		return errNotThere // a kernel before 4.20, or one without psi=1
	}
	if !s.described() || !c.same() {
		c.describe(s)
	}
	column := 0
	for i := range c.resources {
		now := c.resources[i].now
		if c.tells(i, "waiting") {
			s.values[column] = float64(now.Some) / 1e6
			column++
		}
		if c.tells(i, "stalled") {
			s.values[column] = float64(now.Full) / 1e6
			column++
		}
	}
	return nil
}

// tells says which of the two lines of a resource mean something. For the whole
// system, "full" of cpu is always 0; irq has no "some".
func (c *pressure) tells(i int, what string) bool {
	if what == "waiting" {
		return c.resources[i].now.HasSome && c.resources[i].name != "irq"
	}
	return c.resources[i].now.HasFull && c.resources[i].name != "cpu"
}

func (c *pressure) same() bool {
	for i := range c.resources {
		if c.resources[i].now.HasSome != c.shape[i].HasSome || c.resources[i].now.HasFull != c.shape[i].HasFull {
			return false
		}
	}
	return true
}

func (c *pressure) describe(s *sheet) {
	waiting := [...]string{
		"Total time in seconds that processes have waited for CPU time",
		"Total time in seconds that processes have waited due to IO congestion",
		"Total time in seconds that processes have waited for memory",
		"",
	}
	stalled := [...]string{
		"",
		"Total time in seconds no process could make progress due to IO congestion",
		"Total time in seconds no process could make progress due to memory congestion",
		"Total time in seconds no process could make progress due to IRQ congestion",
	}
	s.begin()
	for i := range c.resources {
		c.shape[i] = c.resources[i].now
		if c.tells(i, "waiting") {
			s.family("node_pressure_"+c.resources[i].name+"_waiting_seconds_total", waiting[i], model.Counter, 6)
			s.series()
		}
		if c.tells(i, "stalled") {
			s.family("node_pressure_"+c.resources[i].name+"_stalled_seconds_total", stalled[i], model.Counter, 6)
			s.series()
		}
	}
	s.end()
}

func (c *pressure) close() {
	for i := range c.resources {
		c.resources[i].file.Close()
	}
}
