package config

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

const printed = `listen = "127.0.0.1:9090"
name = "tab\tquote\"bell\u0007"
retries = 3
port = 80
ratio = 0.5
verbose = false
# limit is not set
targets = ["192.0.2.1"]
pair = [0, 0]
since = "0001-01-01T00:00:00Z"
rules = []
# token is set, but secret
zone = ""

[labels]
"my site" = "lab"
rack = "r"

[spool]
max_bytes = "64MiB"
sync = "1s"

[spool.disk]
path = ""

[tls]
cert = "c"
# key is not set

[jobs]

[jobs.a]
every = "1m"
tags = []

[jobs.b]
every = "1h"
tags = ["x", "y"]
`

func TestPrint(t *testing.T) {
	s := sampleDefaults()
	s.Name = "tab\tquote\"bell\a"
	s.Token = "s3cret"
	s.TLS = &tlsSample{Cert: "c"}
	s.Labels = map[string]string{"rack": "r", "my site": "lab"}
	s.Jobs["b"] = job{Every: time.Hour, Tags: []string{"x", "y"}}
	var b strings.Builder
	if err := Print(&b, &s); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(printed, b.String()); diff != "" {
		t.Errorf("printed (-want +got):\n%s", diff)
	}
	back, err := Decode(sample{}, "printed", b.String())
	if err != nil {
		t.Fatal(err)
	}
	s.Token = ""
	if diff := cmp.Diff(s, back, exported(), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("read back (-want +got):\n%s", diff)
	}
}

func TestPrintLeavesOutWhatCannotBeRead(t *testing.T) {
	var b strings.Builder
	if err := Print(&b, struct {
		ID    model.WorkerID   `toml:"id"`
		Grid  [][]float64      `toml:"grid"`
		Lists []map[string]int `toml:"lists"`
	}{Grid: [][]float64{{1, math.Inf(1)}, {}}, Lists: []map[string]int{{"b": 2, "a": 1}, nil}}); err != nil {
		t.Fatal(err)
	}
	want := "# id is not set\ngrid = [[1.0, +inf], []]\n\n[[lists]]\na = 1\nb = 2\n\n[[lists]]\n"
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("printed (-want +got):\n%s", diff)
	}
}

func TestDiff(t *testing.T) {
	a, b := sampleDefaults(), sampleDefaults()
	if diff := Diff(a, b); diff != nil {
		t.Errorf("equal configurations differ in %q", diff)
	}
	b.Retries = 4
	b.Spool.Disk.Path = "/a"
	b.TLS = &tlsSample{}
	b.Jobs = map[string]job{}
	want := []string{"retries", "spool.disk.path", "tls.cert", "tls.key", "jobs"}
	if diff := cmp.Diff(want, Diff(a, b)); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
}

func TestTypesThatCannotBeConfiguredAreBugs(t *testing.T) {
	for name, cfg := range map[string]any{
		"no tag": struct{ A int }{},
		"tag options": struct {
			A int `toml:"a,omitempty"`
		}{},
		"odd tag": struct {
			A int `toml:"a b"`
		}{},
		"channel": struct {
			A chan int `toml:"a"`
		}{},
		"map of ints": struct {
			A map[int]string `toml:"a"`
		}{},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: printed without a panic", name)
				}
			}()
			_ = Print(new(strings.Builder), cfg)
		}()
	}
}

// FuzzDecode: any document is an error or a configuration that survives being
// printed and read again.
func FuzzDecode(f *testing.F) {
	f.Add(printed)
	f.Add("listen = \"[::1]:1\"\nlimit = 3\n[[rules]]\nname = 'a'\nabove = -1e3\n[[rules]]\nabove = nan")
	f.Add("labels = { 'a.b' = \"\\u00e9\" }\ntargets = []\nsince = 1979-05-27T07:32:00.5-08:00\npair=[1,2]")
	f.Add("nmae = 1\nport = 1e9\nspool.sync = 3\nspool.max_bytes = []\njobs = { x = 1 }")
	f.Fuzz(func(t *testing.T, document string) {
		first, err := Decode(sample{}, "f", document)
		if err != nil {
			if err.Error() == "" {
				t.Error("an error without a text")
			}
			return
		}
		first.Token = "" // is not printed
		if first.TLS != nil {
			first.TLS.Key = ""
		}
		var once, twice strings.Builder
		if err := Print(&once, first); err != nil {
			t.Fatal(err)
		}
		second, err := Decode(sample{}, "f", once.String())
		if err != nil {
			t.Fatalf("printed, but not readable: %v\n%s", err, once.String())
		}
		if err := Print(&twice, second); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(once.String(), twice.String()); diff != "" {
			t.Errorf("printed twice (-once +twice):\n%s", diff)
		}
	})
}
