package kernel

// The counters of a disk, in the order of the file. Times are in milliseconds,
// sectors are of 512 bytes whatever the device's own.
const (
	DiskReads = iota
	DiskReadsMerged
	DiskSectorsRead
	DiskReadTime
	DiskWrites
	DiskWritesMerged
	DiskSectorsWritten
	DiskWriteTime
	DiskInFlight // not a counter
	DiskBusyTime
	DiskWeightedTime
	DiskDiscards // from here on: Linux 4.18
	DiskDiscardsMerged
	DiskSectorsDiscarded
	DiskDiscardTime
	DiskFlushes // from here on: Linux 5.5
	DiskFlushTime
	DiskFields
)

// SectorSize is the unit of the sector counters, in bytes.
const SectorSize = 512

// minDiskFields is what every kernel since 2.6.25 prints also for partitions.
const minDiskFields = DiskDiscards

// Disk is one line of /proc/diskstats.
type Disk struct {
	Major, Minor uint32
	Name         []byte // a slice of the input
	Fields       int    // how many of Stats the kernel printed
	Stats        [DiskFields]uint64
}

// ParseDiskstats appends the disks of /proc/diskstats (block/genhd.c,
// diskstats_show) to dst and returns it. Lines with fewer than the eleven
// counters of 2.6 are left out, counters that are not known yet are ignored.
func ParseDiskstats(b []byte, dst []Disk) ([]Disk, error) {
	for number := 1; len(b) > 0; number++ {
		var line []byte
		line, b = cutLine(b)
		major, rest, ok := cutUint(line)
		minor, rest, ok2 := cutUint(rest)
		name, rest := cutField(rest)
		if !ok || !ok2 || major > 1<<32-1 || minor > 1<<32-1 || len(name) == 0 {
			return dst, formatError("diskstats", number, "major minor name", line)
		}
		dst = append(dst, Disk{Major: uint32(major), Minor: uint32(minor), Name: name})
		disk := &dst[len(dst)-1]
		for disk.Fields < DiskFields {
			var field []byte
			if field, rest = cutField(rest); len(field) == 0 {
				break
			}
			if disk.Stats[disk.Fields], ok = parseUint(field); !ok {
				return dst[:len(dst)-1], formatError("diskstats", number, "numbers after the name", line)
			}
			disk.Fields++
		}
		if disk.Fields < minDiskFields {
			dst = dst[:len(dst)-1]
		}
	}
	return dst, nil
}
