package kernel

import (
	"bytes"
	"strings"
	"testing"
)

// seed adds a recorded file, its halves and some damage.
func seed(f *testing.F, names ...string) {
	for _, name := range names {
		content := recorded(f, name)
		f.Add(content)
		f.Add(content[:len(content)/2])
		f.Add(bytes.ReplaceAll(content, []byte(" "), []byte("\t")))
		f.Add(bytes.ReplaceAll(content, []byte("0"), []byte("-")))
	}
	f.Add([]byte{})
	f.Add([]byte("\n\n: :\n - \n"))
}

// within fails when a parser returned bytes that are not of its input.
func within(t *testing.T, part, input []byte) {
	t.Helper()
	if !bytes.Contains(input, part) || len(part) == 0 {
		t.Errorf("%q is not of the input", part)
	}
}

func FuzzParseStat(f *testing.F) {
	seed(f, "proc/stat")
	f.Fuzz(func(t *testing.T, b []byte) {
		var s Stat
		if err := ParseStat(b, &s); err == nil && len(s.CPUs) > bytes.Count(b, []byte("cpu")) {
			t.Errorf("%d processors", len(s.CPUs))
		}
	})
}

func FuzzParseLoadavg(f *testing.F) {
	seed(f, "proc/loadavg")
	f.Fuzz(func(t *testing.T, b []byte) {
		if load, err := ParseLoadavg(b); err == nil && !(load[0] >= 0 && load[1] >= 0 && load[2] >= 0) {
			t.Error(load)
		}
	})
}

func FuzzParseMeminfo(f *testing.F) {
	seed(f, "proc/meminfo")
	f.Fuzz(func(t *testing.T, b []byte) {
		fields, err := ParseMeminfo(b, nil)
		if err == nil && len(fields) == 0 {
			t.Error("no fields and no error")
		}
		for _, field := range fields {
			within(t, field.Name, b)
		}
	})
}

func FuzzParseVmstat(f *testing.F) {
	seed(f, "proc/vmstat")
	f.Fuzz(func(t *testing.T, b []byte) {
		fields, _ := ParseVmstat(b, nil)
		for _, field := range fields {
			within(t, field.Name, b)
		}
	})
}

func FuzzParseDiskstats(f *testing.F) {
	seed(f, "proc/diskstats")
	f.Fuzz(func(t *testing.T, b []byte) {
		disks, _ := ParseDiskstats(b, nil)
		for _, disk := range disks {
			within(t, disk.Name, b)
			if disk.Fields < minDiskFields || disk.Fields > DiskFields {
				t.Errorf("%d fields", disk.Fields)
			}
		}
	})
}

func FuzzParseNetDev(f *testing.F) {
	seed(f, "proc/net/dev")
	f.Fuzz(func(t *testing.T, b []byte) {
		devs, _ := ParseNetDev(b, nil)
		for _, dev := range devs {
			within(t, dev.Name, b)
		}
	})
}

func FuzzParsePressure(f *testing.F) {
	seed(f, "proc/pressure/io", "proc/pressure/irq")
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, err := ParsePressure(b); err == nil && !p.HasSome && !p.HasFull {
			t.Error("nothing and no error")
		}
	})
}

func FuzzParseMountinfo(f *testing.F) {
	seed(f, "proc/1/mountinfo")
	f.Fuzz(func(t *testing.T, b []byte) {
		mounts, _ := ParseMountinfo(b)
		if len(mounts) > bytes.Count(b, []byte("\n"))+1 {
			t.Errorf("%d mounts", len(mounts))
		}
	})
}

func FuzzParseOSRelease(f *testing.F) {
	seed(f, "root/etc/os-release")
	f.Add([]byte(`A="\"`))
	f.Fuzz(func(t *testing.T, b []byte) {
		values, _ := ParseOSRelease(b)
		for name := range values {
			if !isShellName(name) {
				t.Errorf("name %q", name)
			}
		}
	})
}

func FuzzParseUdev(f *testing.F) {
	seed(f, "root/run/udev/data/b8=0")
	f.Fuzz(func(t *testing.T, b []byte) {
		for name, value := range ParseUdev(b) {
			if !bytes.Contains(b, []byte("E:"+name+"="+value)) {
				t.Errorf("%q=%q is not of the input", name, value)
			}
		}
	})
}

func FuzzParseInt(f *testing.F) {
	for _, text := range []string{"1\n", "-1", "0x10", "", "9223372036854775808"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		value, ok := ParseInt(b)
		if ok && value < 0 != strings.HasPrefix(strings.TrimSpace(string(b)), "-") && value != 0 {
			t.Errorf("ParseInt(%q) = %d", b, value)
		}
	})
}

func FuzzParseDirents(f *testing.F) {
	dir := NewDir(f.TempDir())
	if _, _, err := dir.List(); err != nil {
		f.Fatal(err)
	}
	f.Add(bytes.Clone(dir.raw))
	f.Add(bytes.Clone(dir.raw[:20]))
	f.Add([]byte{})
	dir.Close()
	f.Fuzz(func(t *testing.T, b []byte) {
		entries, _ := parseDirents(b)
		if len(entries) > len(b)/19 {
			t.Errorf("%d entries of %d bytes", len(entries), len(b))
		}
	})
}
