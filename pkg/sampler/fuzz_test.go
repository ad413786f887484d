package sampler

import (
	"os"
	"path/filepath"
	"testing"
)

// FuzzSources gives collectors two contents of one file, one after the other:
// whatever they are, a round comes out whose row fits its parts.
func FuzzSources(f *testing.F) {
	sources := []string{"proc/stat", "proc/loadavg", "proc/meminfo", "proc/vmstat", "proc/diskstats", "proc/net/dev", "proc/pressure/io",
		"proc/1/mountinfo", "root/etc/os-release", "root/run/udev/data/b8=0", "sys/class/net/eth0/speed", "sys/devices/system/cpu/isolated",
		"sys/devices/system/clocksource/clocksource0/available_clocksource", "sys/class/net/eth0/address"}
	for i, source := range sources {
		content, err := os.ReadFile(filepath.Join(hostSmall, source))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(i), content, content[:len(content)/2])
		f.Add(uint8(i), content[:len(content)/3], content)
	}
	h := newTestHost(f)
	before := map[string]string{}
	for i, source := range sources {
		sources[i] = filepath.Join(filepath.Dir(source), replaceEquals(filepath.Base(source)))
		before[sources[i]] = h.read(sources[i])
	}
	f.Fuzz(func(t *testing.T, which uint8, first, second []byte) {
		h.t = t
		source := sources[int(which)%len(sources)]
		s := h.sampler()
		for _, content := range [][]byte{first, second} {
			h.write(source, string(content))
			h.clock = h.clock.Add(refreshEvery)
			snapshot, err := s.SampleOnce()
			if err != nil {
				t.Fatal(err)
			}
			columns := 0
			for _, part := range snapshot.Parts {
				columns += part.Columns()
			}
			if len(snapshot.Row) != columns {
				t.Errorf("a row of %d values for %d series", len(snapshot.Row), columns)
			}
		}
		h.write(source, before[source])
	})
}
