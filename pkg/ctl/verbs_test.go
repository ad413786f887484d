package ctl

import (
	"context"
	"strings"
	"testing"
)

func TestHelp(t *testing.T) {
	s := newTranscript(t)
	s.run("help")
	s.run("help", "ca")
	s.run("version")
	for _, v := range verbs() {
		s.run(append(strings.Fields(v.name), "--help")...)
	}
	s.golden("help.golden")
}

// The list of commands fits into 80 columns.
func TestHelpIsNarrow(t *testing.T) {
	_, text, _ := ctl(t.Context(), "help")
	for line := range strings.Lines(text) {
		if len(line) > 81 {
			t.Errorf("%d columns: %s", len(line), line)
		}
	}
	for _, v := range verbs() {
		if len(v.name) > longestName {
			t.Errorf("%q is longer than longestName", v.name)
		}
	}
}

// All the ways to ask for help lead to the same.
func TestWaysToAskForHelp(t *testing.T) {
	for _, ways := range [][]string{
		{"help", "--help", "-help", "-h"},
		{"help ca issue", "--help ca issue", "ca issue --help", "ca issue -h", "ca issue operator -help"},
		{"help ca", "ca --help", "ca help", "ca -h"},
		{"help workers", "workers --help", "workers -h"},
	} {
		_, want, _ := ctl(t.Context(), strings.Fields(ways[0])...)
		for _, way := range ways {
			code, stdout, stderr := ctl(t.Context(), strings.Fields(way)...)
			if code != ExitOK || stdout != want || stderr != "" {
				t.Errorf("cloudlessctl %s: exit code %d, standard error %q, output\n%s\nwant that of %s:\n%s", way, code, stderr, stdout, ways[0], want)
			}
		}
	}
}

func TestUsageErrors(t *testing.T) {
	s := newTranscript(t)
	for _, args := range [][]string{
		{},
		{"ca"},
		{"worker"},
		{"ca renew"},
		{"ca init"},
		{"workers aprove"},
		{"help nonsense"},
		{"version now"},
		{"workers --bogus"},
		{"workers -bogus=1"},
		{"workers --output xml"},
		{"workers --output"},
		{"workers --=x"},
		{"workers --collector http://collector:9090"},
		{"workers --collector collector --collector-socket /x"},
		{"query"},
		{"query", "--time", "yesterday", "node_load1"},
		{"query", "--time", "1700000000000", "node_load1"},
		{"query", "--time", "NaN", "node_load1"},
		{"query rate ( node_load1 )"},
		{"query -node_load1"},
		{"fleet now"},
		{"fleet reset-secret now"},
		{"audit now"},
		{"audit --since yesterday"},
		{"audit --limit 0"},
		{"token"},
		{"token create now"},
		{"token create --ttl 30d"},
		{"token create --ttl -1h"},
		{"token create --uses 0"},
		{"token create --label site"},
		{"token create --label site=a --label site=b"},
		{"token create --label 1site=a"},
		{"token create --address coordinator"},
		{"token create --address coordinator:0"},
		{"token list all"},
		{"token revoke"},
		{"token revoke a b"},
		{"token revoke cloudless_join1_SECRET"},
		{"workers pending all"},
		{"workers approve"},
		{"workers approve web-1"},
		{"workers approve bamod-lusit-nopaz-tigal-x"},
		{"workers reject"},
		{"workers members all"},
		{"workers revoke"},
		{"workers readmit"},
		{"workers forget a b"},
		{"login"},
		{"login a b"},
		{"login http://collector"},
		{"login collector --authority 12"},
		{"login collector --ttl 0s"},
		{"logout now"},
		{"user"},
		{"user add"},
		{"user add bob --scope root"},
		{"user list all"},
		{"user remove"},
		{"user password"},
		{"api-token create"},
		{"api-token create a b"},
		{"api-token create grafana --ttl -1s"},
		{"api-token list all"},
		{"api-token revoke"},
		{"ca status now"},
		{"ca prepare now"},
		{"ca switch now"},
		{"ca drop now"},
		{"ca abandon now"},
		{"ca issue"},
		{"ca issue admin"},
		{"ca issue worker"},
		{"ca issue coordinatord"},
		{"ca issue collectord operator"},
		{"ca issue operator --ttl 30d"},
		{"ca issue operator --ttl -1h"},
		{"demo now"},
		{"demo --interval fast"},
	} {
		if len(args) == 1 {
			args = strings.Fields(args[0])
		}
		if code := s.run(args...); code != ExitUsage {
			t.Errorf("cloudlessctl %q: got exit code %d, want %d", args, code, ExitUsage)
		}
	}
	s.golden("usage.golden")
}

// Options stand before, between and behind the other arguments; behind -- there
// are none.
func TestOptionsStandAnywhere(t *testing.T) {
	c := &command{}
	for line, want := range map[string]string{
		"--a 1 x y":        "1 [x y]",
		"x --a 1 y":        "1 [x y]",
		"x y --a=1":        "1 [x y]",
		"x y -a 1":         "1 [x y]",
		"-- --a 1":         "0 [--a 1]",
		"--a 1 -- -x":      "1 [-x]",
		"x -- y --a 1":     "0 [x y --a 1]",
		"x --a 1 -- y -z":  "1 [x y -z]",
		"- --a 1":          "1 [-]",
		"x -- -- --a 1":    "0 [x -- --a 1]",
		"--a 1 --a 2 x -y": "!unknown option --y",
	} {
		set := c.flags("query")
		a := set.Int("a", 0, "")
		rest, err := c.parse(set, strings.Fields(line))
		got := "!"
		if err != nil {
			got += err.Error()
		} else {
			got = strings.Join([]string{set.Lookup("a").Value.String(), "[" + strings.Join(rest, " ") + "]"}, " ")
		}
		if got != want {
			t.Errorf("%s: got %s, want %s (a is %d)", line, got, want, *a)
		}
	}
}

func TestInterruption(t *testing.T) {
	fleet := newFleet(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	code, stdout, stderr := ctl(ctx, "workers", "--config", fleet.config)
	if code != ExitFailed || stdout != "" || stderr != "cloudlessctl workers: interrupted\n" {
		t.Errorf("got exit code %d, output %q, standard error %q", code, stdout, stderr)
	}
}
