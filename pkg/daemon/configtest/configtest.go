// Package configtest proves that a reference configuration tells the truth:
// that the file which shows every key with its default equals the code.
package configtest

import (
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/cloudless-fleet/cloudless/pkg/daemon/config"
)

// CheckReference fails the test unless the file at path, a configs/*.toml,
//
//   - is good TOML of the configuration's type, without unknown keys,
//   - sets every key to its value in defaults,
//   - shows every key. A key whose default is empty may be commented out, as
//     #key = "example", on one line and without a space behind the #; so may
//     sections with free names, as #[jobs.example]. With all of these lines
//     made effective the file must still be good, to Validate as well,
//   - explains every key in a comment on the line above: "# text".
func CheckReference[C any](t testing.TB, path string, defaults C) {
	t.Helper()
	document, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range check(path, string(document), defaults) {
		t.Error(problem)
	}
}

func check[C any](path, document string, defaults C) []string {
	var found []string
	add := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }

	loaded, err := config.Decode(defaults, path, document)
	if err != nil {
		return append(found, err.Error())
	}
	everything := cmp.Exporter(func(reflect.Type) bool { return true })
	if diff := cmp.Diff(defaults, loaded, everything, cmpopts.EquateEmpty()); diff != "" {
		add("%s: values differ from the defaults in code (-code +file):\n%s", path, diff)
	}
	shown := commentedOut.ReplaceAllString(document, "$1")
	examples, err := config.Decode(defaults, path, shown)
	if validator, isValidator := any(examples).(config.Validator); err == nil && isValidator {
		err = validator.Validate()
	}
	if err != nil {
		add("with the commented-out keys made effective:\n%v", err)
	}

	effective, visible := config.LinesOf(document), config.LinesOf(shown)
	lines := strings.Split(shown, "\n")
	for _, key := range config.KeysOf(defaults) {
		line, isVisible := visible[key.Name]
		_, isEffective := effective[key.Name]
		switch {
		case !isVisible:
			add("%s: key %s is missing", path, key.Name)
		case !isEffective && !key.Unset:
			add("%s:%d: key %s has a default, so it must not be commented out", path, line, key.Name)
		case line < 2 || !isComment(lines[line-2]):
			add("%s:%d: key %s has no comment on the line above", path, line, key.Name)
		}
	}
	return found
}

// commentedOut matches the # before a key or section that is shown but not
// effective.
var commentedOut = regexp.MustCompile(`(?m)^#((?:[A-Za-z0-9_-]+|"[^"\n]*")(?:\.[A-Za-z0-9_".-]+)?[ \t]*=|\[)`)

func isComment(line string) bool {
	text, comment := strings.CutPrefix(strings.TrimSpace(line), "#")
	return comment && strings.TrimSpace(text) != ""
}
