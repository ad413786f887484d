package sampler

import (
	"strconv"
	"strings"

	"github.com/cloudless-fleet/cloudless/pkg/kernel"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// diskstats is what the block devices have done, and what udev knows of them.
type diskstats struct {
	fs      kernel.FS
	file    *kernel.File
	filter  filter
	disks   []kernel.Disk // of this round
	known   []diskShape   // of all disks, in the order of the file
	columns []int         // first column of each statistic, -1: not printed
	extra   []fixedColumn
	infos   []diskInfo
	slowly  slowly
}

// diskShape is what of a disk decides about its columns.
type diskShape struct {
	name         string
	major, minor uint32
	fields       int
	index        int // among the sampled ones, -1 for those ignored
}

// fixedColumn is a value that stands until the next description.
type fixedColumn struct {
	column int
	value  float64
}

// diskMetric is a statistic of the file as a metric.
type diskMetric struct {
	name, help string
	kind       model.MetricType
	scale      uint8
	multiplier float64 // 0: milliseconds
}

// diskMetrics are in the order of the file.
func diskMetrics() [kernel.DiskFields]diskMetric {
	return [...]diskMetric{
		kernel.DiskReads:            {"reads_completed_total", "The total number of reads completed successfully.", model.Counter, 0, 1},
		kernel.DiskReadsMerged:      {"reads_merged_total", "The total number of reads merged.", model.Counter, 0, 1},
		kernel.DiskSectorsRead:      {"read_bytes_total", "The total number of bytes read successfully.", model.Counter, 0, kernel.SectorSize},
		kernel.DiskReadTime:         {"read_time_seconds_total", "The total number of seconds spent by all reads.", model.Counter, 3, 0},
		kernel.DiskWrites:           {"writes_completed_total", "The total number of writes completed successfully.", model.Counter, 0, 1},
		kernel.DiskWritesMerged:     {"writes_merged_total", "The number of writes merged.", model.Counter, 0, 1},
		kernel.DiskSectorsWritten:   {"written_bytes_total", "The total number of bytes written successfully.", model.Counter, 0, kernel.SectorSize},
		kernel.DiskWriteTime:        {"write_time_seconds_total", "This is the total number of seconds spent by all writes.", model.Counter, 3, 0},
		kernel.DiskInFlight:         {"io_now", "The number of I/Os currently in progress.", model.Gauge, 0, 1},
		kernel.DiskBusyTime:         {"io_time_seconds_total", "Total seconds spent doing I/Os.", model.Counter, 3, 0},
		kernel.DiskWeightedTime:     {"io_time_weighted_seconds_total", "The weighted # of seconds spent doing I/Os.", model.Counter, 3, 0},
		kernel.DiskDiscards:         {"discards_completed_total", "The total number of discards completed successfully.", model.Counter, 0, 1},
		kernel.DiskDiscardsMerged:   {"discards_merged_total", "The total number of discards merged.", model.Counter, 0, 1},
		kernel.DiskSectorsDiscarded: {"discarded_sectors_total", "The total number of sectors discarded successfully.", model.Counter, 0, 1},
		kernel.DiskDiscardTime:      {"discard_time_seconds_total", "This is the total number of seconds spent by all discards.", model.Counter, 3, 0},
		kernel.DiskFlushes:          {"flush_requests_total", "The total number of flush requests completed successfully", model.Counter, 0, 1},
		kernel.DiskFlushTime:        {"flush_requests_time_seconds_total", "This is the total number of seconds spent by all flush requests.", model.Counter, 3, 0},
	}
}

func newDiskstats(h *host, c *Collectors) (collector, error) {
	filter, err := newFilter(c.Diskstats.DeviceInclude, c.Diskstats.DeviceExclude)
	return &diskstats{fs: h.fs, file: h.fs.ProcFile("diskstats"), filter: filter}, err
}

func (c *diskstats) update(r *round, s *sheet) error {
	content, err := r.read(c.file)
	if err != nil {
		return err
	}
	if c.disks, err = kernel.ParseDiskstats(content, c.disks[:0]); err != nil {
		return err
	}
	same := c.same()
	if !same {
		c.learn()
	}
	if c.slowly.due(r) || !same || !s.described() {
		// From here on the names in c.disks are overwritten.
		infos := c.readInfos(r)
		if !same || !s.described() || !sameInfos(infos, c.infos) {
			c.infos = infos
			c.describe(s)
		}
	}
	c.fill(s)
	return nil
}

func (c *diskstats) same() bool {
	if len(c.disks) != len(c.known) {
		return false
	}
	for i := range c.disks {
		disk, known := &c.disks[i], &c.known[i]
		if string(disk.Name) != known.name || disk.Major != known.major || disk.Minor != known.minor || disk.Fields != known.fields {
			return false
		}
	}
	return true
}

// learn notes which disks there are.
func (c *diskstats) learn() {
	c.known = c.known[:0]
	sampled := 0
	for _, disk := range c.disks {
		shape := diskShape{string(disk.Name), disk.Major, disk.Minor, disk.Fields, -1}
		if c.filter.passes(shape.name) {
			shape.index = sampled
			sampled++
		}
		c.known = append(c.known, shape)
	}
}

func (c *diskstats) describe(s *sheet) {
	c.columns = c.columns[:0]
	c.extra = c.extra[:0]
	most := c.mostFields()
	s.begin()
	for field, metric := range diskMetrics() {
		s.family("node_disk_"+metric.name, metric.help, metric.kind, metric.scale)
		c.columns = append(c.columns, s.columns)
		for _, disk := range c.known {
			// A disk that prints fewer statistics than the others keeps a
			// column for each, as a rectangle is simpler; it stays absent.
			if disk.index >= 0 && field < most {
				s.series("device", disk.name)
			}
		}
	}
	c.describeInfos(s)
	s.end()
}

func (c *diskstats) mostFields() (most int) {
	for _, disk := range c.known {
		if disk.index >= 0 {
			most = max(most, disk.fields)
		}
	}
	return most
}

func (c *diskstats) fill(s *sheet) {
	metrics := diskMetrics()
	for i := range c.known {
		known := &c.known[i]
		if known.index < 0 {
			continue
		}
		for field, value := range c.disks[i].Stats[:known.fields] {
			v := float64(value)
			if multiplier := metrics[field].multiplier; multiplier != 0 {
				v *= multiplier
			} else {
				v /= 1000 // and not times 0.001: the nearest to the decimal
			}
			s.values[c.columns[field]+known.index] = v
		}
	}
	for _, fixed := range c.extra {
		s.values[fixed.column] = fixed.value
	}
}

func (c *diskstats) close() { c.file.Close() }

// diskInfo is what labels and gauges say of one disk.
type diskInfo struct {
	disk       diskShape
	rotational string
	udev       udevInfo
}

func sameInfos(a, b []diskInfo) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// readInfos looks up what sysfs and udev know of the sampled disks.
func (c *diskstats) readInfos(r *round) []diskInfo {
	var infos []diskInfo
	for _, disk := range c.known {
		if disk.index >= 0 {
			infos = append(infos, diskInfo{disk, c.rotational(r, disk.name), c.readUdev(r, disk)})
		}
	}
	return infos
}

// rotational is "1" for a disk that spins (block/blk-sysfs.c). Partitions and
// whatever has no queue count as not spinning.
func (c *diskstats) rotational(r *round, name string) string {
	file := c.fs.SysFile("block/" + strings.ReplaceAll(name, "/", "!") + "/queue/rotational")
	defer file.Close()
	if content, err := r.read(file); err == nil && string(kernel.ParseText(content)) == "1" {
		return "1"
	}
	return "0"
}

func (c *diskstats) describeInfos(s *sheet) {
	one := func(column int) { c.extra = append(c.extra, fixedColumn{column, 1}) }
	s.family("node_disk_info", "Info of /sys/block/<block_device>.", model.Gauge, 0)
	for _, info := range c.infos {
		u := &info.udev
		one(s.series("device", info.disk.name, "major", itoa(info.disk.major), "minor", itoa(info.disk.minor), "path", u.path,
			"wwn", u.wwn, "model", u.model, "serial", u.serial, "revision", u.revision, "rotational", info.rotational))
	}
	s.family("node_disk_filesystem_info", "Info about disk filesystem.", model.Gauge, 0)
	for _, info := range c.infos {
		if u := &info.udev; u.fsType != "" {
			one(s.series("device", info.disk.name, "type", u.fsType, "usage", u.fsUsage, "uuid", u.fsUUID, "version", u.fsVersion))
		}
	}
	s.family("node_disk_device_mapper_info", "Info about disk device mapper.", model.Gauge, 0)
	for _, info := range c.infos {
		if u := &info.udev; u.dmName != "" {
			one(s.series("device", info.disk.name, "name", u.dmName, "uuid", u.dmUUID, "vg_name", u.dmVG, "lv_name", u.dmLV, "lv_layer", u.dmLayer))
		}
	}
	for i, family := range [...]struct{ name, help string }{
		{"node_disk_ata_write_cache", "ATA disk has a write cache."},
		{"node_disk_ata_write_cache_enabled", "ATA disk has its write cache enabled."},
		{"node_disk_ata_rotation_rate_rpm", "ATA disk rotation rate in RPMs (0 for SSDs)."},
	} {
		s.family(family.name, family.help, model.Gauge, 0)
		for _, info := range c.infos {
			value, err := strconv.ParseFloat(info.udev.ata[i], 64)
			if info.udev.isATA && err == nil {
				c.extra = append(c.extra, fixedColumn{s.series("device", info.disk.name), value})
			}
		}
	}
}

func itoa(n uint32) string { return strconv.FormatUint(uint64(n), 10) }
