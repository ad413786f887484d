package demo

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

// cleaner is a process that removes the demo's folders once the demo and its
// daemons have all ended, even if the demo was killed and could not do so.
type cleaner struct {
	// alive is the writing end of a pipe that nothing is written to. The demo
	// and the daemons hold it; when the last of them is gone, the pipe ends.
	alive *os.File
	cmd   *exec.Cmd
}

// startCleaner has the folders removed after the end of whoever holds alive.
func startCleaner(folders ...string) (*cleaner, error) {
	reader, alive, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	const script = `read -r _; rm -rf -- "$@"`
	args := append([]string{"-c", script, "cloudless-demo-cleaner"}, folders...)
	c := &cleaner{alive: alive, cmd: exec.Command("/bin/sh", args...)}
	c.cmd.Stdin = reader
	// A process group of its own: Ctrl-C is not for it.
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := c.cmd.Start(); err != nil {
		alive.Close()
		return nil, fmt.Errorf("start what cleans up: %w", err)
	}
	return c, nil
}

// stop waits for the cleaner, after the daemons have ended. What it did not
// remove, the demo does.
func (c *cleaner) stop() {
	c.alive.Close()
	_ = c.cmd.Wait()
}
