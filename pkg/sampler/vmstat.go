package sampler

import (
	"github.com/cloudless-fleet/cloudless/pkg/kernel"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// vmstat is what the memory management has done.
type vmstat struct {
	file    *kernel.File
	filter  filter
	fields  []kernel.VMField // of this round
	names   []string         // of all fields, those not sampled too
	columns []int            // of each field, -1 for those not sampled
}

func newVmstat(h *host, c *Collectors) (collector, error) {
	filter, err := newFilter(c.Vmstat.Fields, "")
	return &vmstat{file: h.fs.ProcFile("vmstat"), filter: filter}, err
}

func (c *vmstat) update(r *round, s *sheet) error {
	content, err := r.read(c.file)
	if err != nil {
		return err
	}
	if c.fields, err = kernel.ParseVmstat(content, c.fields[:0]); err != nil {
		return err
	}
	if !s.described() || !c.same() {
		c.describe(s)
	}
	for i, column := range c.columns {
		if column >= 0 {
			s.values[column] = float64(c.fields[i].Value)
		}
	}
	return nil
}

func (c *vmstat) same() bool {
	if len(c.fields) != len(c.names) {
		return false
	}
	for i := range c.fields {
		if string(c.fields[i].Name) != c.names[i] {
			return false
		}
	}
	return true
}

func (c *vmstat) describe(s *sheet) {
	c.names, c.columns = c.names[:0], c.columns[:0]
	s.begin()
	for _, field := range c.fields {
		name, column := string(field.Name), -1
		if c.filter.passes(name) {
			s.family("node_vmstat_"+metricName(name), "/proc/vmstat information field "+name+".", model.Untyped, 0)
			column = s.series()
		}
		c.names = append(c.names, name)
		c.columns = append(c.columns, column)
	}
	s.end()
}

func (c *vmstat) close() { c.file.Close() }
