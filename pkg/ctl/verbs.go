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
	args    string
	summary string
	run     func(c *command, ctx context.Context, args []string) error
}

// verbs is the table of all verbs in the order of the help.
func verbs() []verb {
	return []verb{
		{"workers", "[--output table|json]", "list the workers: state, lease, last frame, addresses", (*command).workers},
		{"query", "[--time T] [--output table|json] EXPR", "evaluate a PromQL expression now, or at a given time", (*command).query},
		{"ca init", "--fleet NAME [--dir DIR]", "make the fleet's certificate authority", (*command).caInit},
		{"ca issue", "ROLE [--name NAME] [--host H,...] [--dir DIR] [--out DIR]", "issue a certificate to a daemon or an operator", (*command).caIssue},
		{"demo", "[--bin DIR] [--interval 1s]", "run a whole fleet on this machine with throw-away state", (*command).demo},
		{"version", "", "print the version", (*command).printVersion},
	}
}

// usageError is a command line that was not understood.
type usageError struct{ text string }

func (e usageError) Error() string { return e.text }

func usagef(format string, args ...any) error { return usageError{fmt.Sprintf(format, args...)} }

// Main runs the verb that args name and returns the exit code.
func Main(ctx context.Context, version string, args []string, streams Streams) int {
	c := &command{Streams: streams, version: version}
	if len(args) == 0 || args[0] == "help" || args[0] == "-h" || args[0] == "--help" {
		c.help(streams.Out)
		return ExitOK
	}
	chosen, rest, found := find(verbs(), args)
	if !found {
		fmt.Fprintf(streams.Err, "cloudlessctl: unknown command %q; `cloudlessctl help` lists them\n", strings.Join(args[:min(2, len(args))], " "))
		return ExitUsage
	}
	err := chosen.run(c, ctx, rest)
	var usage usageError
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return ExitOK
	case errors.As(err, &usage):
		fmt.Fprintf(streams.Err, "cloudlessctl %s: %v\nusage: cloudlessctl %s %s\n", chosen.name, err, chosen.name, chosen.args)
		return ExitUsage
	}
	fmt.Fprintf(streams.Err, "cloudlessctl %s: %v\n", chosen.name, err)
	return ExitFailed
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

func (c *command) help(out io.Writer) {
	fmt.Fprint(out, "cloudlessctl works with a Cloudless fleet from the command line.\n\nusage: cloudlessctl COMMAND [OPTIONS]\n\n")
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	for _, v := range verbs() {
		fmt.Fprintf(w, "  %s\t%s\n", v.name, v.summary)
	}
	w.Flush()
	fmt.Fprint(out, "\n`cloudlessctl COMMAND --help` explains the options of a command.\n")
}

// flags makes the flag set of a verb.
func (c *command) flags(name string) *flag.FlagSet {
	set := flag.NewFlagSet(name, flag.ContinueOnError)
	set.SetOutput(io.Discard) // Main prints the error, once
	set.Usage = func() {}     // and parse the help, to standard output
	return set
}

// parse reads flags that may stand before, between and after the other
// arguments, and returns those.
func (c *command) parse(set *flag.FlagSet, args []string) (rest []string, err error) {
	for {
		if err := set.Parse(args); errors.Is(err, flag.ErrHelp) {
			c.verbHelp(set)
			return nil, err
		} else if err != nil {
			return nil, usageError{err.Error()}
		}
		args = set.Args()
		if len(args) == 0 {
			return rest, nil
		}
		rest, args = append(rest, args[0]), args[1:]
	}
}

func (c *command) verbHelp(set *flag.FlagSet) {
	chosen, _, _ := find(verbs(), strings.Fields(set.Name()))
	fmt.Fprintf(c.Out, "usage: cloudlessctl %s %s\n\n%s.\n\n", chosen.name, chosen.args, upperFirst(chosen.summary))
	set.SetOutput(c.Out)
	set.PrintDefaults()
}

func upperFirst(text string) string {
	if text == "" {
		return text
	}
	return strings.ToUpper(text[:1]) + text[1:]
}

func (c *command) printVersion(context.Context, []string) error {
	_, err := fmt.Fprintf(c.Out, "cloudlessctl %s\n", c.version)
	return err
}
