package model_test

import (
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

func TestChecksOfFields(t *testing.T) {
	for _, test := range []struct {
		got  error
		want string
	}{
		{model.FieldWithin("age", time.Second, time.Second, time.Hour), ""},
		{model.FieldWithin("age", time.Hour, time.Second, time.Hour), ""},
		{model.FieldWithin("age", time.Second-1, time.Second, time.Hour), "age: 999.999999ms: want 1s to 1h"},
		{model.FieldWithin("age", 25*time.Hour, 90*time.Minute, 24*time.Hour), "age: 25h: want 1h30m to 24h"},
		{model.FieldWithin("size", 1, 4*model.KiB, model.GiB), "size: 1B: want 4KiB to 1GiB"},
		{model.FieldWithin("count", -1, 0, 10), "count: -1: want 0 to 10"},
		{model.FieldAtLeast("count", 1, 1), ""},
		{model.FieldAtLeast("count", 0, 1), "count: 0: want at least 1"},
		{model.FieldAtLeast("age", 0, time.Minute), "age: 0s: want at least 1m"},
		{model.FieldAtLeast("age", 0, time.Minute, "interval or more"), "age: 0s: want at least 1m (interval or more)"},
		{model.FieldWithin("most", 1, 2, 3, "least or more"), "most: 1: want 2 to 3 (least or more)"},
	} {
		if got := text(test.got); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestListenAddresses(t *testing.T) {
	for _, good := range []string{":9090", ":0", "0.0.0.0:1", "192.0.2.1:9090", "[::]:9090", "[fe80::1%eth0]:1", "collector.example:65535"} {
		if err := model.FieldListen("listen", good); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{"", "9090", ":", ":x", ":http", ":-1", ":65536", "host", "host:", "::1", "::1:9090", "[::1]", "a b:1", "a/b:1", "1.2.3.4:5:6"} {
		want := `listen: "` + bad + `": want host:port, or :port for all addresses of this host`
		if got := text(model.FieldListen("listen", bad)); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestDurationsAreSpeltShort(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "0s", time.Second: "1s", 90 * time.Second: "1m30s", time.Minute: "1m",
		10 * time.Minute: "10m", time.Hour: "1h", 20 * time.Hour: "20h", time.Hour + time.Second: "1h0m1s", -time.Hour: "-1h",
		time.Millisecond: "1ms", 1500 * time.Millisecond: "1.5s"} {
		got := model.FormatDuration(d)
		if back, err := time.ParseDuration(got); got != want || err != nil || back != d {
			t.Errorf("duration %v: got %q, which reads as %v, %v; want %q", d, got, back, err, want)
		}
	}
}
