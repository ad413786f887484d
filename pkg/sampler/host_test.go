package sampler

import (
	"bytes"
	"flag"
	iofs "io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cloudless-fleet/cloudless/pkg/kernel"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

var update = flag.Bool("update", false, "write the golden files anew")

// hostSmall is the recorded host of package kernel.
const hostSmall = "../kernel/testdata/host-small"

// testHost is a host in a folder, to be changed by a test.
type testHost struct {
	t      testing.TB
	fs     kernel.FS
	cfg    Config
	deps   Deps
	uname  kernel.Uname
	clock  time.Time // of the next round; it stands still within one
	logged bytes.Buffer
}

// newTestHost copies the recorded host.
func newTestHost(t testing.TB) *testHost {
	root := t.TempDir()
	err := filepath.WalkDir(hostSmall, func(path string, entry iofs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative := replaceEquals(strings.TrimPrefix(path, hostSmall))
		target := filepath.Join(root, relative)
		if entry.IsDir() {
			return os.MkdirAll(target, 0o755)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(target, content, 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
	h := &testHost{
		t:     t,
		fs:    kernel.FS{Proc: root + "/proc", Sys: root + "/sys", Root: root + "/root"},
		cfg:   DefaultConfig(),
		uname: kernel.UnameOf("Linux", "host-small", "6.18.44", "#1 SMP", "x86_64", "(none)"),
		clock: time.Date(2026, 11, 22, 4, 0, 0, 123e6, time.UTC),
	}
	h.deps = Deps{
		Log:    slog.New(slog.NewTextHandler(&h.logged, nil)),
		Now:    func() time.Time { return h.clock },
		Uname:  func() (kernel.Uname, error) { return h.uname, nil },
		Statfs: h.statfs,
	}
	return h
}

// replaceEquals undoes what keeps colons out of the names of recorded files.
func replaceEquals(path string) string { return strings.ReplaceAll(path, "=", ":") }

// statfs invents sizes from the path; one mount refuses to answer.
func (h *testHost) statfs(path string) (kernel.Statfs, error) {
	point := strings.TrimPrefix(path, h.fs.Root)
	if point == "/mnt/nfs" {
		return kernel.Statfs{}, unix.EACCES
	}
	n := uint64(len(point)+1) * 1000
	return kernel.Statfs{BlockSize: 4096, Blocks: 3 * n, Free: 2 * n, Available: n, Files: 500, FilesFree: 499}, nil
}

// only switches all collectors off but the named ones.
func (h *testHost) only(names ...string) *testHost {
	c := &h.cfg.Collectors
	for name, enabled := range map[string]*bool{
		"cpu": &c.CPU.Enabled, "loadavg": &c.Loadavg.Enabled, "meminfo": &c.Meminfo.Enabled, "vmstat": &c.Vmstat.Enabled,
		"stat": &c.Stat.Enabled, "pressure": &c.Pressure.Enabled, "diskstats": &c.Diskstats.Enabled, "filesystem": &c.Filesystem.Enabled,
		"netdev": &c.Netdev.Enabled, "netclass": &c.Netclass.Enabled, "time": &c.Time.Enabled, "uname": &c.Uname.Enabled, "os": &c.OS.Enabled,
	} {
		*enabled = false
		for _, wanted := range names {
			*enabled = *enabled || name == wanted
		}
	}
	return h
}

func (h *testHost) sampler() *Sampler {
	h.t.Helper()
	s, err := New(h.cfg, h.fs, h.deps)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { s.Close() })
	return s
}

// write replaces the content of a file of the host, as the kernel does: the
// file stays the same.
func (h *testHost) write(path, content string) {
	h.t.Helper()
	full := h.path(path)
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(full, []byte(content), 0o644); err != nil {
		h.t.Fatal(err)
	}
}

// replace changes a text within a file.
func (h *testHost) replace(path, from, to string) {
	h.t.Helper()
	before := h.read(path)
	if !strings.Contains(before, from) {
		h.t.Fatalf("%s does not contain %q", path, from)
	}
	h.write(path, strings.ReplaceAll(before, from, to))
}

func (h *testHost) read(path string) string {
	h.t.Helper()
	content, err := os.ReadFile(h.path(path))
	if err != nil {
		h.t.Fatal(err)
	}
	return string(content)
}

func (h *testHost) remove(path string) {
	h.t.Helper()
	if err := os.RemoveAll(h.path(path)); err != nil {
		h.t.Fatal(err)
	}
}

func (h *testHost) path(path string) string { return filepath.Join(filepath.Dir(h.fs.Proc), path) }

// round samples and returns the values by name and labels, as the Prometheus
// text format writes them; absent ones are not among them.
func (h *testHost) round(s *Sampler) values {
	h.t.Helper()
	h.clock = h.clock.Add(time.Second)
	snapshot, err := s.SampleOnce()
	if err != nil {
		h.t.Fatal(err)
	}
	return valuesOf(snapshot)
}

type values map[string]float64

func valuesOf(s Snapshot) values {
	all := values{}
	column := 0
	for _, part := range s.Parts {
		for _, family := range part.Families {
			for _, labels := range family.Series {
				if v := s.Row[column]; !model.IsAbsent(v) {
					all[family.Name+labelText(labels)] = v
				}
				column++
			}
		}
	}
	return all
}

// want checks values by their series.
func (v values) want(t testing.TB, want values) {
	t.Helper()
	for series, value := range want {
		if got, ok := v[series]; !ok || got != value {
			t.Errorf("%s: got %v (there: %v), want %v", series, got, ok, value)
		}
	}
}

// without checks that no series contains any of the texts.
func (v values) without(t testing.TB, texts ...string) {
	t.Helper()
	for series := range v {
		for _, text := range texts {
			if strings.Contains(series, text) {
				t.Errorf("%s: is there, want none with %q", series, text)
			}
		}
	}
}

// golden compares with a file, or writes it.
func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		gotLines, wantLines := strings.Split(string(got), "\n"), strings.Split(string(want), "\n")
		for i := range max(len(gotLines), len(wantLines)) {
			g, w := lineAt(gotLines, i), lineAt(wantLines, i)
			if g != w {
				t.Fatalf("%s: line %d:\n got %s\nwant %s\n(go test -update writes it anew)", path, i+1, g, w)
			}
		}
	}
}

func lineAt(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return "(end of file)"
}
