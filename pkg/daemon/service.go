package daemon

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	sdutil "github.com/coreos/go-systemd/v22/util"
	"github.com/kardianos/service"
)

// errNotActive is how status says that the service does not run.
var errNotActive = errors.New("not active")

// host is what the service verbs need of the machine.
type host struct {
	root             string // "/", or a folder in tests
	startedByManager bool
	systemd          bool // is the service manager
	uid              int
	executable       func() (string, error)
	userExists       func(name string) bool
	service          func(*service.Config) (service.Service, error)
}

func systemHost() host {
	return host{
		root: "/",
		// systemd sets INVOCATION_ID for the processes of units; their children
		// inherit it, but only the unit's own process is a child of systemd.
		startedByManager: os.Getenv("INVOCATION_ID") != "" && os.Getppid() == 1 || os.Getenv("NOTIFY_SOCKET") != "",
		systemd:          sdutil.IsRunningSystemd(),
		uid:              os.Geteuid(),
		executable:       os.Executable,
		userExists: func(name string) bool {
			_, err := user.Lookup(name)
			return err == nil
		},
		service: func(c *service.Config) (service.Service, error) { return service.New(nil, c) },
	}
}

// manage opens the service for a verb that needs systemd, and root too when
// change is true.
func (c *command[C]) manage(verb string, change bool) (service.Service, error) {
	if !c.host.systemd {
		return nil, fmt.Errorf("%s: this host is not run by systemd (there is no /run/systemd/system); use '%s run'", verb, c.spec.Name)
	}
	if change && c.host.uid != 0 {
		return nil, fmt.Errorf("%s: needs root; run 'sudo %s %s'", verb, c.spec.Name, verb)
	}
	executable, err := c.host.executable()
	if err != nil {
		return nil, fmt.Errorf("%s: find the path of this program: %w", verb, err)
	}
	path := c.configPath
	if path != "" {
		if path, err = filepath.Abs(path); err != nil {
			return nil, fmt.Errorf("%s: %w", verb, err)
		}
	}
	managed, err := c.host.service(&service.Config{
		Name:        c.spec.Name,
		DisplayName: c.spec.DisplayName,
		Description: c.spec.Summary,
		Executable:  executable,
		Option:      service.KeyValue{"SystemdScript": c.spec.UnitText(executable, path)},
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", verb, err)
	}
	return managed, nil
}

func (c *command[C]) unitFile() string { return c.spec.Name + ".service" }

// install refuses what could not work later, with the way out.
func (c *command[C]) install(context.Context, Call[C]) error {
	managed, err := c.manage("install", true)
	if err != nil {
		return err
	}
	for _, dir := range []string{"etc/systemd/system", "usr/lib/systemd/system", "lib/systemd/system"} {
		path := filepath.Join(c.host.root, dir, c.unitFile())
		if _, err := os.Lstat(path); err == nil {
			return fmt.Errorf("install: %s exists already; use 'systemctl enable --now %s', or uninstall it first", path, c.spec.Name)
		}
	}
	if executable, _ := c.host.executable(); isPrivate(executable) {
		return fmt.Errorf("install: the service cannot run %s, which it may not see; copy the program to /usr/local/bin and install it from there", executable)
	}
	if name := c.spec.Unit.User; name != "" && !c.host.userExists(name) {
		return fmt.Errorf("install: the service runs as user %s, which does not exist; create it with "+
			"'useradd --system --user-group --no-create-home --home-dir /var/lib/cloudless --shell /usr/sbin/nologin %s'", name, name)
	}
	if _, _, err := c.load(); err != nil {
		return err
	}
	if err := managed.Install(); err != nil {
		return fmt.Errorf("install: %w", err)
	}
	fmt.Fprintf(c.stdout, "%s is installed and starts at boot; start it now with '%s start'\n", c.unitFile(), c.spec.Name)
	return nil
}

// isPrivate reports whether path lies where a hardened service has no access
// or where it may vanish.
func isPrivate(path string) bool {
	return slices.ContainsFunc([]string{"/home/", "/root/", "/run/user/", "/tmp/", "/var/tmp/"},
		func(dir string) bool { return strings.HasPrefix(path, dir) })
}

func (c *command[C]) uninstall(context.Context, Call[C]) error {
	managed, err := c.manage("uninstall", true)
	if err != nil {
		return err
	}
	path := filepath.Join(c.host.root, "etc/systemd/system", c.unitFile())
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("uninstall: %s does not exist; a service from a package is removed with the package", path)
	}
	if status, err := managed.Status(); err == nil && status == service.StatusRunning {
		if err := managed.Stop(); err != nil {
			return fmt.Errorf("uninstall: stop: %w", err)
		}
	}
	if err := managed.Uninstall(); err != nil {
		return fmt.Errorf("uninstall: %w", err)
	}
	fmt.Fprintf(c.stdout, "%s is removed; configuration and state are kept\n", c.unitFile())
	return nil
}

func (c *command[C]) start(context.Context, Call[C]) error {
	return c.control("start", service.Service.Start)
}

func (c *command[C]) stop(context.Context, Call[C]) error {
	return c.control("stop", service.Service.Stop)
}

func (c *command[C]) restart(context.Context, Call[C]) error {
	return c.control("restart", service.Service.Restart)
}

func (c *command[C]) control(verb string, act func(service.Service) error) error {
	managed, err := c.manage(verb, true)
	if err != nil {
		return err
	}
	if err := act(managed); err != nil {
		return fmt.Errorf("%s: systemd refused (%w); see 'journalctl -u %s'", verb, err, c.spec.Name)
	}
	return nil
}

// status prints what systemd knows, and then what the daemon itself tells.
func (c *command[C]) status(ctx context.Context, call Call[C]) error {
	if c.spec.Status == nil {
		return c.serviceStatus()
	}
	if c.host.systemd {
		service := c.serviceStatus()
		_, own := c.spec.Status(ctx, call)
		return cmp.Or(own, service)
	}
	running, err := c.spec.Status(ctx, call)
	if err == nil && !running {
		err = errNotActive
	}
	return err
}

func (c *command[C]) serviceStatus() error {
	managed, err := c.manage("status", false)
	if err != nil {
		return err
	}
	status, err := managed.Status()
	pid := mainPID(c.host.root, c.unitFile())
	state, active := "inactive", false
	switch {
	case err == nil && status == service.StatusRunning:
		state, active = "active", true
	case errors.Is(err, service.ErrNotInstalled) && pid > 0:
		// The library takes a state that it does not know, like reloading or
		// deactivating, for this error.
		state, active = "active, changing its state", true
	case err != nil:
		state = err.Error()
	}
	if pid > 0 {
		state += fmt.Sprintf(", main pid %d", pid)
	}
	fmt.Fprintf(c.stdout, "%s: %s\n", c.spec.Name, state)
	if !active {
		return errNotActive
	}
	return nil
}

// mainPID finds the oldest process in the unit's control group: our daemons
// have only one. 0 means that there is none to be found.
func mainPID(root, unit string) int {
	for _, hierarchy := range []string{"", "unified", "systemd"} { // v2, hybrid, v1
		path := filepath.Join(root, "sys/fs/cgroup", hierarchy, "system.slice", unit, "cgroup.procs")
		content, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		first, _, _ := bytes.Cut(content, []byte("\n"))
		if pid, err := strconv.Atoi(string(first)); err == nil {
			return pid
		}
	}
	return 0
}
