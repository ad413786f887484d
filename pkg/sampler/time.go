package sampler

import (
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/cloudless-fleet/cloudless/pkg/kernel"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// clock is the host's time, its zone, and what the kernel takes it from
// (kernel/time/clocksource.c).
type clock struct {
	fs      kernel.FS
	sources []clockSource
	slowly  slowly
	zone    string
	ones    []int // columns whose value is always 1
}

type clockSource struct {
	available, current         *kernel.File
	availableText, currentText string
}

func newTime(h *host, _ *Collectors) (collector, error) { return &clock{fs: h.fs}, nil }

func (c *clock) update(r *round, s *sheet) error {
	stale := !s.described()
	if c.slowly.due(r) && c.learn() {
		stale = true
	}
	var failed error
	for i := range c.sources {
		source := &c.sources[i]
		for _, text := range [...]struct {
			file *kernel.File
			into *string
		}{{source.available, &source.availableText}, {source.current, &source.currentText}} {
			content, err := r.read(text.file)
			if err != nil {
				failed = partial{err}
				content = nil
			}
			if content = kernel.ParseText(content); string(content) != *text.into {
				*text.into = string(content)
				stale = true
			}
		}
	}
	zone, offset := r.at.Zone()
	if stale || zone != c.zone {
		c.zone = zone
		c.describe(s)
	}
	// To the millisecond, as is the timestamp of the round: their difference
	// is zero, and the column costs a few bits.
	s.values[0] = float64(r.at.UnixMilli()) / 1000
	s.values[1] = float64(offset)
	for _, column := range c.ones {
		s.values[column] = 1
	}
	return failed
}

// learn looks for clock sources and reports whether they are other ones.
func (c *clock) learn() bool {
	paths, _ := filepath.Glob(c.fs.SysPath("devices/system/clocksource/clocksource[0-9]*")) // errors: bad pattern only
	same := slices.EqualFunc(paths, c.sources, func(path string, source clockSource) bool {
		return filepath.Dir(source.current.Path()) == path
	})
	if same {
		return false
	}
	c.close()
	c.sources = nil
	for _, path := range paths {
		source := clockSource{
			available: kernel.NewFile(filepath.Join(path, "available_clocksource")),
			current:   kernel.NewFile(filepath.Join(path, "current_clocksource")),
		}
		source.available.OneRead, source.current.OneRead = true, true
		c.sources = append(c.sources, source)
	}
	return true
}

func (c *clock) describe(s *sheet) {
	c.ones = c.ones[:0]
	s.begin()
	s.family("node_time_seconds", "System time in seconds since epoch (1970).", model.Gauge, 3)
	s.series()
	s.family("node_time_zone_offset_seconds", "System time zone offset in seconds.", model.Gauge, 0)
	s.series("time_zone", c.zone)
	s.family("node_time_clocksource_available_info", "Available clocksources read from '/sys/devices/system/clocksource'.", model.Gauge, 0)
	for i, source := range c.sources {
		for _, name := range strings.Fields(source.availableText) {
			c.ones = append(c.ones, s.series("device", strconv.Itoa(i), "clocksource", name))
		}
	}
	s.family("node_time_clocksource_current_info", "Current clocksource read from '/sys/devices/system/clocksource'.", model.Gauge, 0)
	for i, source := range c.sources {
		if source.currentText != "" {
			c.ones = append(c.ones, s.series("device", strconv.Itoa(i), "clocksource", source.currentText))
		}
	}
	s.end()
}

func (c *clock) close() {
	for _, source := range c.sources {
		source.available.Close()
		source.current.Close()
	}
}
