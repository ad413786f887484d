package daemon

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// sampleConfig is the configuration of the daemon of these tests.
type sampleConfig struct {
	Name  string      `toml:"name"`
	Count int         `toml:"count"`
	Token string      `toml:"token" secret:"true"`
	Cache cacheConfig `toml:"cache"`
	Log   LogConfig   `toml:"log"`
}

type cacheConfig struct {
	Size model.Bytes `toml:"size"`
}

func (c sampleConfig) Validate() error {
	if c.Count < 0 {
		return model.Fieldf("count", "is %d; want 0 or more", c.Count)
	}
	return model.InSection("log", c.Log.Validate())
}

// sampleSpec is a daemon that serves until it is told to stop.
func sampleSpec(t testing.TB) Spec[sampleConfig] {
	return Spec[sampleConfig]{
		Name:        "sampled",
		DisplayName: "Cloudless sample",
		Summary:     "serves as the example of a daemon",
		ConfigPath:  filepath.Join(t.TempDir(), "sampled.toml"),
		Default: func() sampleConfig {
			return sampleConfig{Name: "default", Cache: cacheConfig{64 * model.MiB}, Log: DefaultLogConfig()}
		},
		LogConfig: func(c sampleConfig) LogConfig { return c.Log },
		Run: func(ctx context.Context, _ sampleConfig, p *Process[sampleConfig]) error {
			p.Ready()
			return p.Wait(ctx)
		},
	}
}

// invoke runs the program with a command line.
func invoke(spec Spec[sampleConfig], host host, environ []string, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = newCommand(spec, host, environ, &out, &errs).main(context.Background(), args)
	return code, out.String(), errs.String()
}

func writeFile(t testing.TB, path, content string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// configFile writes a main configuration file.
func configFile(t testing.TB, format string, args ...any) string {
	t.Helper()
	return writeFile(t, filepath.Join(t.TempDir(), "sampled.toml"), fmt.Sprintf(format, args...))
}
