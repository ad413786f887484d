package sampler

import (
	"errors"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Limits of the configuration.
const (
	MinInterval    = 100 * time.Millisecond
	MaxInterval    = time.Hour
	maxStatWorkers = 256
)

// Config says what is sampled and how often.
type Config struct {
	// Interval is the time between two rounds, from 100ms to 1h. Shorter shows
	// short events and costs processor time, spool and store in proportion;
	// longer hides what lasts less than twice as long. Rounds are aligned to
	// the wall clock with an offset that depends on the worker.
	Interval time.Duration `toml:"interval"`
	// KeyEvery is how often a frame holds every value instead of the changes:
	// one in so many. More often costs bytes (a key frame has about five times
	// the bytes of the others), more rarely makes a reader that starts in the
	// middle decode more frames before the one it wants.
	KeyEvery int `toml:"key_every"`
	// MaxSeries bounds the series of this worker. A collector that would
	// exceed it is left out as a whole, with an error that names it. A higher
	// bound lets a host with thousands of devices fill the store of the fleet,
	// a lower one loses collectors earlier.
	MaxSeries int `toml:"max_series"`
	// Collectors switches and tunes the single collectors.
	Collectors Collectors `toml:"collectors"`
}

// Collectors has one section for each row of the table.
type Collectors struct {
	CPU        CPUConfig        `toml:"cpu"`
	Loadavg    Switch           `toml:"loadavg"`
	Meminfo    Switch           `toml:"meminfo"`
	Vmstat     VmstatConfig     `toml:"vmstat"`
	Stat       Switch           `toml:"stat"`
	Pressure   Switch           `toml:"pressure"`
	Diskstats  DiskstatsConfig  `toml:"diskstats"`
	Filesystem FilesystemConfig `toml:"filesystem"`
	Netdev     DeviceConfig     `toml:"netdev"`
	Netclass   DeviceConfig     `toml:"netclass"`
	Time       Switch           `toml:"time"`
	Uname      Switch           `toml:"uname"`
	OS         Switch           `toml:"os"`
}

// Switch is the section of a collector that has nothing to tune.
type Switch struct {
	// Enabled samples it. Off saves its cost and loses its series.
	Enabled bool `toml:"enabled"`
}

// CPUConfig is the section of cpu.
type CPUConfig struct {
	// Enabled samples it. Off saves its cost and loses its series.
	Enabled bool `toml:"enabled"`
	// Guest adds node_cpu_guest_seconds_total, two series for each processor.
	// Only hosts that run virtual machines need it.
	Guest bool `toml:"guest"`
}

// VmstatConfig is the section of vmstat.
type VmstatConfig struct {
	// Enabled samples it. Off saves its cost and loses its series.
	Enabled bool `toml:"enabled"`
	// Fields is a regular expression: the fields of /proc/vmstat to sample. All
	// (".*") are about 200 series.
	Fields string `toml:"fields"`
}

// DeviceConfig is the section of a collector that has devices. A device is
// sampled when it matches the included and does not match the excluded ones.
type DeviceConfig struct {
	// Enabled samples it. Off saves its cost and loses its series.
	Enabled bool `toml:"enabled"`
	// DeviceInclude is a regular expression of device names; empty: all. Fewer
	// devices mean fewer series.
	DeviceInclude string `toml:"device_include"`
	// DeviceExclude is a regular expression of device names; empty: none.
	DeviceExclude string `toml:"device_exclude"`
}

// DiskstatsConfig is the section of diskstats.
type DiskstatsConfig = DeviceConfig

// FilesystemConfig is the section of filesystem. A mount is sampled when its
// point and its type each match the included and do not match the excluded ones.
type FilesystemConfig struct {
	// Enabled samples it. Off saves its cost and loses its series.
	Enabled bool `toml:"enabled"`
	// MountPointsInclude is a regular expression of mount points; empty: all.
	MountPointsInclude string `toml:"mount_points_include"`
	// MountPointsExclude is a regular expression of mount points; empty: none.
	// Fewer mounts mean fewer series and fewer calls that may hang.
	MountPointsExclude string `toml:"mount_points_exclude"`
	// FSTypesInclude is a regular expression of filesystem types; empty: all.
	FSTypesInclude string `toml:"fs_types_include"`
	// FSTypesExclude is a regular expression of filesystem types; empty: none.
	FSTypesExclude string `toml:"fs_types_exclude"`
	// MountTimeout is after how long a mount that does not answer is reported
	// with the device error "mountpoint timeout". A round waits for it at most
	// half an interval, once. Shorter takes a slow server for a dead one,
	// longer reports a dead one later.
	MountTimeout time.Duration `toml:"mount_timeout"`
	// StatWorkers bounds the calls under way at once, those that hang
	// included, each of which holds a thread. With as many mounts hung, the
	// other mounts are no longer sampled either.
	StatWorkers int `toml:"stat_workers"`
}

// The ignore lists of node_exporter.
const (
	defaultVmstatFields     = `^(oom_kill|pgpg|pswp|pg.*fault).*`
	defaultDisksExcluded    = `^(z?ram|loop|fd|(h|s|v|xv)d[a-z]|nvme\d+n\d+p)\d+$`
	defaultMountsExcluded   = `^/(dev|proc|run/credentials/.+|sys|var/lib/docker/.+|var/lib/containers/storage/.+)($|/)`
	defaultFSTypesExcluded  = `^(autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devpts|devtmpfs|fusectl|hugetlbfs|iso9660|mqueue|nsfs|overlay|proc|procfs|pstore|rpc_pipefs|securityfs|selinuxfs|squashfs|erofs|sysfs|tracefs)$`
	defaultMountTimeout     = 5 * time.Second
	defaultStatWorkers      = 32
	defaultMaxSeries        = 20_000
	defaultKeyEvery         = 60
	defaultInterval         = 15 * time.Second
	leastSeries, mostSeries = 100, frame.MaxColumns
)

// DefaultConfig samples every 15 seconds with every collector on and
// node_exporter's ignore lists.
func DefaultConfig() Config {
	on := Switch{Enabled: true}
	return Config{
		Interval:  defaultInterval,
		KeyEvery:  defaultKeyEvery,
		MaxSeries: defaultMaxSeries,
		Collectors: Collectors{
			CPU:       CPUConfig{Enabled: true, Guest: true},
			Loadavg:   on,
			Meminfo:   on,
			Vmstat:    VmstatConfig{Enabled: true, Fields: defaultVmstatFields},
			Stat:      on,
			Pressure:  on,
			Diskstats: DiskstatsConfig{Enabled: true, DeviceExclude: defaultDisksExcluded},
			Filesystem: FilesystemConfig{
				Enabled:            true,
				MountPointsExclude: defaultMountsExcluded,
				FSTypesExclude:     defaultFSTypesExcluded,
				MountTimeout:       defaultMountTimeout,
				StatWorkers:        defaultStatWorkers,
			},
			Netdev:   DeviceConfig{Enabled: true},
			Netclass: DeviceConfig{Enabled: true},
			Time:     on,
			Uname:    on,
			OS:       on,
		},
	}
}

// Validate names every field that makes no sense (model.FieldError).
func (c Config) Validate() error {
	return errors.Join(
		model.FieldWithin("interval", c.Interval, MinInterval, MaxInterval),
		model.FieldWithin("key_every", c.KeyEvery, 1, frame.MaxSinceKey),
		model.FieldWithin("max_series", c.MaxSeries, leastSeries, mostSeries),
		model.InSection("collectors", c.Collectors.validate()))
}

func (c Collectors) validate() error {
	return errors.Join(
		validatePattern("vmstat.fields", c.Vmstat.Fields),
		model.InSection("diskstats", c.Diskstats.validate()),
		model.InSection("filesystem", c.Filesystem.validate()),
		model.InSection("netdev", c.Netdev.validate()),
		model.InSection("netclass", c.Netclass.validate()))
}

func (c DeviceConfig) validate() error {
	return errors.Join(
		validatePattern("device_include", c.DeviceInclude),
		validatePattern("device_exclude", c.DeviceExclude))
}

func (c FilesystemConfig) validate() error {
	return errors.Join(
		validatePattern("mount_points_include", c.MountPointsInclude),
		validatePattern("mount_points_exclude", c.MountPointsExclude),
		validatePattern("fs_types_include", c.FSTypesInclude),
		validatePattern("fs_types_exclude", c.FSTypesExclude),
		model.FieldWithin("mount_timeout", c.MountTimeout, time.Millisecond, time.Hour),
		model.FieldWithin("stat_workers", c.StatWorkers, 1, maxStatWorkers))
}

func validatePattern(key, pattern string) error {
	if _, err := newFilter(pattern, ""); err != nil {
		return model.Fieldf(key, "%w", err)
	}
	return nil
}
