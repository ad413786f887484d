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
	// Terminal is who can be asked; nil: whoever sits at In, if that is a
	// terminal.
	Terminal Terminal
}

// command carries what every verb needs.
type command struct {
	Streams
	version string
}

// verb is one row of the table: what it is called, what it takes, what it does.
type verb struct {
	name    string // words separated by a space: "token create"
	args    string // what must follow, besides the options that may
	summary string
	run     func(c *command, ctx context.Context, args []string) error
}

// section is some verbs that belong together.
type section struct {
	title string
	verbs []verb
}

// sections is the table of all verbs in the order of the help.
func sections() []section {
	return []section{
		{"See", []verb{
			{"workers", "", "list the workers: state, lease, last frame, addresses", (*command).workers},
			{"query", "[--] EXPR", "evaluate a PromQL expression now, or at a given time", (*command).query},
			{"gaps", "[WORKER]", "list which samples are missing, and why", (*command).gaps},
			{"fleet", "", "show the fleet: name, authorities, counts, admin secret", (*command).fleet},
			{"audit", "", "show who did what, from where", (*command).audit},
		}},
		{"Keep", []verb{
			{"backup", "", "make a snapshot of everything that is stored", (*command).backup},
			{"backup import", "NAME", "take over what a snapshot has that is not stored", (*command).backupImport},
		}},
		{"Let machines in", []verb{
			{"token create", "", "make a join token, by which machines join unattended", (*command).tokenCreate},
			{"token list", "", "list the join tokens, without their secrets", (*command).tokenList},
			{"token revoke", "ID", "end a join token", (*command).tokenRevoke},
			{"workers pending", "", "list the machines that wait for approval", (*command).workersPending},
			{"workers approve", "CODE|ID", "let one of them in", (*command).workersApprove},
			{"workers reject", "CODE|ID", "turn one of them away", (*command).workersReject},
		}},
		{"Keep machines out", []verb{
			{"workers members", "", "list the machines that were let in", (*command).workersMembers},
			{"workers revoke", "ID|NAME", "shut a worker out, at once", (*command).workersRevoke},
			{"workers readmit", "ID|NAME", "take a worker off the list of those who are out", (*command).workersReadmit},
			{"workers forget", "ID|NAME", "forget a worker that was revoked or is gone", (*command).workersForget},
		}},
		{"People and programs", []verb{
			{"login", "[ADDRESS]", "log in to a fleet on other hosts", (*command).login},
			{"logout", "", "log out: the token that login has made ends", (*command).logout},
			{"user add", "NAME", "add a user", (*command).userAdd},
			{"user list", "", "list the users", (*command).userList},
			{"user remove", "NAME", "remove a user, with sessions and API tokens", (*command).userRemove},
			{"user password", "NAME", "give a user another password", (*command).userPassword},
			{"api-token create", "NAME", "make a token by which a program may ask", (*command).apiTokenCreate},
			{"api-token list", "", "list the API tokens, without their secrets", (*command).apiTokenList},
			{"api-token revoke", "ID", "end an API token", (*command).apiTokenRevoke},
			{"fleet reset-secret", "", "make another admin secret", (*command).fleetResetSecret},
		}},
		{"The fleet's authority", []verb{
			{"ca status", "", "show the authorities and what is to be done", (*command).caStatus},
			{"ca prepare", "", "make the next authority, and let all members hear of it", (*command).caPrepare},
			{"ca switch", "", "let the next authority issue certificates", (*command).caSwitch},
			{"ca drop", "", "end the former authority", (*command).caDrop},
			{"ca abandon", "", "take away a next authority that is not wanted", (*command).caAbandon},
			{"ca issue", "collectord|operator", "make a certificate for another host, or an operator", (*command).caIssue},
		}},
		{"Other", []verb{
			{"demo", "", "run a whole fleet on this machine with throw-away state", (*command).demo},
			{"version", "", "print the version", (*command).printVersion},
		}},
	}
}

// verbs are those of all sections.
func verbs() []verb {
	var all []verb
	for _, s := range sections() {
		all = append(all, s.verbs...)
	}
	return all
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
		c.help(c.Err)
		return ExitUsage
	}
	if asksHelp(args[0]) {
		args = append(args[1:], "--help") // help VERB is VERB --help
	}
	chosen, rest, found := find(verbs(), args)
	if !found {
		return c.noVerb(args)
	}
	if len(rest) > 0 && !strings.HasPrefix(rest[0], "-") && len(group(chosen.name)) > 0 {
		return c.unknownVerb(args[0], rest[0])
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

// find returns the verb whose words args begin with, the one of most words, and
// the other arguments.
func find(table []verb, args []string) (chosen verb, rest []string, found bool) {
	for _, v := range table {
		words := strings.Fields(v.name)
		if len(args) >= len(words) && len(words) > len(strings.Fields(chosen.name)) && strings.Join(args[:len(words)], " ") == v.name {
			chosen, rest, found = v, args[len(words):], true
		}
	}
	return chosen, rest, found
}

// group are the verbs that begin with a word and go on.
func group(word string) []verb {
	var found []verb
	for _, v := range verbs() {
		if strings.HasPrefix(v.name, word+" ") {
			found = append(found, v)
		}
	}
	return found
}

// noVerb answers args that name no verb: they ask for help, name a group of
// verbs, or are wrong.
func (c *command) noVerb(args []string) int {
	members := group(args[0])
	switch {
	case asksHelp(args[0]):
		c.help(c.Out)
		return ExitOK
	case len(members) > 0 && len(args) > 1 && asksHelp(args[1]):
		c.groupHelp(c.Out, args[0], members)
		return ExitOK
	case len(members) > 0 && len(args) == 1:
		c.groupHelp(c.Err, args[0], members)
		return ExitUsage
	}
	if len(members) > 0 {
		return c.unknownVerb(args[0], args[1])
	}
	fmt.Fprintf(c.Err, "cloudlessctl: unknown command %q; `cloudlessctl help` lists them\n", args[0])
	return ExitUsage
}

// unknownVerb is for a word that is none of a group's.
func (c *command) unknownVerb(group, word string) int {
	fmt.Fprintf(c.Err, "cloudlessctl: unknown command %q; `cloudlessctl help %s` lists its commands\n", group+" "+word, group)
	return ExitUsage
}

// longestName is that of "fleet reset-secret".
const longestName = 18

const (
	helpHead = "cloudlessctl works with a Cloudless fleet from the command line.\n\nusage: cloudlessctl COMMAND [OPTIONS]\n"
	helpTail = "\n`cloudlessctl help COMMAND` explains a command and its options.\n" +
		"Exit codes: 0 done, 1 failed, 2 wrong usage.\n"
)

func (c *command) help(out io.Writer) {
	fmt.Fprint(out, helpHead)
	for _, s := range sections() {
		fmt.Fprintf(out, "\n%s\n", s.title)
		for _, v := range s.verbs {
			fmt.Fprintf(out, "  %-*s   %s\n", longestName, v.name, v.summary)
		}
	}
	fmt.Fprint(out, helpTail)
}

func (c *command) groupHelp(out io.Writer, word string, members []verb) {
	fmt.Fprintf(out, "usage: cloudlessctl %s COMMAND [OPTIONS]\n\n", word)
	listVerbs(out, members)
	fmt.Fprint(out, helpTail)
}

func listVerbs(out io.Writer, listed []verb) {
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	for _, v := range listed {
		fmt.Fprintf(w, "  %s\t%s\n", v.name, v.summary)
	}
	w.Flush()
}

func (c *command) printVersion(_ context.Context, args []string) error {
	if err := c.parseAll(c.flags("version"), args); err != nil {
		return err
	}
	_, err := fmt.Fprintf(c.Out, "cloudlessctl %s\n", c.version)
	return err
}
