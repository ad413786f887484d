package trust

import (
	"errors"
	"strings"
	"testing"
)

const someWorker = "78f6ac6d-ec8d-44cf-abc8-584e4255e9d3"

func TestParseIdentity(t *testing.T) {
	long := strings.Repeat("a", 63)
	good := map[string]Identity{
		"cloudless://lab/worker/" + someWorker:         {"lab", RoleWorker, someWorker},
		"cloudless://a/collectord/monitor-1":           {"a", RoleCollector, "monitor-1"},
		"cloudless://fleet-7/coordinatord/x":           {"fleet-7", RoleCoordinator, "x"},
		"cloudless://" + long + "/operator/alice.b_c-": {long, RoleOperator, "alice.b_c-"},
	}
	for text, want := range good {
		got, err := ParseIdentity(text)
		if err != nil || got != want {
			t.Errorf("ParseIdentity(%q) = %+v, %v; want %+v", text, got, err, want)
		}
		if got.String() != text {
			t.Errorf("%+v in text: %q, want %q", got, got.String(), text)
		}
	}
	bad := []string{
		"", "cloudless://", "cloudless:///operator/a", "cloudless://lab", "cloudless://lab/operator", "cloudless://lab/operator/",
		"cloudless://lab/operator/a/b", "https://lab/operator/a", "CLOUDLESS://lab/operator/a", "cloudless://Lab/operator/a",
		"cloudless://-lab/operator/a", "cloudless://lab-/operator/a", "cloudless://l.ab/operator/a", "cloudless://lab:1/operator/a",
		"cloudless://" + long + "a/operator/a", "cloudless://lab/root/a", "cloudless://lab/operator/A", "cloudless://lab/operator/-a",
		"cloudless://lab/operator/a?b", "cloudless://lab/operator/a#b", "cloudless://lab/operator/%61", "cloudless://lab/worker/a",
		"cloudless://lab/worker/" + strings.ToUpper(someWorker), "cloudless://lab/worker/00000000-0000-0000-0000-000000000000",
		"cloudless://me@lab/operator/a", "cloudless://lab/operator/" + long + "a", "cloudless://lab/operator/a\x00",
	}
	for _, text := range bad {
		if got, err := ParseIdentity(text); !errors.Is(err, ErrIdentity) {
			t.Errorf("ParseIdentity(%q) = %+v, %v; want ErrIdentity", text, got, err)
		}
	}
}

func TestWorkerIDOnlyOfWorkers(t *testing.T) {
	id, ok := Identity{"lab", RoleWorker, someWorker}.WorkerID()
	if !ok || id.String() != someWorker {
		t.Errorf("worker: got %v, %v; want %s", id, ok, someWorker)
	}
	if id, ok := (Identity{"lab", RoleOperator, someWorker}).WorkerID(); ok {
		t.Errorf("operator with the name of a worker: got %v, want none", id)
	}
}

func FuzzParseIdentity(f *testing.F) {
	f.Add("cloudless://lab/worker/" + someWorker)
	f.Add("cloudless://lab/collectord/monitor-1")
	f.Add("cloudless://lab/operator/%2e")
	f.Fuzz(func(t *testing.T, text string) {
		id, err := ParseIdentity(text)
		if err == nil && id.String() != text {
			t.Errorf("%q parses as %+v, which is written %q", text, id, id.String())
		}
	})
}

func TestHostNamesBecomeNames(t *testing.T) {
	for hostname, want := range map[string]string{
		"Web-1.Example.com":     "web-1.example.com",
		"-a b_c":                "a-b_c",
		"":                      "collectord",
		"...":                   "collectord",
		"gr\u00fcn":             "gr-n",
		strings.Repeat("a", 70): "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		"\u00e9x":               "x",
		"192.0.2.7":             "192.0.2.7",
		"\u0130\xff":            "i-",
		"\u00e9\u00e9":          "collectord",
	} {
		got := FitName(hostname, RoleCollector)
		if got != want {
			t.Errorf("%q: got %q, want %q", hostname, got, want)
		}
		if err := (Identity{Fleet: "lab", Role: RoleCollector, Name: got}).Validate(); err != nil {
			t.Errorf("%q: %v", hostname, err)
		}
	}
}
