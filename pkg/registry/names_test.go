package registry

import (
	"fmt"
	"strings"
	"testing"
)

func TestInstanceStem(t *testing.T) {
	tests := []struct{ hostname, want string }{
		{"web", "web"},
		{"Web-1.example.org", "Web-1.example.org"},
		{"a b\tc/d\"e", "a-b-c-d-e"},
		{"kühlschrank", "k-hlschrank"},
		{"", "worker"},
		{"...", "worker"},
		{"-.x.-", "x"},
		{"\x00\xff", "worker"},
		{strings.Repeat("x", 300), strings.Repeat("x", maxStem)},
		{strings.Repeat("x", maxStem-1) + ".yy", strings.Repeat("x", maxStem-1)},
	}
	for _, test := range tests {
		got := instanceStem(test.hostname)
		if got != test.want {
			t.Errorf("stem of %q: %q, want %q", test.hostname, got, test.want)
		}
		if !validInstance(got) {
			t.Errorf("stem of %q: %q is not valid", test.hostname, got)
		}
	}
}

func TestNamesAreUnique(t *testing.T) {
	n := make(names)
	claims := []struct {
		hostname string
		want     string
	}{
		{"web", "web"}, {"web", "web-2"}, {"WEB", "WEB-3"}, {"web-5", "web-5"}, {"web", "web-4"}, {"web", "web-6"}, {"web-5", "web-5-2"},
	}
	for i, claim := range claims {
		if got := n.claim(claim.hostname, testID(i)); got != claim.want {
			t.Errorf("claim %d of %q: %q, want %q", i, claim.hostname, got, claim.want)
		}
	}
	if n.reserve("Web", testID(1)) {
		t.Error("reserved a name of another worker")
	}
	if !n.reserve("web", testID(0)) {
		t.Error("could not reserve its own name")
	}
	n.release("web", testID(1)) // not its name
	if got := n.claim("web", testID(9)); got != "web-7" {
		t.Errorf("name was freed by a worker that does not hold it: %q", got)
	}
	n.release("web", testID(0))
	if got := n.claim("web", testID(9)); got != "web" {
		t.Errorf("freed name: %q, want web", got)
	}
	if got := n.claim("web", testID(10)); got != "web-8" {
		t.Errorf("the next one: %q, want a name that is free", got)
	}
}

// Ten thousand hosts called localhost must not take a search of thousands each.
func TestManyOfOneName(t *testing.T) {
	n := make(names)
	for i := range 100_000 {
		got := n.claim("localhost", testID(i))
		if want := fmt.Sprintf("localhost-%d", i+1); i > 0 && got != want {
			t.Fatalf("claim %d: %q, want %q", i, got, want)
		}
	}
}
