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
	"github.com/cloudless-fleet/cloudless/pkg/audit"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/home"
)

// What the fleets of the tests are set to.
const (
	probeInterval = 3 * time.Second
	keepAlive     = 6 * time.Second
	// slack is what a busy machine may add to any time that a test observes.
	slack = 5 * time.Second
)

// fleet is a collector's host and worker hosts on one segment. No worker's
// settings hold any address, and no host holds a certificate before it starts.
type fleet struct {
	t       *testing.T
	dir     string // settings, tokens, state folders, logs
	run     string // unix sockets
	lan     *lan
	hq      *host
	workers []*host
	running map[string]*daemon // by host and name
}

// newFleet makes the hosts and settings, and starts nothing.
func newFleet(t *testing.T, subnet string, workers ...string) *fleet {
	t.Helper()
	f := &fleet{t: t, lan: newLAN(t, subnet), dir: t.TempDir(), run: shortDir(t), running: map[string]*daemon{}}
	f.hq = f.lan.plug("hq")
	f.serverSettings(f.hq)
	for _, name := range workers {
		f.plugWorker(name)
	}
	t.Cleanup(f.stopAll)
	return f
}

// plugWorker adds a host with settings for workerd.
func (f *fleet) plugWorker(name string) *host {
	f.t.Helper()
	h := f.lan.plug(name)
	f.workers = append(f.workers, h)
	f.workerSettings(h)
	return h
}

func (f *fleet) path(names ...string) string {
	return filepath.Join(append([]string{f.dir}, names...)...)
}

// state is the state folder of a daemon.
func (f *fleet) state(h *host, daemon string) string { return f.path("state", h.name, daemon) }

func (f *fleet) socket(h *host, daemon string) string {
	return filepath.Join(f.run, h.name+"-"+daemon+".sock")
}

// serverSettings writes the settings of both servers and of cloudlessctl for a
// host. Several hosts may have servers, of fleets that are all called "test".
func (f *fleet) serverSettings(h *host) {
	f.t.Helper()
	coordinator, collector := f.socket(h, "coordinatord"), f.socket(h, "collectord")
	f.write(settings(h, "coordinatord"), fmt.Sprintf("fleet = \"test\"\nstate_directory = %q\n[control]\nsocket = %q\n",
		f.state(h, "coordinatord"), coordinator))
	f.write(settings(h, "collectord"), fmt.Sprintf("state_directory = %q\nsocket = %q\n[coordinator]\nsocket = %q\n[store]\nmin_free = \"0B\"\n"+
		"[discovery]\ninterval = %q\ninterfaces = [\"eth0\"]\n[self]\ninterval = \"1s\"\n",
		f.state(h, "collectord"), collector, coordinator, probeInterval))
	f.write(settings(h, "cloudlessctl"), fmt.Sprintf("coordinator_socket = %q\ncollector_socket = %q\n", coordinator, collector))
}

func (f *fleet) workerSettings(h *host) {
	f.t.Helper()
	f.write(settings(h, "workerd"), fmt.Sprintf("state_directory = %q\n[enrol]\ntoken_file = %q\n[sampling]\ninterval = \"1s\"\n[registration]\nkeep_alive = %q\n",
		f.state(h, "workerd"), f.tokenFile(h), keepAlive))
}

// settings is the name of a program's settings on a host.
func settings(h *host, program string) string { return h.name + "-" + program + ".toml" }

func (f *fleet) tokenFile(h *host) string { return f.path(h.name + ".token") }

func (f *fleet) write(name, text string) {
	f.t.Helper()
	if err := os.WriteFile(f.path(name), []byte(text), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

// daemon is one of ours, running on a host.
type daemon struct {
	cmd  *exec.Cmd
	log  string
	done chan error
}

// start runs a daemon on a host with its settings.
func (f *fleet) start(h *host, name string) *daemon {
	f.t.Helper()
	return f.startWith(h, name, settings(h, name))
}

// startWith is start with the settings of another name.
func (f *fleet) startWith(h *host, name, settings string) *daemon {
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

// startServers starts both servers and lets the hosts of the workers in: each has
// a token then, and comes in by it whenever it starts.
func (f *fleet) startServers() {
	f.t.Helper()
	f.start(f.hq, "coordinatord")
	f.tokens(f.workers...)
	f.start(f.hq, "collectord")
}

// tokens gives each of the hosts a token, once coordinatord answers.
func (f *fleet) tokens(to ...*host) {
	f.t.Helper()
	var token string
	f.eventually(2*slack, "coordinatord makes a token", func() (err error) {
		token, err = f.ctl(f.hq, "token", "create", "--uses", strconv.Itoa(len(to)))
		return err
	})
	for _, h := range to {
		f.hold(h, token)
	}
}

// hold puts a token where the host's workerd looks for it.
func (f *fleet) hold(h *host, token string) {
	f.t.Helper()
	if err := os.WriteFile(f.tokenFile(h), []byte(token), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fleet) startWorkers() {
	f.t.Helper()
	for _, w := range f.workers {
		f.start(w, "workerd")
	}
}

// end sends a signal to a daemon and waits until it has ended.
func (f *fleet) end(h *host, name string, signal syscall.Signal) error {
	f.t.Helper()
	return f.endKey(h.name+"/"+name, signal)
}

func (f *fleet) endKey(key string, signal syscall.Signal) error {
	f.t.Helper()
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

// restart ends a daemon in order and starts it again.
func (f *fleet) restart(h *host, name string) {
	f.t.Helper()
	if err := f.end(h, name, syscall.SIGTERM); err != nil {
		f.t.Errorf("%s did not end well: %v", name, err)
	}
	f.start(h, name)
}

// stopAll ends what still runs, workers first. Every daemon must end well.
func (f *fleet) stopAll() {
	for _, name := range []string{"/workerd", "/collectord", "/coordinatord"} {
		for key, d := range f.running {
			if !strings.HasSuffix(key, name) {
				continue
			}
			if err := f.endKey(key, syscall.SIGTERM); err != nil {
				f.t.Errorf("%s: %v; it said:\n%s", key, err, d.words())
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

// ctl runs cloudlessctl on a host that has servers and returns what it printed.
func (f *fleet) ctl(h *host, args ...string) (string, error) {
	args = append(args, "--config", f.path(settings(h, "cloudlessctl")))
	cmd := h.command(f.t.Context(), program("cloudlessctl"), args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	text, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("cloudlessctl %s: %w: %s", args[0], err, stderr.String())
	}
	return string(text), err
}

// ask runs cloudlessctl on the collector's host and decodes its JSON.
func (f *fleet) ask(out any, args ...string) error { return f.askOn(f.hq, out, args...) }

func (f *fleet) askOn(h *host, out any, args ...string) error {
	text, err := f.ctl(h, append(args, "--output", "json")...)
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(text), out)
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
func (f *fleet) query(expr string) ([]api.Sample, error) { return f.queryOn(f.hq, expr) }

func (f *fleet) queryOn(h *host, expr string) ([]api.Sample, error) {
	var answer struct {
		Result []api.Sample `json:"result"`
	}
	err := f.askOn(h, &answer, "query", expr)
	return answer.Result, err
}

// audited reads the audit log of a server, oldest first.
func (f *fleet) audited(h *host, daemon string) []audit.Entry {
	f.t.Helper()
	return readAudit(f.t, filepath.Join(f.state(h, daemon), "audit.jsonl"))
}

// value evaluates an expression that must give one sample.
func (f *fleet) value(expr string) (float64, error) { return f.valueOn(f.hq, expr) }

func (f *fleet) valueOn(h *host, expr string) (float64, error) {
	samples, err := f.queryOn(h, expr)
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
	return eventually(f.t, within, 100*time.Millisecond, what, check)
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
			if err := isFlowing(workers[name]); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		return nil
	}
}

// identity is who the host's worker is at present.
func (f *fleet) identity(h *host) *home.Home {
	f.t.Helper()
	found, err := home.Look(f.state(h, "workerd"))
	if err != nil {
		f.t.Fatal(err)
	}
	return found
}

// credentials are what the host's worker proves itself with: whoever is root
// there has them.
func (f *fleet) credentials(h *host) *trust.Credentials {
	f.t.Helper()
	credentials, err := trust.Load(f.identity(h).Files(), time.Now)
	if err != nil {
		f.t.Fatal(err)
	}
	return credentials
}
