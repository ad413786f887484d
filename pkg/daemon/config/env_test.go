package config

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

func TestEnvironment(t *testing.T) {
	for _, test := range []struct {
		variable string
		change   func(*sample)
	}{
		{"NAME=x y", func(s *sample) { s.Name = "x y" }},
		{"NAME=", func(s *sample) { s.Name = "" }},
		{"LISTEN=0.0.0.0:1", func(s *sample) { s.Listen = netip.MustParseAddrPort("0.0.0.0:1") }},
		{"RETRIES=7", func(s *sample) { s.Retries = 7 }},
		{"PORT=7", func(s *sample) { s.Port = 7 }},
		{"RATIO=0.25", func(s *sample) { s.Ratio = 0.25 }},
		{"VERBOSE=true", func(s *sample) { s.Verbose = true }},
		{"LIMIT=7", func(s *sample) { s.Limit = new(7) }},
		{"TARGETS=192.0.2.1, ::1", func(s *sample) {
			s.Targets = []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("::1")}
		}},
		{"TARGETS=", func(s *sample) { s.Targets = []netip.Addr{} }},
		{`TARGETS=["::1"]`, func(s *sample) { s.Targets = []netip.Addr{netip.MustParseAddr("::1")} }},
		{"PAIR=3,4", func(s *sample) { s.Pair = [2]int{3, 4} }},
		{"SINCE=2026-01-02T03:04:05Z", func(s *sample) { s.Since = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }},
		{`LABELS={ rack = "r" }`, func(s *sample) { s.Labels = map[string]string{"site": "lab", "rack": "r"} }},
		{`JOBS={ b = { every = "3s" } }`, func(s *sample) { s.Jobs["b"] = job{Every: 3 * time.Second} }},
		{`RULES=[{ name = "a", above = 2 }]`, func(s *sample) { s.Rules = []rule{{"a", 2}} }},
		{"SPOOL_MAX_BYTES=2MiB", func(s *sample) { s.Spool.MaxBytes = 2 * model.MiB }},
		{"SPOOL_DISK_PATH=/a", func(s *sample) { s.Spool.Disk.Path = "/a" }},
		{"TLS_CERT=c", func(s *sample) { s.TLS = &tlsSample{Cert: "c"} }},
		{"ZONE=z", func(s *sample) { s.Zone = "z" }},
	} {
		got, _, err := Load(sampleDefaults(), source(t.TempDir(), "CLOUDLESS_X_"+test.variable))
		if err != nil {
			t.Errorf("%s: %v", test.variable, err)
			continue
		}
		want := sampleDefaults()
		test.change(&want)
		if diff := cmp.Diff(want, got, exported()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.variable, diff)
		}
	}
}

func TestEnvironmentMistakes(t *testing.T) {
	for _, test := range []struct{ variable, want string }{
		{"NMAE=x", "environment: CLOUDLESS_X_NMAE: unknown variable, did you mean CLOUDLESS_X_NAME?"},
		{"SPOOL_MAXBYTES=x", "environment: CLOUDLESS_X_SPOOL_MAXBYTES: unknown variable, did you mean CLOUDLESS_X_SPOOL_MAX_BYTES?"},
		{"SPOOL=x", "environment: CLOUDLESS_X_SPOOL: unknown variable, did you mean CLOUDLESS_X_SPOOL_MAX_BYTES?"},
		{"=x", "environment: CLOUDLESS_X_: unknown variable; print-config lists all keys"},
		{"RETRIES=x", `environment: CLOUDLESS_X_RETRIES: want a whole number, got "x"`},
		{"VERBOSE=maybe", `environment: CLOUDLESS_X_VERBOSE: want true or false, got "maybe"`},
		{"PORT=70000", "environment: CLOUDLESS_X_PORT: port: want a whole number from 0 to 65535, got the number 70000"},
		{"SPOOL_SYNC=5", `environment: CLOUDLESS_X_SPOOL_SYNC: spool.sync: want a duration like "10s" or "1m30s", got "5"`},
		{"TARGETS=a", "environment: CLOUDLESS_X_TARGETS: targets[0]: ParseAddr(\"a\"): unable to parse IP; want a string"},
		{"TARGETS=[1", "environment: CLOUDLESS_X_TARGETS: not TOML: expected a comma (',') or array terminator (']'), but got end of file (at or after key v), in [1"},
		{"LABELS=a\nb", "environment: CLOUDLESS_X_LABELS: want one line of TOML"},
		{"LABELS={ site = 1 }", "environment: CLOUDLESS_X_LABELS: labels.site: want a string, got the number 1"},
		{"RETRIES=-1", "environment: CLOUDLESS_X_RETRIES: retries: is -1; want 0 or more"},
	} {
		_, _, err := Load(sampleDefaults(), source(t.TempDir(), "CLOUDLESS_X_"+test.variable))
		if got := fmt.Sprint(err); got != test.want {
			t.Errorf("%s:\n got %s\nwant %s", test.variable, got, test.want)
		}
	}
}

type ambiguous struct {
	AB struct {
		C string `toml:"c"`
	} `toml:"a_b"`
	A struct {
		BC string `toml:"b_c"`
	} `toml:"a"`
}

func (ambiguous) Validate() error { return nil }

func TestEnvironmentThatMayMeanTwoKeys(t *testing.T) {
	_, _, err := Load(ambiguous{}, source(t.TempDir(), "CLOUDLESS_X_A_B_C=1"))
	want := "environment: CLOUDLESS_X_A_B_C: may mean a_b.c or a.b_c; set it in a file"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
