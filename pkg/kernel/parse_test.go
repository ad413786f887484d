package kernel

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// wants runs a table of a parser: input to result, or to a word of the error.
type parserCase[T any] struct {
	name, in string
	want     T
	err      string
}

func runCases[T any](t *testing.T, parse func(string) (T, error), cases []parserCase[T]) {
	t.Helper()
	for _, c := range cases {
		got, err := parse(c.in)
		if c.err != "" {
			var format *FormatError
			if !errors.As(err, &format) || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: got error %v, want a FormatError with %q", c.name, err, c.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", c.name, diff)
		}
	}
}

func TestParseStat(t *testing.T) {
	parse := func(in string) (s Stat, err error) {
		err = ParseStat([]byte(in), &s)
		return s, err
	}
	runCases(t, parse, []parserCase[Stat]{
		{name: "everything", in: "cpu  5 5\ncpu0 1 2 3 4 5 6 7 8 9 10\ncpu3 11 12 13 14 15 16 17 18 19 20 21\n" +
			"intr 99 1 2 3\nctxt 7\nbtime 1795317618\nprocesses 8\nprocs_running 2\nprocs_blocked 1\nsoftirq 4 4\n",
			want: Stat{
				CPUs: []CPUTimes{
					{CPU: 0, Ticks: [CPUModes]uint64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}},
					{CPU: 3, Ticks: [CPUModes]uint64{11, 12, 13, 14, 15, 16, 17, 18, 19, 20}},
				},
				Interrupts: 99, ContextSwitches: 7, BootTime: 1795317618, Forks: 8, Running: 2, Blocked: 1,
			}},
		{name: "an old kernel prints fewer columns", in: "cpu0 1 2 3 4\n",
			want: Stat{CPUs: []CPUTimes{{Ticks: [CPUModes]uint64{1, 2, 3, 4}}}}},
		{name: "the largest counter", in: "ctxt 18446744073709551615\n", want: Stat{ContextSwitches: 1<<64 - 1}},
		{name: "no newline at the end", in: "ctxt 3", want: Stat{ContextSwitches: 3}},
		{name: "overflow", in: "ctxt 18446744073709551616\n", err: "line 1"},
		{name: "empty", in: "", err: "known line"},
		{name: "another file", in: "hello world\n", err: "known line"},
		{name: "cpu without numbers", in: "cpu0\n", err: "line 1"},
		{name: "cpu with a word", in: "ctxt 1\ncpu0 1 x\n", err: "line 2"},
		{name: "cpu number too large", in: "cpu99999999 1\n", err: "line 1"},
		{name: "negative", in: "procs_running -1\n", err: "a number"},
	})
}

func TestParseLoadavg(t *testing.T) {
	parse := func(in string) (Load, error) { return ParseLoadavg([]byte(in)) }
	runCases(t, parse, []parserCase[Load]{
		{name: "usual", in: "0.03 0.12 12.16 1/98 11954\n", want: Load{0.03, 0.12, 12.16}},
		{name: "no decimals", in: "1 2 3\n", want: Load{1, 2, 3}},
		{name: "two numbers", in: "0.03 0.12\n", err: "three numbers"},
		{name: "empty", in: "", err: "three numbers"},
		{name: "word", in: "0.03 0.12 x 1/98 3", err: "three numbers"},
		{name: "sign within", in: "0.-3 0 0", err: "three numbers"},
		{name: "more digits than a float64 holds", in: "9007199254740993.55 0 0", err: "three numbers"},
	})
}

func TestParseMeminfo(t *testing.T) {
	parse := func(in string) ([]MemField, error) { return ParseMeminfo([]byte(in), nil) }
	runCases(t, parse, []parserCase[[]MemField]{
		{name: "usual", in: "MemTotal:       24684096 kB\nActive(anon):       1568 kB\nHugePages_Total:       0\n",
			want: []MemField{
				{Name: []byte("MemTotal"), Value: 24684096, Kilobytes: true},
				{Name: []byte("Active(anon)"), Value: 1568, Kilobytes: true},
				{Name: []byte("HugePages_Total"), Value: 0},
			}},
		{name: "unit", in: "MemTotal: 1 MB\n", err: "kB"},
		{name: "no colon", in: "MemTotal 1 kB\n", err: "line 1"},
		{name: "no number", in: "A: 1 kB\nMemTotal:\n", err: "line 2"},
		{name: "more", in: "MemTotal: 1 kB more\n", err: "line 1"},
		{name: "empty", in: "", err: "at least one line"},
	})
}

func TestParseVmstat(t *testing.T) {
	parse := func(in string) ([]VMField, error) { return ParseVmstat([]byte(in), nil) }
	runCases(t, parse, []parserCase[[]VMField]{
		{name: "usual", in: "pgpgin 11\noom_kill 0\n", want: []VMField{{[]byte("pgpgin"), 11}, {[]byte("oom_kill"), 0}}},
		{name: "word", in: "pgpgin eleven\n", err: "line 1"},
		{name: "blank line", in: "pgpgin 1\n\n", err: "line 2"},
		{name: "empty", in: "", err: "at least one line"},
	})
}

func TestParseDiskstats(t *testing.T) {
	parse := func(in string) ([]Disk, error) { return ParseDiskstats([]byte(in), nil) }
	runCases(t, parse, []parserCase[[]Disk]{
		{name: "all generations", in: "   8       0 sda 1 2 3 4 5 6 7 8 9 10 11\n" +
			" 254       1 vda1 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15\n" +
			" 259       2 nvme0n1 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19\n",
			want: []Disk{
				{Major: 8, Minor: 0, Name: []byte("sda"), Fields: 11, Stats: [DiskFields]uint64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}},
				{Major: 254, Minor: 1, Name: []byte("vda1"), Fields: 15, Stats: [DiskFields]uint64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}},
				{Major: 259, Minor: 2, Name: []byte("nvme0n1"), Fields: 17, Stats: [DiskFields]uint64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17}},
			}},
		{name: "partitions of 2.4 are left out", in: "8 1 sda1 1 2 3 4\n8 0 sda 1 2 3 4 5 6 7 8 9 10 11\n",
			want: []Disk{{Major: 8, Name: []byte("sda"), Fields: 11, Stats: [DiskFields]uint64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}}}},
		{name: "no disks", in: "", want: nil},
		{name: "no name", in: "8 1\n", err: "line 1"},
		{name: "word", in: "8 1 sda 1 2 3 x\n", err: "numbers after the name"},
		{name: "major", in: "x 1 sda 1\n", err: "major"},
	})
}

func TestParseNetDev(t *testing.T) {
	const head = "Inter-|   Receive\n face |bytes\n"
	parse := func(in string) ([]Interface, error) { return ParseNetDev([]byte(in), nil) }
	runCases(t, parse, []parserCase[[]Interface]{
		{name: "usual", in: head + "    lo: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\neth0:0:18446744073709551615 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n",
			want: []Interface{
				{Name: []byte("lo"), Stats: [NetFields]uint64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}},
				{Name: []byte("eth0:0"), Stats: [NetFields]uint64{1<<64 - 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}},
			}},
		{name: "no interfaces", in: head, want: nil},
		{name: "no colon", in: head + "lo 1 2 3\n", err: "line 3"},
		{name: "no name", in: head + ": 1 2 3\n", err: "name before the colon"},
		{name: "fifteen", in: head + "lo: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15\n", err: "16 numbers"},
	})
}

func TestParsePressure(t *testing.T) {
	parse := func(in string) (Pressure, error) { return ParsePressure([]byte(in)) }
	runCases(t, parse, []parserCase[Pressure]{
		{name: "both", in: "some avg10=0.19 avg60=0.25 avg300=0.19 total=5455199\nfull avg10=0.19 avg60=0.23 avg300=0.14 total=4304761\n",
			want: Pressure{Some: 5455199, Full: 4304761, HasSome: true, HasFull: true}},
		{name: "irq", in: "full avg10=0.00 avg60=0.00 avg300=0.00 total=3\n", want: Pressure{Full: 3, HasFull: true}},
		{name: "a new line", in: "most total=x\nsome total=1\n", want: Pressure{Some: 1, HasSome: true}},
		{name: "no total", in: "some avg10=0.19\n", err: "total=number"},
		{name: "bad total", in: "full total=-1\n", err: "total=number"},
		{name: "empty", in: "", err: "some or full"},
	})
}

func TestParseMountinfo(t *testing.T) {
	parse := func(in string) ([]Mount, error) { return ParseMountinfo([]byte(in)) }
	runCases(t, parse, []parserCase[[]Mount]{
		{name: "usual", in: "36 35 98:1 /mnt1 /mnt2 rw,noatime master:1 shared:2 - ext3 /dev/root rw,errors=continue\n",
			want: []Mount{{Major: 98, Minor: 1, Point: "/mnt2", Type: "ext3", Source: "/dev/root"}}},
		{name: "no optional fields", in: "27 1 254:0 / / ro,relatime - ext4 /dev/vda rw\n",
			want: []Mount{{Major: 254, Point: "/", Type: "ext4", Source: "/dev/vda", ReadOnly: true}}},
		{name: "the filesystem is read-only", in: "27 1 254:0 / / rw - ext4 /dev/vda ro,x=y\n",
			want: []Mount{{Major: 254, Point: "/", Type: "ext4", Source: "/dev/vda", ReadOnly: true}}},
		{name: "after an error", in: "27 1 254:0 / / rw - ext4 /dev/vda rw,emergency_ro\n",
			want: []Mount{{Major: 254, Point: "/", Type: "ext4", Source: "/dev/vda", ReadOnly: true}}},
		{name: "options that only begin like it", in: "27 1 254:0 / / rw,rootcontext=x - ext4 /dev/vda rw,errors=ro\n",
			want: []Mount{{Major: 254, Point: "/", Type: "ext4", Source: "/dev/vda"}}},
		{name: "escapes", in: `1 2 0:3 / /a\040b\011c\134d\012e rw - fuse a\040b rw` + "\n",
			want: []Mount{{Minor: 3, Point: "/a b\tc\\d\ne", Type: "fuse", Source: `a\040b`}}},
		{name: "an empty source", in: "1 2 0:3 / /x rw - tmpfs  rw\n",
			want: []Mount{{Minor: 3, Point: "/x", Type: "tmpfs"}}},
		{name: "none", in: "", want: nil},
		{name: "no separator", in: "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 ext3 /dev/root rw\n", err: "line 1"},
		{name: "no colon in the device", in: "36 35 98 / / rw - ext3 /dev/root rw\n", err: "line 1"},
		{name: "device out of range", in: "36 35 99999999999:0 / / rw - ext3 /dev/root rw\n", err: "line 1"},
		{name: "cut off", in: "1 2 0:3 / / rw - ext4 a rw\n36 35 98:0 / / rw - ext3\n", err: "line 2"},
	})
}

func TestParseOSRelease(t *testing.T) {
	parse := func(in string) (map[string]string, error) { return ParseOSRelease([]byte(in)) }
	runCases(t, parse, []parserCase[map[string]string]{
		{name: "quotes", in: "# comment\n\nNAME=\"Debian GNU/Linux\"\nID=debian\nVARIANT='it''s'\n BUILD_ID = x \n",
			want: map[string]string{"NAME": "Debian GNU/Linux", "ID": "debian", "VARIANT": "its", "BUILD_ID": "x"}},
		{name: "escapes", in: `A="a \"b\" \$c \\ \d"` + "\n" + `B=a\ b` + "\n" + `C='a\b'`,
			want: map[string]string{"A": `a "b" $c \ \d`, "B": "a b", "C": `a\b`}},
		{name: "bare words and comments", in: "A=two words\nB=b # why\nC=c#c\nD=\nE=\"x\" # y\n",
			want: map[string]string{"A": "two words", "B": "b", "C": "c#c", "D": "", "E": "x"}},
		{name: "the last one counts", in: "A=1\nA=2\n", want: map[string]string{"A": "2"}},
		{name: "empty", in: "", want: map[string]string{}},
		{name: "no assignment", in: "A=1\nhello\n", err: "line 2"},
		{name: "name", in: "1A=1\n", err: "NAME=value"},
		{name: "open quote", in: "A=\"x\n", err: "closing quote"},
	})
}

func TestParseUdev(t *testing.T) {
	got := ParseUdev([]byte("S:disk/by-id/x\nE:ID_MODEL=ACME=1\nE:EMPTY=\r\nE:no value\nG:systemd\nE:LAST=1"))
	want := map[string]string{"ID_MODEL": "ACME=1", "EMPTY": "", "LAST": "1"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestParseInt(t *testing.T) {
	for _, c := range []struct {
		in   string
		want int64
		ok   bool
	}{
		{"1\n", 1, true}, {" -1\n", -1, true}, {"0x1003\n", 0x1003, true}, {"+7", 7, true}, {"0", 0, true},
		{"9223372036854775807", 1<<63 - 1, true}, {"-9223372036854775808", -1 << 63, true}, {"0xFFFF", 0xffff, true},
		{"9223372036854775808", 0, false}, {"-9223372036854775809", 0, false}, {"", 0, false}, {"x", 0, false},
		{"0x", 0, false}, {"0x10000000000000000", 0, false}, {"1 2", 0, false}, {"--1", 0, false}, {"0xg", 0, false},
	} {
		if got, ok := ParseInt([]byte(c.in)); got != c.want || ok != c.ok {
			t.Errorf("ParseInt(%q) = %d, %v, want %d, %v", c.in, got, ok, c.want, c.ok)
		}
	}
}

func TestFormatErrorsAreShort(t *testing.T) {
	_, err := ParseMeminfo([]byte(strings.Repeat("x", 1<<20)), nil)
	if err == nil || len(err.Error()) > 200 {
		t.Errorf("got an error of %d bytes, want at most 200", len(err.Error()))
	}
}

func TestHotParsersDoNotAllocate(t *testing.T) {
	var (
		stat  Stat
		mem   []MemField
		vm    []VMField
		disks []Disk
		devs  []Interface
	)
	inputs := map[string]func([]byte){
		"proc/stat":        func(b []byte) { _ = ParseStat(b, &stat) },
		"proc/loadavg":     func(b []byte) { _, _ = ParseLoadavg(b) },
		"proc/meminfo":     func(b []byte) { mem, _ = ParseMeminfo(b, mem[:0]) },
		"proc/vmstat":      func(b []byte) { vm, _ = ParseVmstat(b, vm[:0]) },
		"proc/diskstats":   func(b []byte) { disks, _ = ParseDiskstats(b, disks[:0]) },
		"proc/net/dev":     func(b []byte) { devs, _ = ParseNetDev(b, devs[:0]) },
		"proc/pressure/io": func(b []byte) { _, _ = ParsePressure(b) },
	}
	for name, parse := range inputs {
		content := recorded(t, name)
		parse(content)
		if n := testing.AllocsPerRun(100, func() { parse(content) }); n != 0 {
			t.Errorf("%s: %v allocations a run, want 0", name, n)
		}
	}
}
