package ctl

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// Exit codes of cloudlessctl.
const (
	ExitOK     = 0
	ExitFailed = 1 // the work could not be done
	ExitUsage  = 2 // the command line was not understood
)

// Streams are where a command reads and writes.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// command carries what every verb needs.
type command struct {
	Streams
	version string
}

// verb is one row of the table: what it is called, what it takes, what it does.
type verb struct {
	name    string // words separated by a space: "ca issue"
	args    string // what must follow, besides the options that may
	summary string
	run     func(c *command, ctx context.Context, args []string) error
}

// verbs is the table of all verbs in the order of the help.
func verbs() []verb {
	return []verb{
		{"workers", "", "list the workers: state, lease, last frame, addresses", (*command).workers},
		{"query", "[--] EXPR", "evaluate a PromQL expression now, or at a given time", (*command).query},
		{"ca init", "--fleet NAME", "make the fleet's certificate authority", (*command).caInit},
		{"ca issue", "ROLE", "issue a certificate to a worker, a server or an operator", (*command).caIssue},
		{"demo", "", "run a whole fleet on this machine with throw-away state", (*command).demo},
		{"version", "", "print the version", (*command).printVersion},
	}
}

func (v verb) usage() string {
	return "usage: " + strings.TrimSpace(fmt.Sprintf("cloudlessctl %s [OPTIONS] %s", v.name, v.args))
}

// usageError is a command line that was not understood.
type usageError struct{ text string }

func (e usageError) Error() string { return e.text }

func usagef(format string, args ...any) error { return usageError{fmt.Sprintf(format, args...)} }

// Main runs the verb that args name and returns the exit code.
func Main(ctx context.Context, version string, args []string, streams Streams) int {
	c := &command{Streams: streams, version: version}
	if len(args) == 0 {
		c.help(c.Err, verbs())
		return ExitUsage
	}
	if asksHelp(args[0]) {
		args = append(args[1:], "--help") // help VERB is VERB --help
	}
	chosen, rest, found := find(verbs(), args)
	if !found {
		return c.noVerb(args)
	}
	err := chosen.run(c, ctx, rest)
	var usage usageError
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return ExitOK
	case errors.As(err, &usage):
		fmt.Fprintf(c.Err, "cloudlessctl %s: %v\n%s\n", chosen.name, err, chosen.usage())
		return ExitUsage
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		err = errors.New("interrupted")
	}
	fmt.Fprintf(c.Err, "cloudlessctl %s: %v\n", chosen.name, err)
	return ExitFailed
}

func asksHelp(arg string) bool {
	return arg == "help" || arg == "-h" || arg == "-help" || arg == "--help"
}

// find returns the verb whose words args begin with, and the other arguments.
func find(table []verb, args []string) (chosen verb, rest []string, found bool) {
	for _, v := range table {
		words := strings.Fields(v.name)
		if len(args) >= len(words) && strings.Join(args[:len(words)], " ") == v.name {
			return v, args[len(words):], true
		}
	}
	return verb{}, nil, false
}

// noVerb answers args that name no verb: they ask for help, name a group of
// verbs, or are wrong.
func (c *command) noVerb(args []string) int {
	var group []verb
	for _, v := range verbs() {
		if strings.HasPrefix(v.name, args[0]+" ") {
			group = append(group, v)
		}
	}
	switch {
	case asksHelp(args[0]):
		c.help(c.Out, verbs())
		return ExitOK
	case len(group) > 0 && len(args) > 1 && asksHelp(args[1]):
		c.help(c.Out, group)
		return ExitOK
	case len(group) > 0 && len(args) == 1:
		c.help(c.Err, group)
		return ExitUsage
	}
	unknown := args[0]
	if len(group) > 0 {
		unknown += " " + args[1]
	}
	fmt.Fprintf(c.Err, "cloudlessctl: unknown command %q; `cloudlessctl help` lists them\n", unknown)
	return ExitUsage
}

func (c *command) help(out io.Writer, listed []verb) {
	fmt.Fprint(out, "cloudlessctl works with a Cloudless fleet from the command line.\n\nusage: cloudlessctl COMMAND [OPTIONS]\n\n")
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	for _, v := range listed {
		fmt.Fprintf(w, "  %s\t%s\n", v.name, v.summary)
	}
	w.Flush()
	fmt.Fprint(out, "\n`cloudlessctl help COMMAND` explains a command and its options.\n"+
		"Exit codes: 0 done, 1 failed, 2 wrong usage.\n")
}

func (c *command) printVersion(_ context.Context, args []string) error {
	if err := c.parseAll(c.flags("version"), args); err != nil {
		return err
	}
	_, err := fmt.Fprintf(c.Out, "cloudlessctl %s\n", c.version)
	return err
}
