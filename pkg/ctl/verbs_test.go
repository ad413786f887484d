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

// All the ways to ask for help lead to the same.
func TestWaysToAskForHelp(t *testing.T) {
	for _, ways := range [][]string{
		{"help", "--help", "-help", "-h"},
		{"help ca issue", "--help ca issue", "ca issue --help", "ca issue -h", "ca issue worker -help"},
		{"help ca", "ca --help", "ca help", "ca -h"},
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
		{"help nonsense"},
		{"version now"},
		{"workers web-1"},
		{"workers --bogus"},
		{"workers -bogus=1"},
		{"workers --output xml"},
		{"workers --output"},
		{"workers --=x"},
		{"workers --collector collector:9090"},
		{"workers --collector http://collector:9090"},
		{"query"},
		{"query", "--time", "yesterday", "node_load1"},
		{"query", "--time", "1700000000000", "node_load1"},
		{"query", "--time", "NaN", "node_load1"},
		{"query rate ( node_load1 )"},
		{"query -node_load1"},
		{"ca init"},
		{"ca init lab"},
		{"ca init --fleet Lab_1"},
		{"ca issue"},
		{"ca issue admin"},
		{"ca issue worker operator"},
		{"ca issue worker --ttl 30d"},
		{"ca issue worker --ttl -1h"},
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
