package daemon

import (
	"context"
	"flag"
	"io"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/daemon/config"
	"github.com/cloudless-fleet/cloudless/pkg/daemon/logging"
)

// LogConfig is the section [log] of every daemon's configuration.
type LogConfig = logging.Config

// DefaultLogConfig returns its defaults.
func DefaultLogConfig() LogConfig { return logging.DefaultConfig() }

// DefaultStopTimeout is how long an orderly end may take.
const DefaultStopTimeout = 20 * time.Second

// Spec describes a daemon with configuration type C.
type Spec[C config.Validator] struct {
	// Name of the program, its configuration file and its service: "workerd".
	Name string
	// DisplayName is the name for people: "Cloudless worker".
	DisplayName string
	// Summary says in a line what the daemon does.
	Summary string
	// Default returns the configuration before any file is read.
	Default func() C
	// LogConfig returns the section [log] of a configuration.
	LogConfig func(C) LogConfig
	// Run does the daemon's work until ctx ends: see the package comment.
	Run func(ctx context.Context, cfg C, p *Process[C]) error
	// Verbs are commands besides those that every daemon has.
	Verbs []Verb[C]
	// Status, when not nil, adds to what the verb status prints: what the daemon
	// keeps on disk of itself. It says whether the daemon runs, which counts on
	// hosts without systemd only; elsewhere systemd knows.
	Status func(ctx context.Context, call Call[C]) (running bool, err error)
	// Unit is what is particular about the service.
	Unit Unit
	// StopTimeout bounds the orderly end; 0 means DefaultStopTimeout.
	StopTimeout time.Duration
	// ConfigPath is the main configuration file when --config does not name
	// one; "" means /etc/cloudless/<name>.toml.
	ConfigPath string
}

// Verb is a command of the program.
type Verb[C config.Validator] struct {
	Name string
	// Args shows in the help what follows the verb: "WORKER".
	Args    string
	Summary string
	// Flags, when not nil, declares flags of the verb's own.
	Flags func(*flag.FlagSet)
	// Run does it. A *config.Error exits with 78, an *UsageError with 2, any
	// other error with 1; all are printed.
	Run func(ctx context.Context, call Call[C]) error
}

// Call is one use of a Verb.
type Call[C config.Validator] struct {
	Args   []string
	Load   func() (C, error) // reads the configuration as run would
	Stdout io.Writer
	Stderr io.Writer
}

// UsageError says that the command line makes no sense.
type UsageError struct{ Message string }

func (e *UsageError) Error() string { return e.Message }
