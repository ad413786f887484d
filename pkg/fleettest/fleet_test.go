package fleettest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// What the fleets of the tests are set to.
const (
	probeInterval = 3 * time.Second
	keepAlive     = 6 * time.Second
	// slack is what a busy machine may add to any time that a test observes.
	slack = 3 * time.Second
)

// fleet is a collector's host and worker hosts on one segment. No worker's
// settings hold any address.
type fleet struct {
	t       *testing.T
	dir     string // certificates, settings, logs
	lan     *lan
	hq      *host
	workers []*host
	running map[string]*daemon // by host and name
}

// newFleet makes the hosts, certificates and settings, and starts nothing.
func newFleet(t *testing.T, subnet string, workers ...string) *fleet {
	t.Helper()
	f := &fleet{t: t, lan: newLAN(t, subnet), dir: t.TempDir(), running: map[string]*daemon{}}
	f.hq = f.lan.plug("hq")
	f.ctl("ca", "init", "--fleet", "test", "--dir", f.path("ca"))
	for _, role := range []string{"collectord", "coordinatord", "operator"} {
		f.issue(role, f.hq.name)
	}
	for _, name := range workers {
		f.workers = append(f.workers, f.lan.plug(name))
		f.issue("worker", name)
	}
	f.settings()
	t.Cleanup(f.stopAll)
	return f
}

func (f *fleet) path(names ...string) string {
	return filepath.Join(append([]string{f.dir}, names...)...)
}

// issue makes the certificate of a role for one host.
func (f *fleet) issue(role, host string) {
	f.ctl("ca", "issue", role, "--dir", f.path("ca"), "--out", f.path("tls", host))
}

func (f *fleet) settings() {
	tls := func(host, role string) string {
		return fmt.Sprintf("[tls]\nca = %q\ncert = %q\nkey = %q\n",
			f.path("tls", host, "ca.crt"), f.path("tls", host, role+".crt"), f.path("tls", host, role+".key"))
	}
	f.write("collectord.toml", fmt.Sprintf("[store]\ndir = %q\nmin_free = \"0B\"\n[discovery]\ninterval = %q\ninterfaces = [\"eth0\"]\n[self]\ninterval = \"1s\"\n",
		f.path("state", "collectord"), probeInterval)+tls("hq", "collectord"))
	f.write("coordinatord.toml", fmt.Sprintf("state_directory = %q\n", f.path("state", "coordinatord"))+tls("hq", "coordinatord"))
	f.write("cloudlessctl.toml", tls("hq", "operator"))
	for _, w := range f.workers {
		f.write(w.name+".toml", tls(w.name, "worker")+fmt.Sprintf("[sampling]\ninterval = \"1s\"\n[registration]\nkeep_alive = %q\n", keepAlive))
	}
}

func (f *fleet) write(name, text string) {
	f.t.Helper()
	if err := os.WriteFile(f.path(name), []byte(text), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

// ctl runs cloudlessctl on this machine: for what needs no fleet.
func (f *fleet) ctl(args ...string) {
	f.t.Helper()
	if out, err := exec.Command(program("cloudlessctl"), args...).CombinedOutput(); err != nil {
		f.t.Fatalf("cloudlessctl %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

// daemon is one of ours, running on a host.
type daemon struct {
	cmd  *exec.Cmd
	log  string
	done chan error
}

// start runs a daemon on a host with the settings of that name.
func (f *fleet) start(h *host, name, settings string) *daemon {
	f.t.Helper()
	d := &daemon{log: f.path(h.name + "-" + name + ".log"), done: make(chan error, 1)}
	log, err := os.OpenFile(d.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		f.t.Fatal(err)
	}
	defer log.Close()
	// The test's context ends before stopAll, which stops the daemons in order.
	d.cmd = h.command(context.WithoutCancel(f.t.Context()), program(name), "run", "--config", f.path(settings))
	d.cmd.Stdout, d.cmd.Stderr = log, log
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := d.cmd.Start(); err != nil {
		f.t.Fatal(err)
	}
	go func() { d.done <- d.cmd.Wait() }()
	f.running[h.name+"/"+name] = d
	return d
}

func (f *fleet) startServers() {
	f.start(f.hq, "coordinatord", "coordinatord.toml")
	f.start(f.hq, "collectord", "collectord.toml")
}

func (f *fleet) startWorkers() {
	for _, w := range f.workers {
		f.start(w, "workerd", w.name+".toml")
	}
}

// end sends a signal to a daemon and waits until it has ended.
func (f *fleet) end(h *host, name string, signal syscall.Signal) error {
	f.t.Helper()
	key := h.name + "/" + name
	d := f.running[key]
	delete(f.running, key)
	if err := d.cmd.Process.Signal(signal); err != nil {
		f.t.Fatalf("%s: %v; it said:\n%s", key, err, d.words())
	}
	select {
	case err := <-d.done:
		return err
	case <-time.After(30 * time.Second):
		d.cmd.Process.Kill()
		f.t.Fatalf("%s: still running 30 s after %v; it said:\n%s", key, signal, d.words())
	}
	return nil
}

// stopAll ends what still runs, workers first. Every daemon must end well.
func (f *fleet) stopAll() {
	for _, name := range []string{"workerd", "collectord", "coordinatord"} {
		for _, h := range append(f.workers, f.hq) {
			if d := f.running[h.name+"/"+name]; d != nil {
				if err := f.end(h, name, syscall.SIGTERM); err != nil {
					f.t.Errorf("%s on %s: %v; it said:\n%s", name, h.name, err, d.words())
				}
			}
		}
	}
	if f.t.Failed() {
		logs, _ := filepath.Glob(f.path("*.log"))
		for _, path := range logs {
			f.t.Logf("%s:\n%s", filepath.Base(path), (&daemon{log: path}).words())
		}
	}
}

// words is the end of what a daemon logged.
func (d *daemon) words() string {
	const most = 8 << 10
	text, _ := os.ReadFile(d.log)
	return string(text[max(0, len(text)-most):])
}

// logged is the size of a daemon's log in bytes.
func (d *daemon) logged() int64 {
	info, err := os.Stat(d.log)
	if err != nil {
		return 0
	}
	return info.Size()
}

// resident is a daemon's memory in RAM, in bytes.
func (d *daemon) resident(t *testing.T) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", d.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(text))[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

// ask runs cloudlessctl on the collector's host and decodes its JSON.
func (f *fleet) ask(out any, args ...string) error {
	args = append(args, "--output", "json", "--config", f.path("cloudlessctl.toml"))
	cmd := f.hq.command(f.t.Context(), program("cloudlessctl"), args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	text, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("%w: %s", err, stderr.String())
	}
	return json.Unmarshal(text, out)
}

// listed returns the fleet by instance name.
func (f *fleet) listed() (map[string]api.Worker, error) {
	var answer api.Fleet
	if err := f.ask(&answer, "workers"); err != nil {
		return nil, err
	}
	workers := map[string]api.Worker{}
	for _, w := range answer.Workers {
		workers[w.Instance] = w
	}
	return workers, nil
}

// query evaluates an expression and returns the samples.
func (f *fleet) query(expr string) ([]api.Sample, error) {
	var answer struct {
		Result []api.Sample `json:"result"`
	}
	err := f.ask(&answer, "query", expr)
	return answer.Result, err
}

// value evaluates an expression that must give one sample.
func (f *fleet) value(expr string) (float64, error) {
	samples, err := f.query(expr)
	if err == nil && len(samples) != 1 {
		err = fmt.Errorf("%s: %d samples, want 1", expr, len(samples))
	}
	if err != nil {
		return 0, err
	}
	return samples[0].Value.Value, nil
}

// eventually waits until check returns nil and fails with its last error
// otherwise. It returns how long it took.
func (f *fleet) eventually(within time.Duration, what string, check func() error) time.Duration {
	f.t.Helper()
	begun := time.Now()
	ticks := time.NewTicker(100 * time.Millisecond)
	defer ticks.Stop()
	for {
		err := check()
		took := time.Since(begun)
		if err == nil {
			return took
		}
		if took > within {
			f.t.Fatalf("%s: not within %s: %v", what, within, err)
		}
		<-ticks.C
	}
}

// inState is a check that all named workers are in a state.
func (f *fleet) inState(state model.WorkerState, names ...string) func() error {
	return func() error {
		workers, err := f.listed()
		if err != nil {
			return err
		}
		for _, name := range names {
			if w, known := workers[name]; !known || w.State != state {
				return fmt.Errorf("%s is %v (known: %v), want %v", name, w.State, known, state)
			}
		}
		return nil
	}
}

// flowing is a check that frames of all named workers have just arrived.
func (f *fleet) flowing(names ...string) func() error {
	return func() error {
		workers, err := f.listed()
		if err != nil {
			return err
		}
		for _, name := range names {
			w := workers[name]
			if age := time.Duration(w.LastFrameAge) * time.Millisecond; !w.Connected || w.LastFrameAge < 0 || age > slack {
				return fmt.Errorf("%s: connected %v, last frame %v ago", name, w.Connected, age)
			}
		}
		return nil
	}
}
