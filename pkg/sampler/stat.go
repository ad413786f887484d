package sampler

import (
	"github.com/cloudless-fleet/cloudless/pkg/kernel"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// statSource reads /proc/stat once a round for the collectors that need it:
// printing it is the most expensive thing that the hot set asks of the kernel.
type statSource struct {
	file  *kernel.File
	stat  kernel.Stat
	err   error
	round uint64
}

func newStatSource(fs kernel.FS) *statSource {
	file := fs.ProcFile("stat")
	file.OneRead = true // fs/proc/stat.c, single_open_size
	return &statSource{file: file}
}

// read returns the content as of this round, valid until the next one.
func (s *statSource) read(r *round) (*kernel.Stat, error) {
	if s.round != r.number {
		s.round = r.number
		content, err := r.read(s.file)
		if err == nil {
			err = kernel.ParseStat(content, &s.stat)
		}
		s.err = err
	}
	return &s.stat, s.err
}

// stat is what /proc/stat says of the system as a whole.
type stat struct{ source *statSource }

func newStat(h *host, _ *Collectors) (collector, error) { return &stat{h.stat}, nil }

func (c *stat) update(r *round, s *sheet) error {
	now, err := c.source.read(r)
	if err != nil {
		return err
	}
	if !s.described() {
		s.begin()
		s.family("node_intr_total", "Total number of interrupts serviced.", model.Counter, 0)
		s.series()
		s.family("node_context_switches_total", "Total number of context switches.", model.Counter, 0)
		s.series()
		s.family("node_forks_total", "Total number of forks.", model.Counter, 0)
		s.series()
		s.family("node_boot_time_seconds", "Node boot time, in unixtime.", model.Gauge, 0)
		s.series()
		s.family("node_procs_running", "Number of processes in runnable state.", model.Gauge, 0)
		s.series()
		s.family("node_procs_blocked", "Number of processes blocked waiting for I/O to complete.", model.Gauge, 0)
		s.series()
		s.end()
	}
	for i, value := range [...]uint64{now.Interrupts, now.ContextSwitches, now.Forks, now.BootTime, now.Running, now.Blocked} {
		s.values[i] = float64(value)
	}
	return nil
}

func (c *stat) close() { c.source.file.Close() }
