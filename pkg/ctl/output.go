package ctl

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// outputNames are the forms in which a verb can print what it found.
func outputNames() []string { return []string{"table", "json"} }

// output is the value of --output.
type output string

// outputFlag adds --output to a verb.
func outputFlag(set *flag.FlagSet) *output {
	form := output(outputNames()[0])
	set.Var(&form, "output", "`form` of the output: "+strings.Join(outputNames(), " or "))
	return &form
}

func (o *output) String() string { return string(*o) }

func (o *output) Set(text string) error {
	if !slices.Contains(outputNames(), text) {
		return fmt.Errorf("want %s", strings.Join(outputNames(), " or "))
	}
	*o = output(text)
	return nil
}

// forPeople reports whether somebody reads what is printed, not a program.
func (o *output) forPeople() bool { return *o != "json" }

// print writes value as JSON, or calls table with columns to fill: cells are
// separated by tabs.
func (o *output) print(out io.Writer, value any, table func(w io.Writer)) error {
	if !o.forPeople() {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		return encoder.Encode(value)
	}
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	table(w)
	return w.Flush()
}

// age spells a duration for people: one or two digits that matter.
func age(d time.Duration) string {
	if d < 0 {
		return "-"
	}
	if tenths := d.Round(100 * time.Millisecond); tenths < 10*time.Second {
		return fmt.Sprintf("%.1fs", tenths.Seconds())
	}
	switch d = d.Round(time.Second); {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}
