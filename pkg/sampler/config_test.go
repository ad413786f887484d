package sampler

import (
	"strings"
	"testing"
	"time"

	"github.com/BurntSushi/toml"
	"github.com/google/go-cmp/cmp"

	"github.com/cloudless-fleet/cloudless/pkg/kernel"
)

func TestDefaultConfigIsValid(t *testing.T) {
	if err := DefaultConfig().Validate(); err != nil {
		t.Error(err)
	}
}

func TestConfigSaysWhichFieldIsWrong(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"interval: 99ms":                              func(c *Config) { c.Interval = 99 * time.Millisecond },
		"interval: 2h":                                func(c *Config) { c.Interval = 2 * time.Hour },
		"key_every: 0":                                func(c *Config) { c.KeyEvery = 0 },
		"max_series: 99":                              func(c *Config) { c.MaxSeries = 99 },
		"max_series: 65537":                           func(c *Config) { c.MaxSeries = 65537 },
		"collectors.vmstat.fields:":                   func(c *Config) { c.Collectors.Vmstat.Fields = "(" },
		"collectors.diskstats.device_exclude:":        func(c *Config) { c.Collectors.Diskstats.DeviceExclude = "[" },
		"collectors.netdev.device_include:":           func(c *Config) { c.Collectors.Netdev.DeviceInclude = "*" },
		"collectors.filesystem.fs_types_exclude:":     func(c *Config) { c.Collectors.Filesystem.FSTypesExclude = "(" },
		"collectors.filesystem.mount_points_exclude:": func(c *Config) { c.Collectors.Filesystem.MountPointsExclude = "(" },
		"collectors.filesystem.mount_timeout:":        func(c *Config) { c.Collectors.Filesystem.MountTimeout = 0 },
		"collectors.filesystem.stat_workers:":         func(c *Config) { c.Collectors.Filesystem.StatWorkers = 0 },
	} {
		c := DefaultConfig()
		change(&c)
		if err := c.Validate(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want an error that begins with %q", err, want)
		}
		if _, err := New(c, kernel.Host(), Deps{}); err == nil {
			t.Errorf("%s: New takes it", want)
		}
	}
}

func TestConfigIsTOML(t *testing.T) {
	var got Config
	if _, err := toml.Decode(`
interval = "1s"
key_every = 30
[collectors.filesystem]
enabled = true
fs_types_exclude = "^tmpfs$"
mount_timeout = "250ms"
[collectors.os]
enabled = true
`, &got); err != nil {
		t.Fatal(err)
	}
	want := Config{Interval: time.Second, KeyEvery: 30}
	want.Collectors.Filesystem = FilesystemConfig{Enabled: true, FSTypesExclude: "^tmpfs$", MountTimeout: 250 * time.Millisecond}
	want.Collectors.OS.Enabled = true
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// The defaults are node_exporter's lists; these are the names they are meant
// for.
func TestDefaultIgnoreLists(t *testing.T) {
	c := DefaultConfig().Collectors
	for _, list := range []struct {
		include, exclude string
		passes, ignored  []string
	}{
		{c.Diskstats.DeviceInclude, c.Diskstats.DeviceExclude, []string{"sda", "vda", "nvme0n1", "dm-0", "md0", "mmcblk0p1"}, []string{"loop0", "ram1", "zram0", "sda1", "vdb12", "nvme0n1p1", "fd0"}},
		{c.Filesystem.MountPointsInclude, c.Filesystem.MountPointsExclude, []string{"/", "/home", "/development", "/var/lib/docker"}, []string{"/dev", "/proc/x", "/sys/fs/cgroup", "/var/lib/docker/overlay2/x/merged", "/run/credentials/a.service"}},
		{c.Filesystem.FSTypesInclude, c.Filesystem.FSTypesExclude, []string{"ext4", "xfs", "tmpfs", "nfs4", "fuse.sshfs"}, []string{"proc", "cgroup", "cgroup2", "overlay", "squashfs", "erofs"}},
		{c.Vmstat.Fields, "", []string{"oom_kill", "pgpgin", "pswpout", "pgmajfault"}, []string{"nr_free_pages", "pgalloc_dma"}},
	} {
		f, err := newFilter(list.include, list.exclude)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range list.passes {
			if !f.passes(name) {
				t.Errorf("%q is ignored", name)
			}
		}
		for _, name := range list.ignored {
			if f.passes(name) {
				t.Errorf("%q is not ignored", name)
			}
		}
	}
}
