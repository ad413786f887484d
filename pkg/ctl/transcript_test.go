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
// standard error behind !), and exit codes other than 0.
type transcript struct {
	t    *testing.T
	text strings.Builder
	hide []string // what differs from run to run, each followed by its stand-in
}

func newTranscript(t *testing.T, hide ...string) *transcript {
	return &transcript{t: t, hide: hide}
}

// run runs cloudlessctl and returns its exit code.
func (s *transcript) run(args ...string) int {
	s.t.Helper()
	code, stdout, stderr := ctl(s.t.Context(), args...)
	fmt.Fprintf(&s.text, "$ %s\n%s", strings.Join(append([]string{"cloudlessctl"}, quoted(args)...), " "), stdout)
	for line := range strings.Lines(stderr) {
		s.text.WriteString("! " + line)
	}
	if code != ExitOK {
		fmt.Fprintf(&s.text, "=> exit code %d\n", code)
	}
	s.text.WriteString("\n")
	return code
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
