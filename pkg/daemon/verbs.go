package daemon

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/cloudless-fleet/cloudless/pkg/daemon/config"
)

// verbs lists every command of the program in the order of the help.
func (c *command[C]) verbs() []Verb[C] {
	builtin := []Verb[C]{
		{Name: "run", Summary: "run in the foreground until SIGTERM or SIGINT"},
		{Name: "check-config", Summary: "say whether the configuration is good, and what is wrong with it", Run: c.checkConfig},
		{Name: "print-config", Summary: "print the configuration in effect as TOML, without secrets", Run: c.printConfig},
		{Name: "install", Summary: "install as a systemd service, enabled at boot; --config is kept", Run: c.install},
		{Name: "uninstall", Summary: "stop and remove the service; files and state stay", Run: c.uninstall},
		{Name: "start", Summary: "start the service", Run: c.start},
		{Name: "stop", Summary: "stop the service", Run: c.stop},
		{Name: "restart", Summary: "restart the service", Run: c.restart},
		{Name: "status", Summary: "say whether the service is active, and its main pid; exit code 3 when it is not", Run: c.status},
	}
	return slices.Concat(builtin, c.spec.Verbs, []Verb[C]{
		{Name: "version", Summary: "print version, compiler, platform and commit", Run: c.printVersion},
		{Name: "help", Summary: "print this help"},
	})
}

func (c *command[C]) find(name string) (Verb[C], bool) {
	verbs := c.verbs()
	i := slices.IndexFunc(verbs, func(v Verb[C]) bool { return v.Name == name })
	if i < 0 {
		return Verb[C]{}, false
	}
	return verbs[i], true
}

func (c *command[C]) printHelp(w io.Writer) {
	fmt.Fprintf(w, "%s: %s\n\nUsage: %s [flags] verb [flags]\n\nVerbs:\n", c.spec.DisplayName, c.spec.Summary, c.spec.Name)
	columns := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	for _, v := range c.verbs() {
		fmt.Fprintf(columns, "  %s\t%s\n", strings.TrimSpace(v.Name+" "+v.Args), v.Summary)
	}
	columns.Flush()
	fmt.Fprintf(w, "\nFlags:\n")
	fmt.Fprintf(columns, "  --config PATH\tmain configuration file; default %s, which need not exist;\n", c.defaultPath())
	fmt.Fprintf(columns, "\tPATH without its extension + .d/*.toml add to it\n")
	fmt.Fprintf(columns, "  --log-level LEVEL\tdebug, info, warn or error, over the configuration\n")
	fmt.Fprintf(columns, "  --log-format FORMAT\tauto, text, json or journal, over the configuration\n")
	columns.Flush()
	fmt.Fprintf(w, "\nEnvironment:\n  %sSECTION_KEY overrides the key of that section.\n", c.envPrefix())
	fmt.Fprintf(w, "\nWithout a verb, %s runs when a service manager starts it.\n", c.spec.Name)
	fmt.Fprintf(w, "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not active (status), 78 wrong configuration.\n")
}

func (c *command[C]) checkConfig(context.Context, Call[C]) error {
	_, origin, err := c.load()
	if err != nil {
		return err
	}
	fmt.Fprintf(c.stdout, "configuration is good (%s)\n", filesOf(origin))
	return nil
}

func (c *command[C]) printConfig(context.Context, Call[C]) error {
	cfg, origin, err := c.load()
	if err != nil {
		return err
	}
	fmt.Fprintf(c.stdout, "# %s: configuration in effect (%s)\n", c.spec.Name, filesOf(origin))
	return config.Print(c.stdout, cfg)
}

func filesOf(origin *config.Origin) string {
	sources := slices.Clone(origin.Files)
	if origin.Missing != "" {
		sources = slices.Insert(sources, 0, "defaults; "+origin.Missing+" does not exist")
	}
	return strings.Join(sources, ", ")
}

func (c *command[C]) printVersion(context.Context, Call[C]) error {
	_, err := fmt.Fprintf(c.stdout, "%s %s\n", c.spec.Name, BuildOf())
	return err
}
