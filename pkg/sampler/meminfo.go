package sampler

import (
	"strings"

	"github.com/cloudless-fleet/cloudless/pkg/kernel"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// meminfo is what the memory is used for: every field that the kernel prints.
type meminfo struct {
	file   *kernel.File
	fields []kernel.MemField // of this round
	names  []string          // of the columns
}

func newMeminfo(h *host, _ *Collectors) (collector, error) {
	file := h.fs.ProcFile("meminfo")
	file.OneRead = true // fs/proc/meminfo.c, proc_create_single
	return &meminfo{file: file}, nil
}

func (c *meminfo) update(r *round, s *sheet) error {
	content, err := r.read(c.file)
	if err != nil {
		return err
	}
	if c.fields, err = kernel.ParseMeminfo(content, c.fields[:0]); err != nil {
		return err
	}
	if !s.described() || !c.same() {
		c.describe(s)
	}
	for i := range c.fields {
		value := float64(c.fields[i].Value)
		if c.fields[i].Kilobytes {
			value *= 1024
		}
		s.values[i] = value
	}
	return nil
}

func (c *meminfo) same() bool {
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

func (c *meminfo) describe(s *sheet) {
	c.names = c.names[:0]
	s.begin()
	for _, field := range c.fields {
		c.names = append(c.names, string(field.Name))
		name := memMetric(string(field.Name))
		if field.Kilobytes {
			name += "_bytes"
		}
		kind := model.Gauge
		if strings.HasSuffix(name, "_total") {
			kind = model.Counter
		}
		s.family("node_memory_"+name, "Memory information field "+name+".", kind, 0)
		s.series()
	}
	s.end()
}

// memMetric makes a field's name fit for a metric: Active(anon) is Active_anon.
func memMetric(field string) string {
	return metricName(strings.TrimSuffix(field, ")"))
}

// metricName replaces what cannot stand within a metric's name.
func metricName(text string) string {
	return strings.Map(func(c rune) rune {
		if c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' {
			return c
		}
		return '_'
	}, text)
}

func (c *meminfo) close() { c.file.Close() }
