package sampler

import (
	"github.com/cloudless-fleet/cloudless/pkg/kernel"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// netdev is what went through the network interfaces.
type netdev struct {
	fs         kernel.FS
	file       *kernel.File
	filter     filter
	interfaces []kernel.Interface // of this round
	known      []netShape         // of all interfaces, in the order of the file
	sampled    int
}

type netShape struct {
	name  string
	index int // among the sampled ones, -1 for those ignored
	// noHandler counts packets that no protocol took. It is not in the file.
	noHandler *kernel.File
	column    int // of noHandler, -1 when the kernel does not have it
}

func newNetdev(h *host, c *Collectors) (collector, error) {
	filter, err := newFilter(c.Netdev.DeviceInclude, c.Netdev.DeviceExclude)
	return &netdev{fs: h.fs, file: h.fs.ProcFile("net/dev"), filter: filter}, err
}

func (c *netdev) update(r *round, s *sheet) error {
	content, err := r.read(c.file)
	if err != nil {
		return err
	}
	if c.interfaces, err = kernel.ParseNetDev(content, c.interfaces[:0]); err != nil {
		return err
	}
	if !s.described() || !c.same() {
		c.learn()
		c.describe(r, s) // overwrites the names in c.interfaces
	}
	for i := range c.known {
		if index := c.known[i].index; index >= 0 {
			for field, value := range c.interfaces[i].Stats {
				s.values[field*c.sampled+index] = float64(value)
			}
		}
	}
	return c.readNoHandler(r, s)
}

func (c *netdev) same() bool {
	if len(c.interfaces) != len(c.known) {
		return false
	}
	for i := range c.interfaces {
		if string(c.interfaces[i].Name) != c.known[i].name {
			return false
		}
	}
	return true
}

// learn notes which interfaces there are.
func (c *netdev) learn() {
	before := c.known
	c.known, c.sampled = nil, 0
	for _, dev := range c.interfaces {
		shape := netShape{name: string(dev.Name), index: -1, column: -1}
		if c.filter.passes(shape.name) {
			shape.index = c.sampled
			c.sampled++
			shape.noHandler = c.fs.SysFile("class/net/" + shape.name + "/statistics/rx_nohandler")
			shape.noHandler.Transient = c.sampled > maxOpen
		}
		c.known = append(c.known, shape)
	}
	closeNoHandlers(before)
}

func (c *netdev) describe(r *round, s *sheet) {
	s.begin()
	for _, key := range [kernel.NetFields]string{
		"receive_bytes", "receive_packets", "receive_errs", "receive_drop",
		"receive_fifo", "receive_frame", "receive_compressed", "receive_multicast",
		"transmit_bytes", "transmit_packets", "transmit_errs", "transmit_drop",
		"transmit_fifo", "transmit_colls", "transmit_carrier", "transmit_compressed",
	} {
		c.family(s, key)
		for i := range c.known {
			if c.known[i].index >= 0 {
				s.series("device", c.known[i].name)
			}
		}
	}
	c.family(s, "receive_nohandler")
	for i := range c.known {
		known := &c.known[i]
		if known.index < 0 {
			continue
		}
		if _, err := r.read(known.noHandler); err == nil {
			known.column = s.series("device", known.name)
		}
	}
	s.end()
}

func (c *netdev) family(s *sheet, key string) {
	s.family("node_network_"+key+"_total", "Network device statistic "+key+".", model.Counter, 0)
}

// readNoHandler reads the counter that has a file of its own. An interface that
// went away since /proc/net/dev was read leaves its column absent.
func (c *netdev) readNoHandler(r *round, s *sheet) (failed error) {
	for i := range c.known {
		known := &c.known[i]
		if known.column < 0 {
			continue
		}
		s.values[known.column] = model.Absent()
		content, err := r.read(known.noHandler)
		if err != nil {
			if !kernel.NotThere(err) {
				failed = partial{err}
			}
			continue
		}
		if value, ok := kernel.ParseInt(content); ok {
			s.values[known.column] = float64(value)
		}
	}
	return failed
}

func (c *netdev) close() {
	c.file.Close()
	closeNoHandlers(c.known)
}

func closeNoHandlers(shapes []netShape) {
	for i := range shapes {
		if shapes[i].noHandler != nil {
			shapes[i].noHandler.Close()
		}
	}
}
