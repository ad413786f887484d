package demo

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// stopGrace is how long a daemon may take to end after SIGTERM.
const stopGrace = 15 * time.Second

// process is one daemon that the demo started.
type process struct {
	name string
	log  string // path of the file that holds what it printed
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	err  error         // how it ended; read after done
}

// start runs a daemon in a process group of its own, so that Ctrl-C reaches
// only the demo, which then stops the daemons in order. Should the demo itself
// be killed, the kernel ends the daemon too. The daemon inherits alive, which
// it does not know of, so that the cleaner waits for it.
func start(name, binary, logPath string, alive *os.File, args ...string) (*process, error) {
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	defer log.Close()
	p := &process{name: name, log: logPath, cmd: exec.Command(binary, args...), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.ExtraFiles = []*os.File{alive}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	started := make(chan error)
	go func() {
		// The death signal is bound to the thread that started the process,
		// so that thread must live as long as the process does.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			p.err = p.cmd.Wait()
			close(p.done)
		}
	}()
	err = <-started
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("start %s: %w\n`make build` puts the daemons into bin/; --bin names another folder", name, err)
	case err != nil:
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return p, nil
}

// stop asks the daemon to end and waits; after stopGrace it is killed, which
// is an error.
func (p *process) stop() error {
	select {
	case <-p.done:
		return nil
	default:
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s: %w", p.name, err)
	}
	select {
	case <-p.done:
	case <-time.After(stopGrace):
		p.cmd.Process.Kill()
		<-p.done
		return fmt.Errorf("stop %s: still running after %s, killed", p.name, stopGrace)
	}
	if p.err != nil && !p.killedBy(syscall.SIGTERM) {
		return fmt.Errorf("stop %s: %w", p.name, p.err)
	}
	return nil
}

// killedBy tells whether the daemon died of a signal without handling it: of
// SIGTERM when it is stopped in its very first moments. Call it after done.
func (p *process) killedBy(s syscall.Signal) bool {
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == s
}

// lastWords gives the end of what the daemon printed.
func (p *process) lastWords() string {
	const most = 12
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-most):], "\n")
}
