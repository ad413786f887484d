package kernel

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func write(t testing.TB, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func mustRead(t testing.TB, f *File, want string) {
	t.Helper()
	got, err := f.Read(nil)
	if err != nil || string(got) != want {
		t.Errorf("read %s: got %.40q, %v, want %.40q", f.Path(), got, err, want)
	}
}

func TestFileIsReadFromTheStartEachTime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	for _, oneRead := range []bool{false, true} {
		write(t, path, "first")
		f := NewFile(path)
		f.OneRead = oneRead
		mustRead(t, f, "first")
		write(t, path, "2")
		mustRead(t, f, "2")
		if err := errors.Join(f.Close(), f.Close()); err != nil {
			t.Error(err)
		}
		mustRead(t, f, "2")
		f.Close()
	}
}

func TestFileGrowsTheBufferAndUsesItAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	for _, oneRead := range []bool{false, true} {
		content := strings.Repeat("0123456789", 5000)
		write(t, path, content)
		f := NewFile(path)
		f.OneRead = oneRead
		defer f.Close()
		buf, err := f.Read(nil)
		if err != nil || string(buf) != content {
			t.Fatalf("got %d bytes, %v", len(buf), err)
		}
		if n := testing.AllocsPerRun(10, func() { buf, _ = f.Read(buf) }); n != 0 {
			t.Errorf("OneRead %v: %v allocations a read, want 0", oneRead, n)
		}
	}
}

func TestFileRefusesWhatIsTooLarge(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	write(t, path, "")
	if err := os.Truncate(path, MaxFile+1); err != nil {
		t.Fatal(err)
	}
	f := NewFile(path)
	defer f.Close()
	if _, err := f.Read(nil); !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %v, want ErrTooLarge", err)
	}
}

func TestFileThatComesAndGoes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	f := NewFile(path)
	defer f.Close()
	_, err := f.Read(nil)
	if !NotThere(err) {
		t.Errorf("got %v, want an error that says it is not there", err)
	}
	if _, again := f.Read(nil); again != err {
		t.Errorf("got another error %v for the same failure", again)
	}
	if n := testing.AllocsPerRun(10, func() { _, _ = f.Read(nil) }); n != 0 {
		t.Errorf("%v allocations for a file that is not there, want 0", n)
	}
	write(t, path, "here")
	mustRead(t, f, "here")
}

func TestFileOpensAgainWhenReadingFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	write(t, path, "here")
	f := NewFile(path)
	defer f.Close()
	mustRead(t, f, "here")
	// What an unplugged device does to a descriptor, as far as a test can: a
	// descriptor that cannot be read.
	folder, err := unix.Open(t.TempDir(), unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Dup3(folder, f.fd, unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	unix.Close(folder)
	mustRead(t, f, "here")
}

func TestFileDoesNotWaitForAPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	f := NewFile(path)
	defer f.Close()
	if _, err := f.Read(nil); err == nil {
		t.Error("a pipe was read")
	}
}

func TestTransientFileKeepsNoDescriptor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	write(t, path, "here")
	f := NewFile(path)
	f.Transient = true
	mustRead(t, f, "here")
	if f.fd != -1 {
		t.Error("the descriptor is still open")
	}
}

func TestNotThere(t *testing.T) {
	for _, c := range []struct {
		err  error
		want bool
	}{
		{os.ErrNotExist, true}, {unix.ENOENT, true}, {unix.ENODEV, true}, {unix.EOPNOTSUPP, true}, {unix.ENOTDIR, true},
		{&os.PathError{Op: "open", Err: unix.ENXIO}, true},
		{unix.EIO, false}, {unix.EACCES, false}, {errors.New("x"), false}, {nil, false}, {&FormatError{}, false},
	} {
		if got := NotThere(c.err); got != c.want {
			t.Errorf("NotThere(%v) = %v, want %v", c.err, got, c.want)
		}
	}
}

func TestDirTellsWhatChanged(t *testing.T) {
	root := filepath.Join(t.TempDir(), "net")
	dir := NewDir(root)
	defer dir.Close()
	if _, _, err := dir.List(); !NotThere(err) {
		t.Errorf("got %v, want an error that says it is not there", err)
	}
	write(t, filepath.Join(root, "bonding_masters"), "")
	write(t, filepath.Join(root, "eth0", "mtu"), "1500")
	list := func(wantChanged bool, want ...DirEntry) {
		t.Helper()
		got, changed, err := dir.List()
		if err != nil || changed != wantChanged || !slices.Equal(got, want) {
			t.Errorf("got %v, changed %v, %v, want %v, changed %v", got, changed, err, want, wantChanged)
		}
	}
	attribute, eth0, eth1 := DirEntry{Name: "bonding_masters", Regular: true}, DirEntry{Name: "eth0"}, DirEntry{Name: "eth1"}
	list(true, attribute, eth0)
	list(false, attribute, eth0)
	if n := testing.AllocsPerRun(10, func() { _, _, _ = dir.List() }); n != 0 {
		t.Errorf("%v allocations for an unchanged folder, want 0", n)
	}
	write(t, filepath.Join(root, "eth1", "mtu"), "1500")
	list(true, attribute, eth0, eth1)
	if err := os.RemoveAll(filepath.Join(root, "eth0")); err != nil {
		t.Fatal(err)
	}
	list(true, attribute, eth1)
}

func TestDirListsMoreThanOneBuffer(t *testing.T) {
	root := t.TempDir()
	for i := range 500 {
		write(t, filepath.Join(root, strings.Repeat("x", 100)+string(rune('a'+i%26))+strings.Repeat("y", i/26)), "")
	}
	dir := NewDir(root)
	defer dir.Close()
	entries, _, err := dir.List()
	if err != nil || len(entries) != 500 {
		t.Errorf("got %d entries, %v, want 500", len(entries), err)
	}
	if !slices.IsSortedFunc(entries, func(a, b DirEntry) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error("not sorted")
	}
}

func TestUname(t *testing.T) {
	u := UnameOf("Linux", "node", "6.1", "#1", "x86_64", "(none)")
	if u.Sysname() != "Linux" || u.Nodename() != "node" || u.Release() != "6.1" || u.Version() != "#1" || u.Machine() != "x86_64" || u.Domainname() != "(none)" {
		t.Errorf("got %v", u)
	}
	long := UnameOf("", strings.Repeat("n", 100), "", "", "", "")
	if len(long.Nodename()) != 64 {
		t.Errorf("got a node name of %d bytes, want 64", len(long.Nodename()))
	}
	live, err := ReadUname()
	if err != nil || live.Sysname() != "Linux" {
		t.Errorf("got %q, %v", live.Sysname(), err)
	}
}

func TestStatfs(t *testing.T) {
	s, err := ReadStatfs(t.TempDir())
	if err != nil || s.Blocks == 0 || s.BlockSize == 0 || s.Free > s.Blocks {
		t.Errorf("got %+v, %v", s, err)
	}
	if _, err := ReadStatfs(filepath.Join(t.TempDir(), "none")); !errors.Is(err, unix.ENOENT) {
		t.Errorf("got %v, want ENOENT", err)
	}
}

func TestPaths(t *testing.T) {
	fs := FS{Proc: "/host/proc", Sys: "/host/sys", Root: "/host"}
	for _, c := range []struct{ got, want string }{
		{fs.ProcPath("net/dev"), "/host/proc/net/dev"},
		{fs.SysFile("class/net").Path(), "/host/sys/class/net"},
		{fs.RootPath("/etc/os-release"), "/host/etc/os-release"},
		{fs.UdevFile(8, 16).Path(), "/host/run/udev/data/b8:16"},
		{Host().ProcFile("stat").Path(), "/proc/stat"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

func BenchmarkReadAndParseStat(b *testing.B) {
	f := Host().ProcFile("stat")
	f.OneRead = true
	defer f.Close()
	var buf []byte
	var stat Stat
	b.ReportAllocs()
	for b.Loop() {
		content, err := f.Read(buf)
		if err != nil {
			b.Skip(err)
		}
		buf = content
		if err := ParseStat(content, &stat); err != nil {
			b.Fatal(err)
		}
	}
}
