package config

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// exported compares everything, unexported fields of library types too.
func exported() cmp.Option { return cmp.Exporter(func(reflect.Type) bool { return true }) }

// write makes files in a fresh folder; their names are the keys.
func write(t *testing.T, files map[string]string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func source(dir string, environ ...string) Source {
	return Source{Path: filepath.Join(dir, "x.toml"), DropInDir: filepath.Join(dir, "x.d"),
		Environ: environ, EnvPrefix: "CLOUDLESS_X_"}
}

func TestEveryTypeIsRead(t *testing.T) {
	dir := write(t, map[string]string{"x.toml": `
listen = "[::1]:10300"
name = "quo\"ted"
retries = -0
port = 65535
ratio = 2
verbose = true
limit = 7
targets = ["192.0.2.7", "::1"]
pair = [1, 2]
since = 2026-01-02T03:04:05Z
labels = { rack = "r1", "my site" = "s" }
token = "s3cret"
zone = "z"
[spool]
max_bytes = "1GiB"
sync = "1m30s"
disk.path = "/var"
[tls]
cert = "c.pem"
[jobs.a]
tags = ["x"]
[jobs.b]
every = "2s"
[[rules]]
name = "one"
above = 1
[[rules]]
name = "two"
`})
	got, origin, err := Load(sampleDefaults(), source(dir))
	if err != nil {
		t.Fatal(err)
	}
	seven := 7
	want := sample{
		Listen: netip.MustParseAddrPort("[::1]:10300"), Name: `quo"ted`, Port: 65535, Ratio: 2, Verbose: true, Limit: &seven,
		Targets: []netip.Addr{netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("::1")}, Pair: [2]int{1, 2},
		Since:  time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Labels: map[string]string{"site": "lab", "rack": "r1", "my site": "s"},
		Spool:  spoolSample{MaxBytes: model.GiB, Sync: 90 * time.Second},
		TLS:    &tlsSample{Cert: "c.pem"},
		Jobs:   map[string]job{"a": {Every: time.Minute, Tags: []string{"x"}}, "b": {Every: 2 * time.Second}},
		Rules:  []rule{{"one", 1}, {"two", 0}}, Token: "s3cret", embedded: embedded{"z"},
	}
	want.Spool.Disk.Path = "/var"
	if diff := cmp.Diff(want, got, exported()); diff != "" {
		t.Errorf("loaded (-want +got):\n%s", diff)
	}
	if place, ok := origin.Place("spool.sync"); !ok || place.Line != 17 {
		t.Errorf("spool.sync was set at %v, %v; want line 17", place, ok)
	}
}

func TestLayers(t *testing.T) {
	dir := write(t, map[string]string{
		"x.toml":              "name = \"main\"\nretries = 5\nport = 5\ntargets = [\"192.0.2.5\"]\n[jobs.a]\nevery = \"5s\"\n[labels]\nrack = \"r5\"\n[[rules]]\nname = \"main\"\n",
		"x.d/10-first.toml":   "name = \"first\"\ntargets = [\"192.0.2.10\", \"192.0.2.11\"]\n[jobs.a]\ntags = [\"first\"]\n[labels]\nsite = \"first\"\n",
		"x.d/20-second.toml":  "name = \"second\"\n[[rules]]\nname = \"second\"\n",
		"x.d/.30-hidden.toml": "name = \"hidden\"",
		"x.d/40-backup.toml~": "name = \"backup\"",
	})
	defaults := sampleDefaults()
	got, origin, err := Load(defaults, source(dir, "CLOUDLESS_X_RETRIES=6", "PATH=/bin", "CLOUDLESS_Y_NAME=other"))
	if err != nil {
		t.Fatal(err)
	}
	want := sampleDefaults()
	want.Name, want.Retries, want.Port = "second", 6, 5
	want.Targets = []netip.Addr{netip.MustParseAddr("192.0.2.10"), netip.MustParseAddr("192.0.2.11")}
	want.Jobs = map[string]job{"a": {Every: 5 * time.Second, Tags: []string{"first"}}}
	want.Labels = map[string]string{"site": "first", "rack": "r5"}
	want.Rules = []rule{{Name: "second"}}
	if diff := cmp.Diff(want, got, exported()); diff != "" {
		t.Errorf("loaded (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(sampleDefaults(), defaults, exported()); diff != "" {
		t.Errorf("the caller's defaults changed (-want +got):\n%s", diff)
	}
	wantFiles := []string{dir + "/x.toml", dir + "/x.d/10-first.toml", dir + "/x.d/20-second.toml"}
	if diff := cmp.Diff(wantFiles, origin.Files); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if place, ok := origin.Place("retries"); !ok || place.String() != "environment: CLOUDLESS_X_RETRIES" {
		t.Errorf("retries was set at %v, %v; want the environment", place, ok)
	}
}

func TestMainFileMayBeMissingUnlessRequired(t *testing.T) {
	dir := write(t, map[string]string{"x.d/a.toml": "retries = 9"})
	from := source(dir)
	got, origin, err := Load(sampleDefaults(), from)
	if err != nil || got.Retries != 9 || origin.Missing != from.Path {
		t.Errorf("got %v retries, missing %q, error %v; want 9, the path, none", got.Retries, origin.Missing, err)
	}
	from.Required = true
	_, _, err = Load(sampleDefaults(), from)
	if want := from.Path + ": cannot read: no such file or directory; check --config"; err == nil || err.Error() != want {
		t.Errorf("got error %v, want %s", err, want)
	}
}

func TestFilesThatCannotBeConfigurations(t *testing.T) {
	dir := write(t, map[string]string{"x.toml": strings.Repeat("#", maxFile+1), "x.d/a.toml/b": ""})
	_, _, err := Load(sampleDefaults(), source(dir))
	want := fmt.Sprintf("%[1]s/x.toml: cannot read: larger than 1 MiB: not a configuration file\n%[1]s/x.d/a.toml: cannot read: is a directory", dir)
	if err == nil || err.Error() != want {
		t.Errorf("got error %v, want %s", err, want)
	}
}

func TestMistakes(t *testing.T) {
	for _, test := range []struct {
		name, document string
		want           string // X stands for the path
	}{
		{"syntax", "name = \"a\"\nretries = = 3", "X:2: not TOML: expected value but found '=' instead (at or after key retries)"},
		{"header not closed", "name = \"a\"\n[log\nretries = 3", "X:2: not TOML: expected '.' or ']' to end table name, but got '\\n' instead"},
		{"key without value", "name\nretries = 3", "X:1: not TOML: expected '.' or '=', but got '\\n' instead"},
		{"key twice", "name = \"a\"\nname = \"b\"", "X:2: not TOML: Key 'name' has already been defined (at or after key name)"},
		{"string not closed", "name = \"a", "X:1: not TOML: unexpected EOF; expected '\"' (at or after key name)"},
		{"unknown key", "nmae = 1", "X:1: nmae: unknown key, did you mean name?"},
		{"letter case counts", "Name = \"a\"", "X:1: Name: unknown key, did you mean name?"},
		{"dash for underscore", "[spool]\nmax-bytes = \"2MiB\"", "X:2: spool.max-bytes: unknown key, did you mean max_bytes?"},
		{"unknown key far from all", "[tls]\n\nfoobar = 1", "X:3: tls.foobar: unknown key; known here: cert, key"},
		{"unknown section once", "[spol]\na = 1\nb = 2", "X:1: spol: unknown key, did you mean spool?"},
		{"unknown quoted key", "\"a b\" = 1", "X:1: \"a b\": unknown key; print-config lists all keys"},
		{"unknown dotted key", "spool.disk.pth = \"/\"", "X:1: spool.disk.pth: unknown key, did you mean path?"},
		{"unknown key in an inline table", "tls = { cert = \"a\",\n crt = \"b\" }", "X:2: tls.crt: unknown key, did you mean cert?"},
		{"unknown key in an array of tables", "[[rules]]\nname = \"a\"\n[[rules]]\nname = \"b\"\nabov = 1", "X:5: rules[1].abov: unknown key, did you mean above?"},
		{"duration as a number", "[spool]\nsync = 10", "X:2: spool.sync: want a duration like \"10s\" or \"1m30s\", got the number 10"},
		{"bad duration", "[spool]\nsync = \"10 parsecs\"", "X:2: spool.sync: want a duration like \"10s\" or \"1m30s\", got \"10 parsecs\""},
		{"size as a number", "[spool]\nmax_bytes = 10", "X:2: spool.max_bytes: want a string like \"64MiB\", got the number 10"},
		{"bad size", "[spool]\nmax_bytes = \"10MB\"", "X:2: spool.max_bytes: size \"10MB\": want a whole number and a unit, like 64MiB"},
		{"bad address", "listen = \"localhost\"", "X:1: listen: not an ip:port; want a string like \"127.0.0.1:9090\""},
		{"string for a number", "retries = \"3\"", "X:1: retries: want a whole number, got the string \"3\""},
		{"number too large", "port = 65536", "X:1: port: want a whole number from 0 to 65535, got the number 65536"},
		{"negative number", "port = -1", "X:1: port: want a whole number from 0 to 65535, got the number -1"},
		{"fraction", "retries = 1.5", "X:1: retries: want a whole number, got the number 1.5"},
		{"number for a truth value", "verbose = 1", "X:1: verbose: want true or false, got the number 1"},
		{"string for a ratio", "ratio = \"a\"", "X:1: ratio: want a number, got the string \"a\""},
		{"value for a table", "spool = 3", "X:1: spool: want a table, got the number 3"},
		{"table for a value", "[name]\na = 1", "X:1: name: want a string, got a table"},
		{"value for an array", "targets = \"192.0.2.1\"", "X:1: targets: want an array, got the string \"192.0.2.1\""},
		{"table for an array of tables", "[rules]\nname = \"a\"", "X:1: rules: want an array of tables, [[...]], got a table"},
		{"bad element", "targets = [\n \"192.0.2.1\",\n 5,\n]", "X:3: targets[1]: want a string, got the number 5"},
		{"wrong array length", "pair = [1]", "X:1: pair: want exactly 2 elements, got 1"},
		{"bad limit", "limit = \"a\"", "X:1: limit: want a whole number, got the string \"a\""},
		{"bad map entry", "[labels]\nsite = 1", "X:2: labels.site: want a string, got the number 1"},
		{"bad entry of a map of tables", "[jobs.\"a b\"]\nevery = 1", "X:2: jobs.\"a b\".every: want a duration like \"10s\" or \"1m30s\", got the number 1"},
		{"secrets are not shown", "token = 12345", "X:1: token: want a string, got the number (not shown)"},
		{"long values are clipped", "retries = \"" + strings.Repeat("a", 100) + "\"",
			"X:1: retries: want a whole number, got the string \"" + strings.Repeat("a", 64) + "...\""},
		{"all at once, by line", "zonne = 1\nport = -1\n[spool]\nsync = 1\nmax_bytes = 1",
			"X:1: zonne: unknown key, did you mean zone?\n" +
				"X:2: port: want a whole number from 0 to 65535, got the number -1\n" +
				"X:4: spool.sync: want a duration like \"10s\" or \"1m30s\", got the number 1\n" +
				"X:5: spool.max_bytes: want a string like \"64MiB\", got the number 1"},

		{"checks of the owner", "retries = -1", "X:1: retries: is -1; want 0 or more"},
		{"checks in a section", "[spool]\nmax_bytes = \"1KiB\"\ndisk.path = \"./a\"",
			"X:2: spool.max_bytes: is 1KiB; want 1MiB or more\nX:3: spool.disk.path: is \"./a\"; want an absolute path"},
		{"checks by line", "[[rules]]\nabove = 1\n[spool]\ndisk.path = \"./a\"\nmax_bytes = \"1KiB\"",
			"X:1: rules[0].name: must be set\nX:4: spool.disk.path: is \"./a\"; want an absolute path\nX:5: spool.max_bytes: is 1KiB; want 1MiB or more"},
		{"checks in an array of tables", "[[rules]]\nname = \"a\"\n[[rules]]\nabove = 1", "X:3: rules[1].name: must be set"},
	} {
		dir := write(t, map[string]string{"x.toml": test.document})
		_, _, err := Load(sampleDefaults(), source(dir))
		got := ""
		if err != nil {
			got = strings.ReplaceAll(err.Error(), filepath.Join(dir, "x.toml"), "X")
		}
		if got != test.want {
			t.Errorf("%s:\n got %s\nwant %s", test.name, got, test.want)
		}
	}
}

func TestChecksOfTheOwnerWithoutAKeyInAFile(t *testing.T) {
	for _, test := range []struct {
		name    string
		invalid error
		want    string
	}{
		{"no key", errors.New("nothing fits"), "X: nothing fits"},
		{"a key with its default", model.Fieldf("zone", "must be set"), "X: zone: must be set"},
		{"a key missing in a section", model.Fieldf("tls.key", "must be set"), "X:1: tls.key: must be set"},
		{"a wrapped key", fmt.Errorf("odd: %w", model.Fieldf("tls.cert", "does not exist")), "X:2: tls.cert: does not exist"},
		{"the section named twice", model.InSection("tls", errors.New("tls.cert: does not exist")), "X:2: tls.cert: does not exist"},
		{"a colon that ends no key", errors.New("open x: no such file"), "X: open x: no such file"},
		{"a map entry", errors.New("labels.rack: too long"), "X:4: labels.rack: too long"},
		{"a quoted value is no key", model.Fieldf("targets[0]", `"a b": want an address`), `X: targets[0]: "a b": want an address`},
		{"a bare value is no key", model.Fieldf("targets", "x: want an address"), "X: targets: x: want an address"},
		{"nor below an element", model.Fieldf("pair[1]", "x: want a number"), "X: pair[1]: x: want a number"},
		{"a key below a table", model.Fieldf("rules[1]", "name: must be set"), "X: rules[1].name: must be set"},
	} {
		dir := write(t, map[string]string{"x.toml": "[tls]\ncert = \"a\"\n[labels]\nrack = \"r\"\n"})
		defaults := sampleDefaults()
		defaults.invalid = test.invalid
		_, _, err := Load(defaults, source(dir))
		got := strings.ReplaceAll(fmt.Sprint(err), filepath.Join(dir, "x.toml"), "X")
		if got != test.want {
			t.Errorf("%s:\n got %s\nwant %s", test.name, got, test.want)
		}
	}
	dir := write(t, map[string]string{"x.toml": "[spool]\nsync = \"1s\"\n"})
	small := sampleDefaults()
	small.Spool.MaxBytes = 1
	_, _, err := Load(small, source(dir, "CLOUDLESS_X_SPOOL_SYNC=2s"))
	if want := dir + "/x.toml:1: spool.max_bytes: is 1B; want 1MiB or more"; err == nil || err.Error() != want {
		t.Errorf("a variable of the same section: got %v, want %s", err, want)
	}
	defaults := sampleDefaults()
	defaults.Retries = -1
	_, _, err = Load(defaults, source(t.TempDir()))
	if want := "defaults: retries: is -1; want 0 or more"; err == nil || err.Error() != want {
		t.Errorf("bad defaults: got %v, want %s", err, want)
	}
}

func TestMistakesOfAllSourcesAreListed(t *testing.T) {
	dir := write(t, map[string]string{"x.toml": "nmae = 1", "x.d/a.toml": "a =", "x.d/b.toml": "port = -1"})
	_, _, err := Load(sampleDefaults(), source(dir, "CLOUDLESS_X_RATIO=a", "CLOUDLESS_X_FOO=1"))
	want := `x.toml:1: nmae: unknown key, did you mean name?
x.d/a.toml:1: not TOML: unexpected EOF; expected value (at or after key a)
x.d/b.toml:1: port: want a whole number from 0 to 65535, got the number -1
environment: CLOUDLESS_X_FOO: unknown variable; print-config lists all keys
environment: CLOUDLESS_X_RATIO: want a number, got "a"`
	got := strings.ReplaceAll(fmt.Sprint(err), dir+"/", "")
	if got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	if all, ok := errors.AsType[*Error](err); !ok || len(all.Problems) != 5 {
		t.Errorf("got %d problems of type %T, want 5", len(all.Problems), err)
	}
}
