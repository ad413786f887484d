package sampler

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// The parts that do not come from the kernel stand after the others.
const (
	selfPart   = "cloudless" // what the daemon says of itself
	scrapePart = "scrape"    // how the collectors fared
)

// scrape tells, of each collector, how long it took and whether it succeeded.
// The names are those of node_exporter, so that its dashboards and alerts work.
type scrape struct{ slots []*slot }

func (c *scrape) describe(s *sheet) {
	s.begin()
	s.family("node_scrape_collector_duration_seconds", "node_exporter: Duration of a collector scrape.", model.Gauge, 6)
	for _, slot := range c.slots {
		s.series("collector", slot.name)
	}
	s.family("node_scrape_collector_success", "node_exporter: Whether a collector succeeded.", model.Gauge, 0)
	for _, slot := range c.slots {
		s.series("collector", slot.name)
	}
	s.end()
}

func (c *scrape) update(_ *round, s *sheet) error {
	for i, slot := range c.slots {
		// Microseconds: finer ones would be noise that costs bytes.
		s.values[i] = float64(slot.took.Round(time.Microsecond).Microseconds()) / 1e6
		s.values[len(c.slots)+i] = oneIf(slot.outcome == delivered)
	}
	return nil
}

func (c *scrape) close() {}

// self lists what the daemon measures of itself.
type self struct {
	metrics func() []model.Metric
	known   []model.Metric
	columns []int
}

func (c *self) update(_ *round, s *sheet) error {
	now := c.metrics()
	if len(now) == 0 {
		return errNotThere
	}
	if !s.described() || !slices.EqualFunc(now, c.known, sameSeries) {
		for i := range now {
			// Under another name it could be a series of a collector too,
			// and no round can hold one twice.
			if !strings.HasPrefix(now[i].Name, "cloudless_") {
				return fmt.Errorf("own metric %q: want a name that begins with cloudless_", now[i].Name)
			}
		}
		c.describe(s, now)
	}
	for i := range now {
		s.values[c.columns[i]] = now[i].Value
	}
	return nil
}

func sameSeries(a, b model.Metric) bool {
	return a.Name == b.Name && a.Help == b.Help && a.Type == b.Type && slices.Equal(a.Labels, b.Labels)
}

// describe gathers the series of one name into one family.
func (c *self) describe(s *sheet, now []model.Metric) {
	c.known = slices.Clone(now)
	for i := range c.known {
		c.known[i].Labels = slices.Clone(now[i].Labels)
	}
	c.columns = make([]int, len(now))
	done := map[string]bool{}
	s.begin()
	for i := range now {
		if done[now[i].Name] {
			continue
		}
		done[now[i].Name] = true
		s.family(now[i].Name, now[i].Help, now[i].Type, scaleOf(now[i]))
		for j := i; j < len(now); j++ {
			if now[j].Name == now[i].Name {
				c.columns[j] = s.add(c.known[j].Labels)
			}
		}
	}
	s.end()
}

// scaleOf guesses the decimals from the unit in the name. A wrong guess costs
// bytes and loses nothing.
func scaleOf(m model.Metric) uint8 {
	switch {
	case strings.Contains(m.Name, "_seconds"):
		return 9 // what a time.Duration counts
	case strings.HasSuffix(m.Name, "_ratio"), m.Value != math.Trunc(m.Value):
		return 4
	}
	return 0
}

func (c *self) close() {}
