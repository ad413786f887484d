package sampler

// entry is one row of the table of collectors.
type entry struct {
	name    string // as node_exporter names it: the label collector, the TOML section
	reads   string // for docs/metrics.md
	enabled func(c *Collectors) bool
	build   func(h *host, c *Collectors) (collector, error)
}

// table lists the collectors in the order in which they are asked and in which
// their parts stand in a schema. To add one: a file and a line.
func table() []entry {
	return []entry{
		{"cpu", "/proc/stat, /sys/devices/system/cpu", func(c *Collectors) bool { return c.CPU.Enabled }, newCPU},
		{"stat", "/proc/stat", func(c *Collectors) bool { return c.Stat.Enabled }, newStat},
		{"loadavg", "/proc/loadavg", func(c *Collectors) bool { return c.Loadavg.Enabled }, newLoadavg},
		{"meminfo", "/proc/meminfo", func(c *Collectors) bool { return c.Meminfo.Enabled }, newMeminfo},
		{"vmstat", "/proc/vmstat", func(c *Collectors) bool { return c.Vmstat.Enabled }, newVmstat},
		{"pressure", "/proc/pressure/*", func(c *Collectors) bool { return c.Pressure.Enabled }, newPressure},
		{"diskstats", "/proc/diskstats, /run/udev/data, /sys/block/*/queue/rotational", func(c *Collectors) bool { return c.Diskstats.Enabled }, newDiskstats},
		{"netdev", "/proc/net/dev, /sys/class/net/*/statistics/rx_nohandler", func(c *Collectors) bool { return c.Netdev.Enabled }, newNetdev},
		{"netclass", "/sys/class/net/*", func(c *Collectors) bool { return c.Netclass.Enabled }, newNetclass},
		{"time", "the clock, /sys/devices/system/clocksource", func(c *Collectors) bool { return c.Time.Enabled }, newTime},
		{"uname", "uname(2)", func(c *Collectors) bool { return c.Uname.Enabled }, newUname},
		{"os", "/etc/os-release or /usr/lib/os-release", func(c *Collectors) bool { return c.OS.Enabled }, newOS},
		{"filesystem", "/proc/1/mountinfo, statfs(2)", func(c *Collectors) bool { return c.Filesystem.Enabled }, newFilesystem},
	}
}
