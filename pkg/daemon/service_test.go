package daemon

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/kardianos/service"
)

// fakeService notes what it is asked to do.
type fakeService struct {
	service.Service
	config *service.Config
	calls  []string
	status service.Status
	err    error // of Status
	fail   string
}

func (f *fakeService) do(what string) error {
	f.calls = append(f.calls, what)
	if what == f.fail {
		return errors.New("exit status 1")
	}
	return nil
}

func (f *fakeService) Install() error                  { return f.do("install") }
func (f *fakeService) Uninstall() error                { return f.do("uninstall") }
func (f *fakeService) Start() error                    { return f.do("start") }
func (f *fakeService) Stop() error                     { return f.do("stop") }
func (f *fakeService) Restart() error                  { return f.do("restart") }
func (f *fakeService) Status() (service.Status, error) { return f.status, f.err }

func TestServiceVerbs(t *testing.T) {
	unitPath := "etc/systemd/system/sampled.service"
	procs := "sys/fs/cgroup/system.slice/sampled.service/cgroup.procs"
	for _, test := range []struct {
		name   string
		args   []string
		change func(*host, *fakeService)
		files  map[string]string // below the root
		code   int
		stdout string
		stderr string // R stands for the root
		calls  []string
	}{
		{name: "install", args: []string{"install"}, calls: []string{"install"},
			stdout: "sampled.service is installed and starts at boot; start it now with 'sampled start'\n"},
		{name: "no systemd", args: []string{"install"}, change: func(h *host, _ *fakeService) { h.systemd = false }, code: ExitFailed,
			stderr: "sampled: install: this host is not run by systemd (there is no /run/systemd/system); use 'sampled run'\n"},
		{name: "no systemd for status", args: []string{"status"}, change: func(h *host, _ *fakeService) { h.systemd = false }, code: ExitFailed,
			stderr: "sampled: status: this host is not run by systemd (there is no /run/systemd/system); use 'sampled run'\n"},
		{name: "not root", args: []string{"install"}, change: func(h *host, _ *fakeService) { h.uid = 1000 }, code: ExitFailed,
			stderr: "sampled: install: needs root; run 'sudo sampled install'\n"},
		{name: "installed by hand", args: []string{"install"}, files: map[string]string{unitPath: ""}, code: ExitFailed,
			stderr: "sampled: install: R/etc/systemd/system/sampled.service exists already; use 'systemctl enable --now sampled', or uninstall it first\n"},
		{name: "installed by a package", args: []string{"install"}, files: map[string]string{"usr/lib/systemd/system/sampled.service": ""}, code: ExitFailed,
			stderr: "sampled: install: R/usr/lib/systemd/system/sampled.service exists already; use 'systemctl enable --now sampled', or uninstall it first\n"},
		{name: "no user", args: []string{"install"}, change: func(h *host, _ *fakeService) { h.userExists = func(string) bool { return false } }, code: ExitFailed,
			stderr: "sampled: install: the service runs as user cloudless, which does not exist; create it with 'useradd --system --user-group " +
				"--no-create-home --home-dir /var/lib/cloudless --shell /usr/sbin/nologin cloudless'\n"},
		{name: "bad configuration", args: []string{"install", "--config", "/nowhere.toml"}, code: ExitConfigError,
			stderr: "sampled: /nowhere.toml: cannot read: no such file or directory; check --config\n"},
		{name: "install fails", args: []string{"install"}, change: func(_ *host, f *fakeService) { f.fail = "install" }, code: ExitFailed,
			stderr: "sampled: install: exit status 1\n", calls: []string{"install"}},
		{name: "a program in a home", args: []string{"install"}, change: func(h *host, _ *fakeService) {
			h.executable = func() (string, error) { return "/root/bin/sampled", nil }
		}, code: ExitFailed, stderr: "sampled: install: the service cannot run /root/bin/sampled, which it may not see; " +
			"copy the program to /usr/local/bin and install it from there\n"},
		{name: "no path of the program", args: []string{"start"}, change: func(h *host, _ *fakeService) {
			h.executable = func() (string, error) { return "", errors.New("deleted") }
		}, code: ExitFailed, stderr: "sampled: start: find the path of this program: deleted\n"},

		{name: "uninstall", args: []string{"uninstall"}, files: map[string]string{unitPath: ""}, calls: []string{"uninstall"},
			stdout: "sampled.service is removed; configuration and state are kept\n"},
		{name: "uninstall a running one", args: []string{"uninstall"}, files: map[string]string{unitPath: ""},
			change: func(_ *host, f *fakeService) { f.status = service.StatusRunning }, calls: []string{"stop", "uninstall"},
			stdout: "sampled.service is removed; configuration and state are kept\n"},
		{name: "uninstall that of a package", args: []string{"uninstall"}, code: ExitFailed,
			stderr: "sampled: uninstall: R/etc/systemd/system/sampled.service does not exist; a service from a package is removed with the package\n"},

		{name: "start", args: []string{"start"}, calls: []string{"start"}},
		{name: "stop", args: []string{"stop"}, calls: []string{"stop"}},
		{name: "restart", args: []string{"restart"}, calls: []string{"restart"}},
		{name: "start fails", args: []string{"start"}, change: func(_ *host, f *fakeService) { f.fail = "start" }, code: ExitFailed,
			stderr: "sampled: start: systemd refused (exit status 1); see 'journalctl -u sampled'\n", calls: []string{"start"}},
		{name: "stop without root", args: []string{"stop"}, change: func(h *host, _ *fakeService) { h.uid = 1 }, code: ExitFailed,
			stderr: "sampled: stop: needs root; run 'sudo sampled stop'\n"},

		{name: "active", args: []string{"status"}, change: func(h *host, f *fakeService) { h.uid, f.status = 1000, service.StatusRunning },
			files: map[string]string{procs: "4711\n4712\n"}, stdout: "sampled: active, main pid 4711\n"},
		{name: "active, no control group", args: []string{"status"}, change: func(_ *host, f *fakeService) { f.status = service.StatusRunning },
			stdout: "sampled: active\n"},
		{name: "active on an older host", args: []string{"status"}, change: func(_ *host, f *fakeService) { f.status = service.StatusRunning },
			files: map[string]string{"sys/fs/cgroup/systemd/system.slice/sampled.service/cgroup.procs": "12\n"}, stdout: "sampled: active, main pid 12\n"},
		{name: "reloading", args: []string{"status"}, change: func(_ *host, f *fakeService) { f.err = service.ErrNotInstalled },
			files: map[string]string{procs: "4711\n"}, stdout: "sampled: active, changing its state, main pid 4711\n"},
		{name: "inactive", args: []string{"status"}, change: func(_ *host, f *fakeService) { f.status = service.StatusStopped },
			code: ExitNotActive, stdout: "sampled: inactive\n"},
		{name: "failed", args: []string{"status"}, change: func(_ *host, f *fakeService) { f.err = errors.New("service in failed state") },
			code: ExitNotActive, stdout: "sampled: service in failed state\n"},
		{name: "not installed", args: []string{"status"}, change: func(_ *host, f *fakeService) { f.err = service.ErrNotInstalled },
			code: ExitNotActive, stdout: "sampled: the service is not installed\n"},
	} {
		root := t.TempDir()
		for name, content := range test.files {
			writeFile(t, filepath.Join(root, name), content)
		}
		fake := &fakeService{}
		h := host{root: root, systemd: true, executable: func() (string, error) { return "/usr/bin/sampled", nil },
			userExists: func(string) bool { return true },
			service: func(c *service.Config) (service.Service, error) {
				fake.config = c
				return fake, nil
			}}
		if test.change != nil {
			test.change(&h, fake)
		}
		spec := sampleSpec(t)
		spec.Unit.User = "cloudless"
		code, stdout, stderr := invoke(spec, h, nil, test.args...)
		stderr = strings.ReplaceAll(stderr, root, "R")
		if code != test.code || stdout != test.stdout || stderr != test.stderr || !slices.Equal(fake.calls, test.calls) {
			t.Errorf("%s: exit code %d, calls %q, printed %q and %q;\nwant %d, %q, %q, %q", test.name,
				code, fake.calls, stdout, stderr, test.code, test.calls, test.stdout, test.stderr)
		}
	}
}

var update = flag.Bool("update", false, "write the golden files anew")

func TestUnitText(t *testing.T) {
	agent := Spec[sampleConfig]{Name: "workerd", DisplayName: "Cloudless worker", Summary: "measures this host",
		Unit: Unit{User: "cloudless-worker", ReadsHost: true, Capabilities: []string{"CAP_DAC_READ_SEARCH"}, Watchdog: -1}}
	server := Spec[sampleConfig]{Name: "collectord", DisplayName: "Cloudless collector", Summary: "stores what workers measure",
		Unit: Unit{User: "cloudless", After: []string{"coordinatord.service"}, OpenFiles: 65536}}
	root := Spec[sampleConfig]{Name: "rootd", DisplayName: "Cloudless root", Summary: "runs as root"}
	for golden, text := range map[string]string{
		"testdata/agent.service":  agent.UnitText("/usr/bin/workerd", "/etc/cloudless/workerd.toml"),
		"testdata/server.service": server.UnitText("/usr/bin/collectord", ""),
		"testdata/root.service":   root.UnitText("/opt/my tools/100%/rootd", "/etc/$x\".toml"),
	} {
		if *update {
			if err := os.WriteFile(golden, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), text); diff != "" {
			t.Errorf("%s (-want +got):\n%s", golden, diff)
		}
	}
}

// TestAnAgentSeesTheHost: options that would falsify what the agent measures.
func TestAnAgentSeesTheHost(t *testing.T) {
	text := Spec[sampleConfig]{Name: "workerd", Unit: Unit{User: "w", ReadsHost: true}}.UnitText("/usr/bin/workerd", "")
	for line := range strings.Lines(text) {
		for _, option := range []string{"Protect", "Private", "ProcSubset", "InaccessiblePaths", "TemporaryFileSystem", "ReadOnlyPaths", "network-online"} {
			if strings.HasPrefix(line, option) || strings.HasPrefix(line, "After") && strings.Contains(line, option) {
				t.Errorf("the agent's unit has %s", line)
			}
		}
	}
}

// TestTheLibraryTakesOurUnit goes through kardianos/service as far as it goes
// without a systemd.
func TestTheLibraryTakesOurUnit(t *testing.T) {
	c := newCommand(sampleSpec(t), systemHost(), nil, os.Stdout, os.Stderr)
	c.host.systemd, c.host.uid, c.configPath = true, 0, "relative.toml"
	managed, err := c.manage("install", true)
	if err != nil {
		t.Fatal(err)
	}
	if managed.String() != "Cloudless sample" {
		t.Errorf("the service is called %q, want its display name", managed.String())
	}
	if strings.Contains(sampleSpec(t).UnitText("/a", "/b"), "{{") {
		t.Error("the unit holds what the library takes for a template")
	}
}
