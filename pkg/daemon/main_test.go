package daemon

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

func TestCommandLine(t *testing.T) {
	spec := sampleSpec(t)
	good := configFile(t, "count = 7\ntoken = \"s3cret\"\n")
	writeFile(t, filepath.Join(filepath.Dir(good), "sampled.d/a.toml"), "name = \"dropped in\"\n")
	bad := configFile(t, "count = -1\n")
	worse := configFile(t, "cuont = 1\n[cache]\nsize = 5\n")
	json := false
	spec.Verbs = []Verb[sampleConfig]{{Name: "greet", Args: "WHOM", Summary: "greet somebody",
		Flags: func(f *flag.FlagSet) { f.BoolVar(&json, "json", false, "") },
		Run: func(_ context.Context, call Call[sampleConfig]) error {
			cfg, err := call.Load()
			if err != nil {
				return err
			}
			switch {
			case len(call.Args) == 0:
				return &UsageError{"greet whom?"}
			case call.Args[0] == "nobody":
				return errors.New("greet nobody: there is nobody")
			}
			fmt.Fprintf(call.Stdout, "%s greets %s, json %v\n", cfg.Name, call.Args[0], json)
			return nil
		}}}
	try := "Try 'sampled help'.\n"
	for _, test := range []struct {
		args    []string
		environ []string
		code    int
		stdout  string // beginning
		stderr  string
	}{
		{args: nil, code: ExitUsage, stderr: "Cloudless sample: serves as the example of a daemon\n"},
		{args: []string{"help"}, stdout: "Cloudless sample: serves as the example of a daemon\n\nUsage: sampled [flags] verb [flags]\n"},
		{args: []string{"--help"}, stdout: "Cloudless sample: "},
		{args: []string{"run", "-h"}, stdout: "Cloudless sample: "},
		{args: []string{"rnu"}, code: ExitUsage, stderr: "sampled: unknown verb \"rnu\"\n" + try},
		{args: []string{"version", "now"}, code: ExitUsage, stderr: "sampled: version takes no argument, got \"now\"\n" + try},
		{args: []string{"run", "--fast"}, code: ExitUsage, stderr: "sampled: flag provided but not defined: -fast\n" + try},
		{args: []string{"--config=", "run"}, code: ExitUsage, stderr: "sampled: --config needs the path of a file\n" + try},
		{args: []string{"run", "--log-level", "loud"}, code: ExitUsage,
			stderr: "sampled: invalid value \"loud\" for flag -log-level: level \"loud\": want debug, info, warn or error\n" + try},
		{args: []string{"version"}, stdout: "sampled "},
		{args: []string{"check-config"}, stdout: "configuration is good (defaults; " + spec.ConfigPath + " does not exist)\n"},
		{args: []string{"check-config", "--config", good}, stdout: "configuration is good (" + good + ", " + filepath.Dir(good) + "/sampled.d/a.toml)\n"},
		{args: []string{"--config", bad, "check-config"}, code: ExitConfigError, stderr: "sampled: " + bad + ":1: count: is -1; want 0 or more\n"},
		{args: []string{"check-config", "--config", worse}, environ: []string{"CLOUDLESS_SAMPLED_X=1"}, code: ExitConfigError,
			stderr: "sampled: " + worse + ":1: cuont: unknown key, did you mean count?\n" +
				"sampled: " + worse + ":3: cache.size: want a string like \"64MiB\", got the number 5\n" +
				"sampled: environment: CLOUDLESS_SAMPLED_X: unknown variable; print-config lists all keys\n"},
		{args: []string{"run", "--config", bad}, code: ExitConfigError, stderr: "sampled: " + bad + ":1: count: is -1; want 0 or more\n"},
		{args: []string{"run", "--config", "/nowhere.toml"}, code: ExitConfigError,
			stderr: "sampled: /nowhere.toml: cannot read: no such file or directory; check --config\n"},
		{args: []string{"print-config", "--config", good}, environ: []string{"CLOUDLESS_SAMPLED_CACHE_SIZE=1MiB"},
			stdout: "# sampled: configuration in effect (" + good + ", " + filepath.Dir(good) + "/sampled.d/a.toml)\n" +
				"name = \"dropped in\"\ncount = 7\n# token is set, but secret\n\n[cache]\nsize = \"1MiB\"\n\n[log]\nlevel = \"info\"\n"},
		{args: []string{"greet", "--json", "the world"}, stdout: "default greets the world, json true\n"},
		{args: []string{"greet", "the world", "--json", "--config", good}, stdout: "dropped in greets the world, json true\n"},
		{args: []string{"greet"}, code: ExitUsage, stderr: "sampled: greet whom?\n" + try},
		{args: []string{"greet", "nobody"}, code: ExitFailed, stderr: "sampled: greet nobody: there is nobody\n"},
		{args: []string{"greet", "--config", bad}, code: ExitConfigError, stderr: "sampled: " + bad + ":1: count: is -1; want 0 or more\n"},
	} {
		json = false
		code, stdout, stderr := invoke(spec, host{}, test.environ, test.args...)
		if code != test.code {
			t.Errorf("%q: exit code %d, want %d", test.args, code, test.code)
		}
		if !strings.HasPrefix(stdout, test.stdout) || test.stdout == "" && stdout != "" {
			t.Errorf("%q: printed\n%s\nwant\n%s", test.args, stdout, test.stdout)
		}
		if !strings.HasPrefix(stderr, test.stderr) || test.stderr == "" && stderr != "" {
			t.Errorf("%q: printed to standard error\n%s\nwant\n%s", test.args, stderr, test.stderr)
		}
	}
}

func TestHelpListsEveryVerb(t *testing.T) {
	_, stdout, _ := invoke(sampleSpec(t), host{}, nil, "help")
	for _, verb := range []string{"run", "check-config", "print-config", "install", "uninstall", "start", "stop", "restart", "status", "version", "help"} {
		if !strings.Contains(stdout, "\n  "+verb+" ") {
			t.Errorf("the help does not list %s:\n%s", verb, stdout)
		}
	}
	for _, text := range []string{"--config PATH", "--log-level", "--log-format", "CLOUDLESS_SAMPLED_SECTION_KEY", "78"} {
		if !strings.Contains(stdout, text) {
			t.Errorf("the help does not tell of %s:\n%s", text, stdout)
		}
	}
}

func TestAServiceManagerNeedsNoVerb(t *testing.T) {
	spec := sampleSpec(t)
	ran := false
	spec.Run = func(_ context.Context, _ sampleConfig, p *Process[sampleConfig]) error {
		ran = true
		return nil
	}
	if code, _, stderr := invoke(spec, host{startedByManager: true}, nil); code != ExitOK || !ran {
		t.Errorf("exit code %d, ran %v, want 0, true:\n%s", code, ran, stderr)
	}
}

func TestAFailedRun(t *testing.T) {
	spec := sampleSpec(t)
	path := configFile(t, "name = \"n\"\n\n[cache]\nsize = \"1MiB\"\n")
	closed := false
	spec.Run = func(_ context.Context, cfg sampleConfig, p *Process[sampleConfig]) error {
		p.Teardown.AddClose("file", func() error {
			closed = true
			return errors.New("disk full")
		})
		return model.Fieldf("cache.size", "cannot allocate %v", cfg.Cache.Size)
	}
	code, _, stderr := invoke(spec, host{}, nil, "run", "--config", path)
	if code != ExitFailed || !closed {
		t.Errorf("exit code %d, file closed %v; want 1, true", code, closed)
	}
	for _, want := range []string{`ERROR daemon failed err="cache.size: cannot allocate 1MiB" path=` + path + ":4\n", "INFO  stopping\n",
		`ERROR not everything stopped in order err="stop file: disk full"` + "\n"} {
		if !strings.Contains(stderr, want) {
			t.Errorf("the log does not say %s:\n%s", want, stderr)
		}
	}
}

func TestBuild(t *testing.T) {
	vcs := []debug.BuildSetting{{Key: "vcs.revision", Value: "abc"}, {Key: "vcs.modified", Value: "true"}, {Key: "vcs.time", Value: "2026-01-01T00:00:00Z"}}
	platform := runtime.Version() + ", " + runtime.GOOS + "/" + runtime.GOARCH
	for _, test := range []struct {
		linked string
		info   *debug.BuildInfo
		want   string
	}{
		{"", nil, "devel (" + platform + ")"},
		{"", &debug.BuildInfo{Main: debug.Module{Version: "(devel)"}}, "devel (" + platform + ")"},
		{"", &debug.BuildInfo{Main: debug.Module{Version: "v1.2.3"}}, "v1.2.3 (" + platform + ")"},
		{"1.3.0", &debug.BuildInfo{Main: debug.Module{Version: "v1.2.3"}, Settings: vcs}, "1.3.0 (" + platform + ", commit abc with changes, 2026-01-01T00:00:00Z)"},
	} {
		if got := buildFrom(test.linked, test.info).String(); got != test.want {
			t.Errorf("got %s, want %s", got, test.want)
		}
	}
}
