package configtest

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

type reference struct {
	Listen  netip.AddrPort `toml:"listen"`
	Targets []string       `toml:"targets"`
	Spool   struct {
		Max  model.Bytes   `toml:"max"`
		Sync time.Duration `toml:"sync"`
	} `toml:"spool"`
	Jobs map[string]job `toml:"jobs"`
}

type job struct {
	Every time.Duration `toml:"every"`
}

func (r reference) Validate() error {
	if len(r.Targets) > 2 {
		return model.Fieldf("targets", "%d of them: want at most 2", len(r.Targets))
	}
	return nil
}

func defaults() reference {
	var r reference
	r.Listen = netip.MustParseAddrPort("127.0.0.1:10300")
	r.Spool.Max, r.Spool.Sync = 64*model.MiB, time.Second
	return r
}

const good = `# Where to listen.
listen = "127.0.0.1:10300"

# Hosts to ask besides.
#targets = ["192.0.2.1", "192.0.2.2"]

[spool]
# Larger survives longer outages.
# It costs disk.
max = "64MiB"
# Longer risks more.
sync = "1s"

# Jobs by name.
#[jobs.example]
#every = "1m"
`

func TestReference(t *testing.T) {
	replace := func(old, new string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("the good reference has no %q", old)
		}
		return strings.Replace(good, old, new, 1)
	}
	for _, test := range []struct {
		name, document string
		want           []string // beginnings of the problems
	}{
		{"good", good, nil},
		{"not TOML", replace(`"64MiB"`, `64MiB`), []string{`x.toml:10: not TOML`}},
		{"unknown key", replace(`sync =`, `snyc =`), []string{`x.toml:12: spool.snyc: unknown key, did you mean sync?`}},
		{"another value", replace(`"64MiB"`, `"32MiB"`), []string{`x.toml: values differ from the defaults in code (-code +file):`}},
		{"a key left out", replace("# Longer risks more.\nsync = \"1s\"\n", ""), []string{`x.toml: key spool.sync is missing`}},
		{"an unset key left out", replace("#targets = [\"192.0.2.1\", \"192.0.2.2\"]\n", ""), []string{`x.toml: key targets is missing`}},
		{"a free section left out", replace("#[jobs.example]\n#every = \"1m\"\n", ""), []string{`x.toml: key jobs is missing`}},
		{"commented out though it has a default", replace(`sync =`, `#sync =`), []string{`x.toml:12: key spool.sync has a default, so it must not be commented out`}},
		{"no comment", replace("# Longer risks more.\n", ""), []string{`x.toml:11: key spool.sync has no comment on the line above`}},
		{"an empty comment", replace("# Longer risks more.\n", "#\n"), []string{`x.toml:12: key spool.sync has no comment on the line above`}},
		{"no comment above a commented-out key", replace("# Hosts to ask besides.\n", ""), []string{`x.toml:4: key targets has no comment on the line above`}},
		{"a wrong example", replace(`#every = "1m"`, `#every = 60`), []string{"with the commented-out keys made effective:\nx.toml:16: jobs.example.every: want a duration"}},
		{"an example that is not valid", replace(`"192.0.2.2"]`, `"192.0.2.2", "192.0.2.3"]`), []string{"with the commented-out keys made effective:\ntargets: 3 of them"}},
	} {
		got := check("x.toml", test.document, defaults())
		if len(got) != len(test.want) {
			t.Errorf("%s: got problems %q, want %q", test.name, got, test.want)
			continue
		}
		for i := range got {
			if !strings.HasPrefix(got[i], test.want[i]) {
				t.Errorf("%s: got problem %q, want %q", test.name, got[i], test.want[i])
			}
		}
	}
}

// recorder is a testing.TB that notes failures instead of failing.
type recorder struct {
	testing.TB
	failures []string
}

func (r *recorder) Helper()           {}
func (r *recorder) Error(args ...any) { r.failures = append(r.failures, args[0].(string)) }

func TestCheckReferenceReadsTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.toml")
	if err := os.WriteFile(path, []byte("listen = 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var r recorder
	CheckReference(&r, path, defaults())
	want := []string{path + `:1: listen: want a string like "127.0.0.1:10300", got the number 1`}
	if diff := cmp.Diff(want, r.failures); diff != "" {
		t.Errorf("failures (-want +got):\n%s", diff)
	}
}
