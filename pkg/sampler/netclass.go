package sampler

import (
	"errors"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/cloudless-fleet/cloudless/pkg/kernel"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// netclass is how the network interfaces are set up (net/core/net-sysfs.c).
type netclass struct {
	fs      kernel.FS
	dir     *kernel.Dir
	filter  filter
	devices []*netclassDevice
}

// netclassDevice is one interface: its attributes in the order of
// netclassAttributes, and the texts of its info metric.
type netclassDevice struct {
	name    string
	numbers []netclassNumber
	texts   [netclassLabels]*kernel.File
	labels  [netclassLabels]string
	flags   int
	up      int // column
	info    int // column
	admin   string
}

type netclassNumber struct {
	file   *kernel.File
	value  float64
	raw    int64
	there  bool
	column int // -1: not described
}

// netclassAttribute is a number in a file as a metric.
type netclassAttribute struct {
	file, name string
	kind       model.MetricType
}

func netclassAttributes() []netclassAttribute {
	return []netclassAttribute{
		{"addr_assign_type", "address_assign_type", model.Gauge},
		{"carrier", "carrier", model.Gauge},
		{"carrier_changes", "carrier_changes_total", model.Counter},
		{"carrier_up_count", "carrier_up_changes_total", model.Counter},
		{"carrier_down_count", "carrier_down_changes_total", model.Counter},
		{"dev_id", "device_id", model.Gauge},
		{"dormant", "dormant", model.Gauge},
		{"flags", "flags", model.Gauge},
		{"ifindex", "iface_id", model.Gauge},
		{"iflink", "iface_link", model.Gauge},
		{"link_mode", "iface_link_mode", model.Gauge},
		{"mtu", "mtu_bytes", model.Gauge},
		{"name_assign_type", "name_assign_type", model.Gauge},
		{"netdev_group", "net_dev_group", model.Gauge},
		{"speed", "speed_bytes", model.Gauge},
		{"tx_queue_len", "transmit_queue_length", model.Gauge},
		{"type", "protocol_type", model.Gauge},
	}
}

// The labels that are files of the same name.
const (
	labelAddress = iota
	labelBroadcast
	labelDuplex
	labelOperstate
	labelIfalias
	netclassLabels
)

func netclassTexts() [netclassLabels]string {
	return [...]string{"address", "broadcast", "duplex", "operstate", "ifalias"}
}

func newNetclass(h *host, c *Collectors) (collector, error) {
	filter, err := newFilter(c.Netclass.DeviceInclude, c.Netclass.DeviceExclude)
	return &netclass{fs: h.fs, dir: kernel.NewDir(h.fs.SysPath("class/net")), filter: filter}, err
}

func (c *netclass) update(r *round, s *sheet) error {
	entries, changed, err := c.dir.List()
	if err != nil {
		return err
	}
	if changed || !s.described() {
		c.learn(entries)
	}
	stale := changed || !s.described()
	var failed error
	for _, device := range c.devices {
		deviceStale, err := device.read(r)
		stale = stale || deviceStale
		if err != nil {
			failed = partial{err}
		}
	}
	if stale {
		c.describe(s)
	}
	for _, device := range c.devices {
		device.fill(s)
	}
	return failed
}

// learn opens the attributes of interfaces that are new and closes those of
// interfaces that are gone.
func (c *netclass) learn(entries []kernel.DirEntry) {
	before := map[string]*netclassDevice{}
	for _, device := range c.devices {
		before[device.name] = device
	}
	c.devices = nil
	open := 0
	for _, entry := range entries {
		if entry.Regular || !c.filter.passes(entry.Name) {
			continue
		}
		device := before[entry.Name]
		if device == nil {
			device = newNetclassDevice(c.fs, entry.Name)
		}
		delete(before, entry.Name)
		open += len(device.numbers) + len(device.texts)
		device.transient(open > maxOpen)
		c.devices = append(c.devices, device)
	}
	for _, gone := range before {
		gone.close()
	}
}

func newNetclassDevice(fs kernel.FS, name string) *netclassDevice {
	device := &netclassDevice{name: name}
	for i, attribute := range netclassAttributes() {
		if attribute.file == "flags" {
			device.flags = i
		}
		file := fs.SysFile("class/net/" + name + "/" + attribute.file)
		device.numbers = append(device.numbers, netclassNumber{file: file, column: -1})
	}
	for i, text := range netclassTexts() {
		device.texts[i] = fs.SysFile("class/net/" + name + "/" + text)
	}
	return device
}

// read takes in all attributes and reports whether what is described does not
// fit any more: a label changed, or an attribute appeared that has no column.
// One that disappears keeps its column, absent, so that a link that goes up and
// down does not make a new schema each time.
func (d *netclassDevice) read(r *round) (stale bool, failed error) {
	for i := range d.numbers {
		number := &d.numbers[i]
		content, err := r.read(number.file)
		number.there = false
		if err == nil {
			number.raw, number.there = kernel.ParseInt(content)
		} else if !attributeUnset(err) {
			failed = err
		}
		stale = stale || number.there && number.column < 0
	}
	for i, file := range d.texts {
		content, err := r.read(file)
		if err != nil {
			content = nil
			if !attributeUnset(err) {
				failed = err
			}
		}
		if text := kernel.ParseText(content); string(text) != d.labels[i] {
			d.labels[i] = string(text)
			stale = true
		}
	}
	admin := "unknown"
	if flags := &d.numbers[d.flags]; flags.there {
		admin = "down"
		if flags.raw&unix.IFF_UP != 0 {
			admin = "up"
		}
	}
	stale = stale || admin != d.admin
	d.admin = admin
	return stale, failed
}

// attributeUnset tells the answers of interfaces to which an attribute does
// not apply, or not now (a link that is down has no speed: EINVAL).
func attributeUnset(err error) bool {
	return kernel.NotThere(err) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES)
}

func (c *netclass) describe(s *sheet) {
	s.begin()
	s.family("node_network_up", "Value is 1 if operstate is 'up', 0 otherwise.", model.Gauge, 0)
	for _, d := range c.devices {
		d.up = s.series("device", d.name)
	}
	s.family("node_network_info", "Non-numeric data from /sys/class/net/<iface>, value is always 1.", model.Gauge, 0)
	for _, d := range c.devices {
		d.info = s.series("device", d.name, "address", d.labels[labelAddress], "broadcast", d.labels[labelBroadcast], "duplex", d.labels[labelDuplex],
			"operstate", d.labels[labelOperstate], "adminstate", d.admin, "ifalias", d.labels[labelIfalias])
	}
	for i, attribute := range netclassAttributes() {
		s.family("node_network_"+attribute.name, "Network device property: "+attribute.name, attribute.kind, 0)
		for _, d := range c.devices {
			// One that had a column keeps it.
			if d.numbers[i].there || d.numbers[i].column >= 0 {
				d.numbers[i].column = s.series("device", d.name)
			}
		}
	}
	s.end()
}

func (d *netclassDevice) fill(s *sheet) {
	s.values[d.up] = oneIf(d.labels[labelOperstate] == "up")
	s.values[d.info] = 1
	for i := range d.numbers {
		number := &d.numbers[i]
		switch {
		case number.column < 0:
		case !number.there:
			s.values[number.column] = model.Absent()
		case strings.HasSuffix(number.file.Path(), "/speed"):
			// Megabits to bytes; -1 for a link that does not know its speed.
			s.values[number.column] = float64(number.raw * 1_000_000 / 8)
		default:
			s.values[number.column] = float64(number.raw)
		}
	}
}

func (d *netclassDevice) transient(yes bool) {
	for i := range d.numbers {
		d.numbers[i].file.Transient = yes
	}
	for _, file := range d.texts {
		file.Transient = yes
	}
}

func (d *netclassDevice) close() {
	for i := range d.numbers {
		d.numbers[i].file.Close()
	}
	for _, file := range d.texts {
		file.Close()
	}
}

func (c *netclass) close() {
	c.dir.Close()
	for _, device := range c.devices {
		device.close()
	}
}
