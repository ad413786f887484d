package daemon

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/coreos/go-systemd/v22/journal"

	"github.com/cloudless-fleet/cloudless/pkg/daemon/config"
	"github.com/cloudless-fleet/cloudless/pkg/daemon/logging"
)

// Main does what the command line asks for and returns the exit code.
func Main[C config.Validator](spec Spec[C]) int {
	c := newCommand(spec, systemHost(), os.Environ(), os.Stdout, os.Stderr)
	return c.main(context.Background(), os.Args[1:])
}

// command is one invocation of the program.
type command[C config.Validator] struct {
	spec    Spec[C]
	host    host
	environ []string
	stdout  io.Writer
	stderr  io.Writer

	verb       string
	args       []string // behind the verb
	help       bool
	configPath string // of --config, "" when not given
	logLevel   logging.Level
	logFormat  logging.Format
	given      map[string]bool // flags on the command line
}

func newCommand[C config.Validator](spec Spec[C], host host, environ []string, stdout, stderr io.Writer) *command[C] {
	return &command[C]{spec: spec, host: host, environ: environ, stdout: stdout, stderr: stderr, given: map[string]bool{}}
}

func (c *command[C]) main(ctx context.Context, args []string) int {
	if err := c.parse(args); err != nil {
		return c.fail(err)
	}
	if c.verb == "" && !c.help && c.host.startedByManager {
		c.verb = "run"
	}
	if c.verb == "" || c.verb == "help" || c.help {
		out, code := c.stdout, ExitOK
		if c.verb == "" && !c.help {
			out, code = c.stderr, ExitUsage
		}
		c.printHelp(out)
		return code
	}
	verb, known := c.find(c.verb)
	switch {
	case !known:
		return c.fail(&UsageError{fmt.Sprintf("unknown verb %.16q", c.verb)})
	case verb.Args == "" && len(c.args) > 0:
		return c.fail(&UsageError{fmt.Sprintf("%s takes no argument, got %q", c.verb, c.args[0])})
	case c.verb == "run":
		return c.run(ctx)
	}
	return c.fail(verb.Run(ctx, c.call()))
}

// parse reads flags before and behind the verb.
func (c *command[C]) parse(args []string) error {
	flags := flag.NewFlagSet(c.spec.Name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&c.configPath, "config", "", "")
	flags.TextVar(&c.logLevel, "log-level", logging.LevelInfo, "")
	flags.TextVar(&c.logFormat, "log-format", logging.FormatAuto, "")
	err := flags.Parse(args)
	if err == nil && flags.NArg() > 0 {
		c.verb = flags.Arg(0)
		if verb, known := c.find(c.verb); known && verb.Flags != nil {
			verb.Flags(flags)
		}
		err = flags.Parse(flags.Args()[1:])
		for err == nil && flags.NArg() > 0 { // flags may stand behind arguments, too
			c.args = append(c.args, flags.Arg(0))
			err = flags.Parse(flags.Args()[1:])
		}
	}
	flags.Visit(func(f *flag.Flag) { c.given[f.Name] = true })
	switch {
	case errors.Is(err, flag.ErrHelp):
		c.help = true
		return nil
	case err != nil:
		return &UsageError{err.Error()}
	case c.given["config"] && c.configPath == "":
		return &UsageError{"--config needs the path of a file"}
	}
	return nil
}

// defaultPath is the main configuration file when --config names none.
func (c *command[C]) defaultPath() string {
	return cmp.Or(c.spec.ConfigPath, "/etc/cloudless/"+c.spec.Name+".toml")
}

// envPrefix begins the names of the variables that are settings.
func (c *command[C]) envPrefix() string {
	return "CLOUDLESS_" + strings.ToUpper(strings.ReplaceAll(c.spec.Name, "-", "_")) + "_"
}

// load makes up the configuration. Drop-ins stand beside the main file:
// workerd.d/*.toml for workerd.toml.
func (c *command[C]) load() (C, *config.Origin, error) {
	path := cmp.Or(c.configPath, c.defaultPath())
	return config.Load(c.spec.Default(), config.Source{
		Path:      path,
		Required:  c.configPath != "",
		DropInDir: strings.TrimSuffix(path, filepath.Ext(path)) + ".d",
		Environ:   c.environ,
		EnvPrefix: c.envPrefix(),
	})
}

// logConfig lets the flags override the section [log].
func (c *command[C]) logConfig(cfg C) LogConfig {
	log := c.spec.LogConfig(cfg)
	if c.given["log-level"] {
		log.Level = c.logLevel
	}
	if c.given["log-format"] {
		log.Format = c.logFormat
	}
	return log
}

func (c *command[C]) call() Call[C] {
	return Call[C]{Args: c.args, Stdout: c.stdout, Stderr: c.stderr, Load: func() (C, error) {
		cfg, _, err := c.load()
		return cfg, err
	}}
}

// fail prints err and turns it into an exit code; nil is success.
func (c *command[C]) fail(err error) int {
	if err == nil {
		return ExitOK
	}
	if errors.Is(err, errNotActive) {
		return ExitNotActive // said on standard output
	}
	prefix := c.spec.Name + ": "
	if toJournal, _ := journal.StderrIsJournalStream(); toJournal {
		prefix = "<3>" + prefix // sd-daemon(3): an error
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		fmt.Fprintln(c.stderr, prefix+line)
	}
	if _, ok := errors.AsType[*config.Error](err); ok {
		return ExitConfigError
	}
	if _, ok := errors.AsType[*UsageError](err); ok {
		fmt.Fprintf(c.stderr, "Try '%s help'.\n", c.spec.Name)
		return ExitUsage
	}
	return ExitFailed
}
