package sampler

import (
	"github.com/cloudless-fleet/cloudless/pkg/kernel"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// loadavg is the length of the run queue.
type loadavg struct{ file *kernel.File }

func newLoadavg(h *host, _ *Collectors) (collector, error) {
	file := h.fs.ProcFile("loadavg")
	file.OneRead = true // fs/proc/loadavg.c, proc_create_single
	return &loadavg{file}, nil
}

func (c *loadavg) update(r *round, s *sheet) error {
	content, err := r.read(c.file)
	if err != nil {
		return err
	}
	load, err := kernel.ParseLoadavg(content)
	if err != nil {
		return err
	}
	if !s.described() {
		s.begin()
		s.family("node_load1", "1m load average.", model.Gauge, 2)
		s.series()
		s.family("node_load5", "5m load average.", model.Gauge, 2)
		s.series()
		s.family("node_load15", "15m load average.", model.Gauge, 2)
		s.series()
		s.end()
	}
	copy(s.values, load[:])
	return nil
}

func (c *loadavg) close() { c.file.Close() }
