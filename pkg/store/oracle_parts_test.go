package store_test

import (
	"fmt"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// machine is what a generated host has now.
type machine struct {
	name       string
	cores      int
	disks      []string
	nets       []string
	mounts     []string
	sensors    []string
	containers []string
	handlers   []string
}

// seriesOf are label sets with one label.
func seriesOf(label string, values ...string) (all []model.Labels) {
	for _, v := range values {
		all = append(all, model.LabelsOf(label, v))
	}
	return all
}

// alone is one series without labels.
func alone() []model.Labels { return []model.Labels{nil} }

// simple are families of one type and one list of series.
func simple(kind model.MetricType, scale uint8, series []model.Labels, names ...string) (all []model.Family) {
	for _, n := range names {
		all = append(all, model.Family{Name: n, Type: kind, Scale: scale, Series: series})
	}
	return all
}

// partsByName make the parts that a machine has. Those without series are left out.
var partsByName = map[string]func(m *machine) model.Part{
	"cpu": func(m *machine) model.Part {
		var series []model.Labels
		for core := range m.cores {
			for _, mode := range []string{"idle", "iowait", "system", "user"} {
				series = append(series, model.LabelsOf("cpu", fmt.Sprint(core), "mode", mode))
			}
		}
		return model.Part{Collector: "cpu", Families: simple(model.Counter, 2, series, "node_cpu_seconds_total")}
	},
	"load": func(*machine) model.Part {
		return model.Part{Collector: "load", Families: simple(model.Gauge, 2, alone(), "node_load1", "node_load5", "node_load15")}
	},
	"pressure": func(*machine) model.Part {
		return model.Part{Collector: "pressure", Families: simple(model.Counter, 6, alone(), "node_pressure_cpu_waiting_seconds_total", "node_pressure_io_waiting_seconds_total")}
	},
	"memory": func(*machine) model.Part {
		return model.Part{Collector: "memory", Families: simple(model.Gauge, 0, alone(),
			"node_memory_MemTotal_bytes", "node_memory_MemFree_bytes", "node_memory_MemAvailable_bytes", "node_memory_Buffers_bytes", "node_memory_Cached_bytes", "node_memory_SwapFree_bytes")}
	},
	"stat": func(*machine) model.Part {
		f := simple(model.Counter, 0, alone(), "node_context_switches_total", "node_forks_total", "node_intr_total")
		f = append(f, simple(model.Gauge, 0, alone(), "node_boot_time_seconds", "node_procs_running", "node_procs_blocked")...)
		f = append(f, simple(model.Gauge, 7, alone(), "node_time_seconds")...)
		return model.Part{Collector: "stat", Families: append(f, simple(model.Gauge, 0, alone(), "up", "node_filefd_allocated", "node_filefd_maximum")...)}
	},
	"vmstat": func(*machine) model.Part {
		return model.Part{Collector: "vmstat", Families: simple(model.Untyped, 0, alone(), "node_vmstat_pgfault", "node_vmstat_oom_kill")}
	},
	"disk": func(m *machine) model.Part {
		series := seriesOf("device", m.disks...)
		f := simple(model.Counter, 0, series, "node_disk_reads_completed_total", "node_disk_read_bytes_total", "node_disk_written_bytes_total")
		f = append(f, simple(model.Counter, 3, series, "node_disk_io_time_seconds_total")...)
		return model.Part{Collector: "disk", Families: append(f, simple(model.Gauge, 0, series, "node_disk_io_now")...)}
	},
	"network": func(m *machine) model.Part {
		series := seriesOf("device", m.nets...)
		f := simple(model.Counter, 0, series, "node_network_receive_bytes_total", "node_network_transmit_bytes_total", "node_network_receive_errs_total")
		return model.Part{Collector: "network", Families: append(f, simple(model.Gauge, 0, series, "node_network_up", "node_network_mtu_bytes")...)}
	},
	"filesystem": func(m *machine) model.Part {
		var series []model.Labels
		for i, mount := range m.mounts {
			series = append(series, model.LabelsOf("device", fmt.Sprintf("/dev/vd%c", 'a'+i%26), "fstype", []string{"ext4", "xfs", "tmpfs"}[i%3], "mountpoint", mount))
		}
		return model.Part{Collector: "filesystem", Families: simple(model.Gauge, 0, series,
			"node_filesystem_size_bytes", "node_filesystem_avail_bytes", "node_filesystem_free_bytes", "node_filesystem_readonly", "node_filesystem_files", "node_filesystem_files_free")}
	},
	"hwmon": func(m *machine) model.Part {
		return model.Part{Collector: "hwmon", Families: simple(model.Gauge, 3, seriesOf("sensor", m.sensors...), "node_hwmon_temp_celsius")}
	},
	"uname": func(m *machine) model.Part {
		series := []model.Labels{model.LabelsOf("nodename", m.name, "release", fmt.Sprintf("6.%d.0", len(m.name)+m.cores), "sysname", "Linux", "empty", "")}
		return model.Part{Collector: "uname", Families: simple(model.Gauge, 0, series, "node_uname_info")}
	},
	"http": func(m *machine) model.Part {
		var buckets []model.Labels
		for _, handler := range m.handlers {
			for _, le := range bounds {
				buckets = append(buckets, model.LabelsOf("handler", handler, "le", le))
			}
		}
		f := simple(model.Counter, 0, buckets, "http_request_duration_seconds_bucket")
		f = append(f, simple(model.Counter, 3, seriesOf("handler", m.handlers...), "http_request_duration_seconds_sum")...)
		return model.Part{Collector: "http", Families: append(f, simple(model.Counter, 0, seriesOf("handler", m.handlers...), "http_request_duration_seconds_count")...)}
	},
	"container": func(m *machine) model.Part {
		f := simple(model.Counter, 6, seriesOf("id", m.containers...), "container_cpu_usage_seconds_total")
		return model.Part{Collector: "container", Families: append(f, simple(model.Gauge, 0, seriesOf("id", m.containers...), "container_memory_usage_bytes")...)}
	},
}

// bounds of the buckets of a histogram.
var bounds = []string{"0.005", "0.05", "0.5", "1", "5", "+Inf"}

// parts makes the named parts of the machine.
func (m *machine) parts(names ...string) (all []model.Part) {
	for _, n := range names {
		if p := partsByName[n](m); p.Columns() > 0 {
			all = append(all, p)
		}
	}
	return all
}
