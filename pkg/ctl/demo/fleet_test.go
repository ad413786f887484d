package demo

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestSettings(t *testing.T) {
	f := &fleet{Dir: "/demo", Sockets: "/demo/run", Interval: 1500 * time.Millisecond, Collector: 9090, Coordinator: 10100, Worker: 10300}
	settings := f.settings()
	var text strings.Builder
	for _, name := range []string{"coordinatord", "collectord", "workerd", "cloudlessctl"} {
		text.WriteString("# " + name + ".toml\n" + settings[name] + "\n")
	}
	text.WriteString("# curl.conf\n" + f.curlSettings("TOKEN") + "\n")
	text.WriteString("# hints\n" + strings.Join(f.hints("/usr/bin"), "\n") + "\n")
	golden(t, "settings.golden", text.String())
	if len(settings) != 4 {
		t.Errorf("got settings of %d programs, want 4", len(settings))
	}
}

func TestPrepare(t *testing.T) {
	dir := t.TempDir()
	f, err := prepare(dir, dir, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
		if info, err := entry.Info(); err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: mode %v, %v; want it closed to others", entry.Name(), info.Mode(), err)
		}
	}
	if diff := cmp.Diff([]string{"cloudlessctl.toml", "collectord.toml", "coordinatord.toml", "workerd.toml"}, names); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	ports := []int{f.Collector, f.Coordinator, f.Worker}
	if slices.Contains(ports, 0) || slices.Max(ports) > 65535 {
		t.Errorf("ports are %v", ports)
	}
}

// The path of a unix socket is short, however long that of the demo's folder is.
func TestSocketFolder(t *testing.T) {
	short, err := os.MkdirTemp("/tmp", "d-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(short)
	long := filepath.Join(short, strings.Repeat("x", maxSocketFolder))
	if err := os.Mkdir(long, 0o700); err != nil {
		t.Fatal(err)
	}
	for dir, inside := range map[string]bool{short: true, long: false} {
		folder, err := socketFolder(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(folder)
		info, err := os.Stat(folder)
		if err != nil || info.Mode().Perm() != 0o700 || strings.HasPrefix(folder, dir+"/") != inside || len(folder) > maxSocketFolder {
			t.Errorf("%s: got folder %s, %v, %v", dir, folder, info, err)
		}
	}
}

// A port that is taken for one network is not free for both.
func TestFreePort(t *testing.T) {
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	taken := udp.LocalAddr().(*net.UDPAddr).Port
	for _, networks := range [][]string{{"udp"}, {"udp", "tcp"}, {"tcp", "udp"}} {
		got, err := freePort(taken, networks...)
		if err != nil || got == taken || got == 0 {
			t.Errorf("%v: got port %d, %v; want a free one, not %d", networks, got, err, taken)
		}
	}
	udp.Close()
	if got, err := freePort(taken, "udp"); err != nil || got != taken {
		t.Errorf("got port %d, %v; want %d, which is free", got, err, taken)
	}
}
