package kernel

import (
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/procfs"
	"github.com/prometheus/procfs/blockdevice"
)

// These tests hold the parsers against github.com/prometheus/procfs, on the
// recorded host and on a copy of what this machine says now.

// trees returns folders that hold a frozen /proc and /sys each.
func trees(t *testing.T) map[string]string {
	live := t.TempDir()
	for _, name := range []string{"stat", "loadavg", "meminfo", "vmstat", "diskstats", "net/dev", "self/mountinfo",
		"pressure/cpu", "pressure/io", "pressure/memory", "pressure/irq"} {
		if content, err := os.ReadFile(filepath.Join("/proc", name)); err == nil {
			write(t, filepath.Join(live, "proc", name), string(content))
		}
	}
	if err := os.MkdirAll(filepath.Join(live, "sys"), 0o755); err != nil {
		t.Fatal(err)
	}
	return map[string]string{"recorded": hostSmall, "live": live}
}

// both runs a comparison on each tree that has the file.
func both(t *testing.T, name string, compare func(t *testing.T, fs procfs.FS, root string, content []byte)) {
	for kind, root := range trees(t) {
		t.Run(kind, func(t *testing.T) {
			content, err := os.ReadFile(filepath.Join(root, "proc", name))
			if err != nil {
				t.Skip(err)
			}
			fs, err := procfs.NewFS(filepath.Join(root, "proc"))
			if err != nil {
				t.Fatal(err)
			}
			compare(t, fs, root, content)
		})
	}
}

func same(t *testing.T, what string, ours, theirs any) {
	t.Helper()
	if diff := cmp.Diff(theirs, ours); diff != "" {
		t.Errorf("%s: (-procfs +ours)\n%s", what, diff)
	}
}

func TestStatAgainstProcfs(t *testing.T) {
	both(t, "stat", func(t *testing.T, fs procfs.FS, _ string, content []byte) {
		theirs, err := fs.Stat()
		if err != nil {
			t.Fatal(err)
		}
		var ours Stat
		if err := ParseStat(content, &ours); err != nil {
			t.Fatal(err)
		}
		same(t, "counters", []uint64{ours.Interrupts, ours.ContextSwitches, ours.Forks, ours.BootTime, ours.Running, ours.Blocked},
			[]uint64{theirs.IRQTotal, theirs.ContextSwitches, theirs.ProcessCreated, theirs.BootTime, theirs.ProcessesRunning, theirs.ProcessesBlocked})
		cpus := map[int64]procfs.CPUStat{}
		for _, cpu := range ours.CPUs {
			s := func(mode int) float64 { return float64(cpu.Ticks[mode]) / UserHZ }
			cpus[int64(cpu.CPU)] = procfs.CPUStat{User: s(CPUUser), Nice: s(CPUNice), System: s(CPUSystem), Idle: s(CPUIdle), Iowait: s(CPUIOWait),
				IRQ: s(CPUIRQ), SoftIRQ: s(CPUSoftIRQ), Steal: s(CPUSteal), Guest: s(CPUGuest), GuestNice: s(CPUGuestNice)}
		}
		same(t, "cpus", cpus, theirs.CPU)
	})
}

func TestLoadavgAgainstProcfs(t *testing.T) {
	both(t, "loadavg", func(t *testing.T, fs procfs.FS, _ string, content []byte) {
		theirs, err := fs.LoadAvg()
		if err != nil {
			t.Fatal(err)
		}
		ours, err := ParseLoadavg(content)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "load", ours, Load{theirs.Load1, theirs.Load5, theirs.Load15})
	})
}

func TestMeminfoAgainstProcfs(t *testing.T) {
	both(t, "meminfo", func(t *testing.T, fs procfs.FS, _ string, content []byte) {
		theirs, err := fs.Meminfo()
		if err != nil {
			t.Fatal(err)
		}
		fields, err := ParseMeminfo(content, nil)
		if err != nil {
			t.Fatal(err)
		}
		// Their fields are named like the lines, without punctuation, and hold
		// the number as it is printed.
		ours := map[string]uint64{}
		for _, field := range fields {
			name := strings.NewReplacer("_", "", "(", "", ")", "").Replace(string(field.Name))
			ours[strings.ToLower(name)] = field.Value
		}
		values := reflect.ValueOf(theirs)
		compared := 0
		for i := range values.NumField() {
			name := values.Type().Field(i).Name
			if values.Field(i).IsNil() || strings.HasSuffix(name, "Bytes") {
				continue
			}
			compared++
			if got, ok := ours[strings.ToLower(name)]; !ok || got != values.Field(i).Elem().Uint() {
				t.Errorf("%s: got %d, procfs has %d", name, got, values.Field(i).Elem().Uint())
			}
		}
		if compared < 30 {
			t.Errorf("only %d fields compared", compared)
		}
	})
}

func TestDiskstatsAgainstProcfs(t *testing.T) {
	both(t, "diskstats", func(t *testing.T, _ procfs.FS, root string, content []byte) {
		fs, err := blockdevice.NewFS(filepath.Join(root, "proc"), filepath.Join(root, "sys"))
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := fs.ProcDiskstats()
		if err != nil {
			t.Fatal(err)
		}
		disks, err := ParseDiskstats(content, nil)
		if err != nil {
			t.Fatal(err)
		}
		var ours []blockdevice.Diskstats
		for _, d := range disks {
			s := d.Stats
			ours = append(ours, blockdevice.Diskstats{
				Info: blockdevice.Info{MajorNumber: d.Major, MinorNumber: d.Minor, DeviceName: string(d.Name)},
				IOStats: blockdevice.IOStats{
					ReadIOs: s[DiskReads], ReadMerges: s[DiskReadsMerged], ReadSectors: s[DiskSectorsRead], ReadTicks: s[DiskReadTime],
					WriteIOs: s[DiskWrites], WriteMerges: s[DiskWritesMerged], WriteSectors: s[DiskSectorsWritten], WriteTicks: s[DiskWriteTime],
					IOsInProgress: s[DiskInFlight], IOsTotalTicks: s[DiskBusyTime], WeightedIOTicks: s[DiskWeightedTime],
					DiscardIOs: s[DiskDiscards], DiscardMerges: s[DiskDiscardsMerged], DiscardSectors: s[DiskSectorsDiscarded], DiscardTicks: s[DiskDiscardTime],
					FlushRequestsCompleted: s[DiskFlushes], TimeSpentFlushing: s[DiskFlushTime],
				},
				IoStatsCount: d.Fields + 3,
			})
		}
		same(t, "disks", ours, theirs)
	})
}

func TestNetDevAgainstProcfs(t *testing.T) {
	both(t, "net/dev", func(t *testing.T, fs procfs.FS, _ string, content []byte) {
		theirs, err := fs.NetDev()
		if err != nil {
			t.Fatal(err)
		}
		devs, err := ParseNetDev(content, nil)
		if err != nil {
			t.Fatal(err)
		}
		ours := procfs.NetDev{}
		for _, d := range devs {
			s := d.Stats
			ours[string(d.Name)] = procfs.NetDevLine{Name: string(d.Name),
				RxBytes: s[NetReceiveBytes], RxPackets: s[NetReceivePackets], RxErrors: s[NetReceiveErrors], RxDropped: s[NetReceiveDropped],
				RxFIFO: s[NetReceiveFIFO], RxFrame: s[NetReceiveFrame], RxCompressed: s[NetReceiveCompressed], RxMulticast: s[NetReceiveMulticast],
				TxBytes: s[NetTransmitBytes], TxPackets: s[NetTransmitPackets], TxErrors: s[NetTransmitErrors], TxDropped: s[NetTransmitDropped],
				TxFIFO: s[NetTransmitFIFO], TxCollisions: s[NetTransmitCollisions], TxCarrier: s[NetTransmitCarrier], TxCompressed: s[NetTransmitCompressed]}
		}
		same(t, "interfaces", ours, theirs)
	})
}

func TestPressureAgainstProcfs(t *testing.T) {
	for _, resource := range []string{"cpu", "io", "memory", "irq"} {
		both(t, "pressure/"+resource, func(t *testing.T, fs procfs.FS, _ string, content []byte) {
			theirs, err := fs.PSIStatsForResource(resource)
			if err != nil {
				t.Fatal(err)
			}
			ours, err := ParsePressure(content)
			if err != nil {
				t.Fatal(err)
			}
			want := Pressure{}
			if theirs.Some != nil {
				want.Some, want.HasSome = theirs.Some.Total, true
			}
			if theirs.Full != nil {
				want.Full, want.HasFull = theirs.Full.Total, true
			}
			same(t, resource, ours, want)
		})
	}
}

func TestMountinfoAgainstProcfs(t *testing.T) {
	for pid, name := range map[int]string{1: "1/mountinfo", 0: "self/mountinfo"} {
		both(t, name, func(t *testing.T, fs procfs.FS, _ string, content []byte) {
			theirs, err := fs.GetMounts()
			if pid != 0 {
				theirs, err = fs.GetProcMounts(pid)
			}
			if err != nil {
				t.Fatal(err)
			}
			ours, err := ParseMountinfo(content)
			if err != nil || len(ours) != len(theirs) {
				t.Fatalf("got %d mounts, %v, procfs has %d", len(ours), err, len(theirs))
			}
			for i, their := range theirs {
				_, ro := their.Options["ro"]
				_, superRO := their.SuperOptions["ro"]
				same(t, their.MountPoint, []any{ours[i].Point, ours[i].Type, ours[i].Source, ours[i].ReadOnly},
					[]any{strings.ReplaceAll(their.MountPoint, `\040`, " "), their.FSType, their.Source, ro || superRO})
			}
		})
	}
}

// The load average has two decimals; reading it must give the float64 that
// strconv gives for the same text, to the bit.
func TestLoadavgIsTheNearestFloat(t *testing.T) {
	for hundredths := range 20_000 {
		text := []byte("0000.00")
		for i, n := 6, hundredths; i >= 0; i-- {
			if i != 4 {
				text[i] = byte('0' + n%10)
				n /= 10
			}
		}
		got, ok := parseDecimal(text)
		if want := float64(hundredths) / 100; !ok || math.Float64bits(got) != math.Float64bits(want) {
			t.Fatalf("parseDecimal(%q) = %v, %v, want %v", text, got, ok, want)
		}
	}
}
