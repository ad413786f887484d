package logging

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/cloudless-fleet/cloudless/pkg/daemon/logkey"
)

// inNamespace is set for the copy of the test program that runs with mounts of
// its own, where a journal can be made up at the well-known path.
const inNamespace = "LOGGING_TEST_NAMESPACE"

// TestAutoFormatFindsTheJournal starts a process as systemd would, standard
// error connected to a journal, and reads the datagrams that the journal gets.
func TestAutoFormatFindsTheJournal(t *testing.T) {
	if os.Getenv(inNamespace) != "" {
		logToFakeJournal(t)
		return
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root for mounts of its own")
	}
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	var stat unix.Stat_t
	if err := unix.Fstat(int(write.Fd()), &stat); err != nil {
		t.Fatal(err)
	}
	child := exec.Command(os.Args[0], "-test.run=^TestAutoFormatFindsTheJournal$", "-test.count=1")
	child.Env = append(os.Environ(), inNamespace+"=1", fmt.Sprintf("JOURNAL_STREAM=%d:%d", stat.Dev, stat.Ino))
	child.Stderr = write
	child.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	var out bytes.Buffer
	child.Stdout = &out
	err = child.Start()
	write.Close()
	if err != nil {
		t.Skipf("cannot have mounts of its own: %v", err)
	}
	if err := child.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	if strings.Contains(out.String(), "SKIP") {
		t.Skip(out.String())
	}
}

func logToFakeJournal(t *testing.T) {
	for _, mount := range []func() error{
		func() error { return unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "") },
		func() error { return unix.Mount("tmpfs", "/run", "tmpfs", 0, "") },
	} {
		if err := mount(); err != nil {
			t.Skipf("cannot mount: %v", err)
		}
	}
	const socket = "/run/systemd/journal/socket"
	if err := os.MkdirAll(filepath.Dir(socket), 0o700); err != nil {
		t.Fatal(err)
	}
	fake, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer fake.Close()

	var stderr bytes.Buffer
	root, err := New(DefaultConfig(), Options{Name: "workerd", Stderr: &stderr, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	root.Debug("below the level")
	root.With(logkey.Component, "spool").Error("disk full", "path", "/a\nb")
	got := receive(t, fake)
	want := map[string]string{
		"MESSAGE": `spool: disk full path="/a\nb"`, "PRIORITY": "3", "SYSLOG_IDENTIFIER": "workerd", "COMPONENT": "spool", "PATH": "/a\nb",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the journal got (-want +got):\n%s", diff)
	}

	changed := DefaultConfig()
	changed.Level = LevelDebug
	root.Apply(changed)
	root.Debug("now at the level")
	if got := receive(t, fake); got["MESSAGE"] != "now at the level" || got["PRIORITY"] != "7" {
		t.Errorf("the journal got %v, want the debug record", got)
	}

	fake.Close()
	root.Warn("nobody listens")
	if got := lines(&stderr); len(got) != 1 || got[0] != "WARN  nobody listens" {
		t.Errorf("standard error got %q, want what the journal could not take", got)
	}
}

// receive reads one datagram of the journal's native protocol.
func receive(t *testing.T, from *net.UnixConn) map[string]string {
	t.Helper()
	if err := from.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	buffer := make([]byte, 64<<10)
	n, err := from.Read(buffer)
	if err != nil {
		t.Fatal(err)
	}
	fields := map[string]string{}
	for rest := buffer[:n]; len(rest) > 0; {
		line, after, _ := bytes.Cut(rest, []byte("\n"))
		name, value, simple := bytes.Cut(line, []byte("="))
		if !simple { // name, newline, 8 bytes of length, value, newline
			size := int(after[0]) | int(after[1])<<8
			value, after = after[8:8+size], after[8+size+1:]
		}
		fields[string(name)] = string(value)
		rest = after
	}
	return fields
}

func TestFormatsWithoutAJournal(t *testing.T) {
	t.Setenv("JOURNAL_STREAM", "")
	for format, want := range map[Format]string{FormatAuto: " INFO  hello n=1\n", FormatText: " INFO  hello n=1\n",
		FormatJSON: `,"level":"INFO","msg":"hello","n":1}` + "\n"} {
		var stderr bytes.Buffer
		c := DefaultConfig()
		c.Format = format
		root, err := New(c, Options{Name: "x", Stderr: &stderr, Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		root.Debug("not this")
		root.Info("hello", "n", 1)
		root.Close()
		if got := stderr.String(); !strings.HasSuffix(got, want) || strings.Count(got, "\n") != 1 {
			t.Errorf("%v: got %q, want one line ending in %q", format, got, want)
		}
	}
	if _, err := New(Config{Format: 99}, Options{}); err == nil {
		t.Error("a logger of an unknown format was made")
	}
}
