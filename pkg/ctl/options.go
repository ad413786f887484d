package ctl

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"regexp"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust/pairing"
)

// flags makes the set of options of a verb. The name of an option's value
// stands in back quotes in its usage.
func (c *command) flags(verb string) *flag.FlagSet {
	set := flag.NewFlagSet(verb, flag.ContinueOnError)
	set.SetOutput(io.Discard) // Main prints the error, once
	set.Usage = func() {}     // and parse the help, to standard output
	return set
}

// parse reads options that may stand before, between and after the other
// arguments, and returns those. Behind -- there are no options.
func (c *command) parse(set *flag.FlagSet, args []string) (rest []string, err error) {
	for {
		if err := set.Parse(args); errors.Is(err, flag.ErrHelp) {
			c.verbHelp(set)
			return nil, err
		} else if err != nil {
			return nil, usageError{complaint(err.Error())}
		}
		read := len(args) - set.NArg()
		if read > 0 && args[read-1] == "--" {
			return append(rest, set.Args()...), nil
		}
		if args = set.Args(); len(args) == 0 {
			return rest, nil
		}
		rest, args = append(rest, args[0]), args[1:]
	}
}

// parseAll is parse for a verb that takes nothing but options.
func (c *command) parseAll(set *flag.FlagSet, args []string) error {
	rest, err := c.parse(set, args)
	if err == nil && len(rest) > 0 {
		err = usagef("unexpected argument %q", rest[0])
	}
	return err
}

// parseOne is parse for a verb that takes one argument besides options: want says
// what it is.
func (c *command) parseOne(set *flag.FlagSet, args []string, want string) (string, error) {
	rest, err := c.parse(set, args)
	switch {
	case err != nil:
		return "", err
	case len(rest) == 0 || rest[0] == "":
		return "", usagef("want %s", want)
	case len(rest) > 1:
		return "", usagef("unexpected argument %q", rest[1])
	}
	return rest[0], nil
}

// parseCode is parseOne for a pending machine. Its code may be typed as four
// words.
func (c *command) parseCode(set *flag.FlagSet, args []string) (string, error) {
	rest, err := c.parse(set, args)
	if err != nil {
		return "", err
	}
	text := strings.TrimSpace(strings.Join(rest, " "))
	if text == "" || text == "false" {
		return "", usagef("want %s", orPending)
	}
	if id, err := model.ParseWorkerID(text); err == nil {
		return id.String(), nil
	}
	code, err := pairing.Parse(text)
	if err != nil {
		return "", usagef("%v; or want an id", err)
	}
	return code.String(), nil
}

// complaint puts an error of package flag into our words.
func complaint(text string) string {
	if name, unknown := strings.CutPrefix(text, "flag provided but not defined: -"); unknown {
		return "unknown option --" + name
	}
	if name, bare := strings.CutPrefix(text, "flag needs an argument: -"); bare {
		return "option --" + name + " needs a value"
	}
	text = regexp.MustCompile(`(?s)^invalid value (".*") for flag -(\S+): `).ReplaceAllString(text, "--$2 $1: ")
	if before, bad := strings.CutSuffix(text, ": parse error"); bad { // of a duration, the only type that says no more
		return before + `: want a duration like "10s" or "24h"`
	}
	return text
}

func (c *command) verbHelp(set *flag.FlagSet) {
	chosen, _, _ := find(verbs(), strings.Fields(set.Name()))
	fmt.Fprintf(c.Out, "%s\n\n%s.\n", chosen.usage(), strings.ToUpper(chosen.summary[:1])+chosen.summary[1:])
	first := true
	w := tabwriter.NewWriter(c.Out, 0, 0, 3, ' ', 0)
	set.VisitAll(func(option *flag.Flag) {
		if first {
			fmt.Fprintf(w, "\nOptions:\n")
			first = false
		}
		value, usage := flag.UnquoteUsage(option)
		fmt.Fprintf(w, "  %s\t%s%s\n", strings.TrimSpace("--"+option.Name+" "+strings.ToUpper(value)), usage, defaultOf(option))
	})
	w.Flush()
	if members := group(chosen.name); len(members) > 0 {
		fmt.Fprintf(c.Out, "\nCommands:\n")
		listVerbs(c.Out, members)
	}
}

// defaultOf tells the default of an option that has one.
func defaultOf(option *flag.Flag) string {
	text := option.DefValue
	if getter, ok := option.Value.(flag.Getter); ok {
		if _, isDuration := getter.Get().(time.Duration); isDuration {
			d, _ := time.ParseDuration(text) // it was printed by the same library
			text = model.FormatDuration(d)
			if d == 0 {
				return "" // the usage tells what holds then
			}
		}
	}
	if text == "" || text == "false" {
		return ""
	}
	return " (default " + text + ")"
}
