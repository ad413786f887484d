package ctl

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// transcript is what a person at a terminal sees: commands, what they print (to
// standard error behind !), what they type (behind <), and exit codes other than
// 0. What the daemons heard stands behind >.
type transcript struct {
	t     *testing.T
	text  strings.Builder
	hide  []string // what differs from run to run, each followed by its stand-in
	heard func() []string
	stdin string // of the next command
	typed *typist
}

func newTranscript(t *testing.T, hide ...string) *transcript {
	return &transcript{t: t, hide: hide}
}

// run runs cloudlessctl and returns its exit code.
func (s *transcript) run(args ...string) int {
	s.t.Helper()
	var out, err bytes.Buffer
	streams := Streams{In: strings.NewReader(s.stdin), Out: &out, Err: &err}
	if s.typed != nil {
		s.typed.screen = &err
		streams.Terminal = s.typed
	}
	code := Main(s.t.Context(), "1.2.3 (test)", args, streams)
	fmt.Fprintf(&s.text, "$ %s\n%s", strings.Join(append([]string{"cloudlessctl"}, quoted(args)...), " "), out.String())
	for line := range strings.Lines(err.String()) {
		s.text.WriteString("! " + line)
	}
	if code != ExitOK {
		fmt.Fprintf(&s.text, "=> exit code %d\n", code)
	}
	if s.heard != nil {
		for _, line := range s.heard() {
			s.text.WriteString("> " + line + "\n")
		}
	}
	s.text.WriteString("\n")
	s.stdin, s.typed = "", nil
	return code
}

// types is somebody at a terminal who answers the questions of the next command.
func (s *transcript) types(lines ...string) *transcript {
	s.typed = &typist{lines: lines}
	return s
}

// pipes gives the next command its standard input.
func (s *transcript) pipes(text string) *transcript {
	s.stdin = text
	return s
}

// typist is a Terminal for tests.
type typist struct {
	lines  []string
	screen *bytes.Buffer
}

func (p *typist) Ask(_ context.Context, question string) (string, error) {
	line, err := p.next()
	fmt.Fprintf(p.screen, "%s< %s\n", question, line)
	return line, err
}

func (p *typist) Secret(_ context.Context, question string) (string, error) {
	line, err := p.next()
	fmt.Fprintf(p.screen, "%s< %s\n", question, strings.Repeat("*", min(len(line), 3)))
	return line, err
}

func (p *typist) next() (string, error) {
	if len(p.lines) == 0 {
		return "", context.Canceled
	}
	line := p.lines[0]
	p.lines = p.lines[1:]
	return line, nil
}

// remark puts a heading into the transcript.
func (s *transcript) remark(text string) { fmt.Fprintf(&s.text, "# %s\n", text) }

// golden compares the transcript with the file of that name.
func (s *transcript) golden(name string) {
	s.t.Helper()
	path := filepath.Join("testdata", name)
	got := strings.NewReplacer(s.hide...).Replace(s.text.String())
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			s.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			s.t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		s.t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		s.t.Errorf("%s (-want +got); -update writes it anew:\n%s", path, diff)
	}
}

func ctl(ctx context.Context, args ...string) (code int, stdout, stderr string) {
	var out, err bytes.Buffer
	code = Main(ctx, "1.2.3 (test)", args, Streams{In: strings.NewReader(""), Out: &out, Err: &err})
	return code, out.String(), err.String()
}

func quoted(args []string) []string {
	words := make([]string, len(args))
	for i, arg := range args {
		words[i] = arg
		if arg == "" || strings.ContainsAny(arg, " \t\n'\"{}[]()*&|;<>$") {
			words[i] = "'" + arg + "'"
		}
	}
	return words
}

func writeFile(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
