package daemon

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// childMode is set for the copy of the test program that is a daemon. Its
// value says how it behaves.
const childMode = "DAEMON_TEST_CHILD"

func TestMain(m *testing.M) {
	if mode := os.Getenv(childMode); mode != "" {
		os.Exit(Main(childSpec(mode)))
	}
	os.Exit(m.Run())
}

func childSpec(mode string) Spec[sampleConfig] {
	return Spec[sampleConfig]{
		Name:        "sampled",
		Default:     func() sampleConfig { return sampleConfig{Log: DefaultLogConfig()} },
		LogConfig:   func(c sampleConfig) LogConfig { return c.Log },
		StopTimeout: map[string]time.Duration{"overrun": 200 * time.Millisecond}[mode], // else the default
		Run: func(ctx context.Context, cfg sampleConfig, p *Process[sampleConfig]) error {
			for _, name := range []string{"lock", "store"} {
				p.Teardown.AddClose(name, func() error {
					p.Log.Info("closed " + name)
					return nil
				})
			}
			p.Go("api", untilTold)
			p.OnReload(Reloader[sampleConfig]{Name: "count", Keys: []string{"count"},
				Prepare: func(_ context.Context, next sampleConfig) (func(), error) {
					return func() { p.Log.Info("count applied", "count", next.Count) }, nil
				}})
			switch mode {
			case "slow start":
				p.Log.Info("waiting")
				if _, err := os.Stdin.Read(make([]byte, 1)); err != nil {
					return err
				}
			case "part fails":
				p.Go("rules", func(context.Context) error { return errors.New("out of rules") })
			case "hang", "overrun":
				p.Teardown.AddClose("stuck", func() error {
					p.Log.Info("sticking")
					select {}
				})
			case "deaf":
				p.Ready()
				select {}
			}
			p.Log.Debug("debugging")
			p.Ready()
			return p.Wait(ctx)
		},
	}
}

// child is a running daemon.
type child struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	log    *bufio.Scanner
	notify func() string // the next notification
}

// startChild starts a daemon with a notification socket.
func startChild(t *testing.T, mode, config string, environ []string, flags ...string) *child {
	t.Helper()
	socket, notify := listenNotify(t)
	cmd := exec.Command(os.Args[0], append([]string{"run", "--config", config, "--log-format=text"}, flags...)...)
	cmd.Env = append(append(os.Environ(), childMode+"="+mode, "NOTIFY_SOCKET="+socket), environ...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // when the test failed half way
		_ = cmd.Wait()
	})
	return &child{t: t, cmd: cmd, stdin: stdin, log: bufio.NewScanner(stderr), notify: notify}
}

func (c *child) signal(s syscall.Signal) {
	c.t.Helper()
	if err := c.cmd.Process.Signal(s); err != nil {
		c.t.Fatal(err)
	}
}

// expectLog reads the log until a line holds text.
func (c *child) expectLog(text string) {
	c.t.Helper()
	var seen []string
	for c.log.Scan() {
		if strings.Contains(c.log.Text(), text) {
			return
		}
		seen = append(seen, c.log.Text())
	}
	c.t.Fatalf("the log ended without %q:\n%s", text, strings.Join(seen, "\n"))
}

func (c *child) expectNotify(prefixes ...string) {
	c.t.Helper()
	for _, want := range prefixes {
		if got := c.notify(); !strings.HasPrefix(got, want) {
			c.t.Fatalf("got notification %q, want %q", got, want)
		}
	}
}

// expectExit reads the rest of the log and the exit code.
func (c *child) expectExit(code int) {
	c.t.Helper()
	var rest []string
	for c.log.Scan() {
		rest = append(rest, c.log.Text())
	}
	err := c.cmd.Wait()
	if got := c.cmd.ProcessState.ExitCode(); got != code {
		c.t.Errorf("exit code %d (%v), want %d; the rest of the log:\n%s", got, err, code, strings.Join(rest, "\n"))
	}
}

func TestSIGTERMStopsInOrder(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		c := startChild(t, "plain", configFile(t, ""), nil)
		c.expectNotify("READY=1")
		c.signal(signal)
		c.expectNotify("STOPPING=1")
		for _, text := range []string{"told to stop signal=" + signal.String(), "stopping", "closed store", "closed lock", "stopped"} {
			c.expectLog(text)
		}
		c.expectExit(ExitOK)
	}
}

func TestSIGHUPBeforeREADYWaitsForIt(t *testing.T) {
	path := configFile(t, "count = 1\n")
	c := startChild(t, "slow start", path, nil)
	c.expectLog("waiting")
	c.signal(syscall.SIGHUP)
	writeFile(t, path, "count = 2\n")
	if _, err := c.stdin.Write([]byte{'\n'}); err != nil {
		t.Fatal(err)
	}
	c.expectNotify("READY=1", "RELOADING=1\nMONOTONIC_USEC=", "STATUS=configuration reloaded", "READY=1")
	c.expectLog("count applied count=2")
	c.signal(syscall.SIGTERM)
	c.expectExit(ExitOK)
}

func TestSIGHUPReloads(t *testing.T) {
	path := configFile(t, "count = 1\n")
	c := startChild(t, "plain", path, nil)
	c.expectNotify("READY=1")

	writeFile(t, path, "count = 2\n\ncuont = 3\nname = 4\n")
	c.signal(syscall.SIGHUP)
	c.expectNotify("RELOADING=1", "STATUS=reload failed: "+path+":3: cuont: unknown key, did you mean count?", "READY=1")
	c.expectLog("ERROR configuration not reloaded, the old one stays")
	c.expectLog(fmt.Sprintf(`ERROR configuration problem err="%s:3: cuont: unknown key, did you mean count?"`, path))
	c.expectLog(fmt.Sprintf(`ERROR configuration problem err="%s:4: name: want a string, got the number 4"`, path))

	writeFile(t, path, "count = 5\nname = \"new\"\n[log]\nlevel = \"warn\"\n")
	c.signal(syscall.SIGHUP)
	c.expectNotify("RELOADING=1", "STATUS=configuration reloaded", "READY=1")
	c.expectLog("WARN  settings wait for a restart keys=[name]") // and nothing at level info before

	writeFile(t, path, "count = 6\n")
	c.signal(syscall.SIGHUP)
	c.expectLog("count applied count=6")
	c.signal(syscall.SIGTERM)
	c.expectExit(ExitOK)
}

func TestTheSecondSignalEndsAtOnce(t *testing.T) {
	c := startChild(t, "hang", configFile(t, ""), nil)
	c.expectNotify("READY=1")
	c.signal(syscall.SIGTERM)
	c.expectLog("sticking")
	c.signal(syscall.SIGINT)
	c.expectLog("sampled: second signal (interrupt): exiting at once, without an orderly stop")
	c.expectExit(ExitFailed)
}

func TestTheStopHasADeadline(t *testing.T) {
	c := startChild(t, "overrun", configFile(t, ""), nil)
	c.expectNotify("READY=1")
	c.signal(syscall.SIGTERM)
	c.expectLog("ERROR teardown step hangs, left behind step=stuck")
	c.expectLog("closed lock")
	c.expectLog("ERROR not everything stopped in order")
	c.expectExit(ExitFailed)
}

func TestTheFirstSignalIsHeardByADeafRun(t *testing.T) {
	c := startChild(t, "deaf", configFile(t, ""), nil)
	c.expectNotify("READY=1")
	c.signal(syscall.SIGTERM)
	c.expectNotify("STOPPING=1")
	c.signal(syscall.SIGTERM)
	c.expectLog("second signal (terminated)")
	c.expectExit(ExitFailed)
}

func TestAPartThatFailsEndsTheProcess(t *testing.T) {
	c := startChild(t, "part fails", configFile(t, ""), nil)
	c.expectLog(`ERROR daemon failed err="rules: out of rules"`)
	c.expectLog("closed lock")
	c.expectExit(ExitFailed)
}

func TestTheWatchdogOfTheServiceManagerIsFed(t *testing.T) {
	c := startChild(t, "plain", configFile(t, ""), []string{"WATCHDOG_USEC=20000"})
	for fed := 0; fed < 3; {
		if c.notify() == "WATCHDOG=1" {
			fed++
		}
	}
	c.signal(syscall.SIGTERM)
	c.expectExit(ExitOK)
}

func TestLogFlagsOverrideTheConfiguration(t *testing.T) {
	c := startChild(t, "plain", configFile(t, "[log]\nlevel = \"error\"\n"), nil, "--log-level=debug")
	c.expectLog("DEBUG debugging")
	c.signal(syscall.SIGTERM)
	c.expectExit(ExitOK)
}

func TestAWrongConfigurationInTheJournalIsAnError(t *testing.T) {
	cmd := exec.Command(os.Args[0], "run", "--config", configFile(t, "count = \"a\""))
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	var stat syscall.Stat_t
	if err := syscall.Fstat(int(write.Fd()), &stat); err != nil {
		t.Fatal(err)
	}
	cmd.Env = append(os.Environ(), childMode+"=plain", fmt.Sprintf("JOURNAL_STREAM=%d:%d", stat.Dev, stat.Ino))
	cmd.Stderr = write
	_ = cmd.Run()
	write.Close()
	text, err := io.ReadAll(read)
	if err != nil {
		t.Fatal(err)
	}
	if cmd.ProcessState.ExitCode() != ExitConfigError || !strings.HasPrefix(string(text), "<3>sampled: ") || !strings.Contains(string(text), ":1: count: ") {
		t.Errorf("exit code %d, printed %q; want 78 and an error of priority 3", cmd.ProcessState.ExitCode(), text)
	}
}
