package trust

import (
	"crypto/rand"
	"testing"
	"time"
)

// noon is the present of these tests.
func noon() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

// in returns a clock that shows noon plus d.
func in(d time.Duration) func() time.Time {
	return func() time.Time { return noon().Add(d) }
}

func newFleet(t *testing.T, fleet string) *CA {
	t.Helper()
	ca, err := NewCA(fleet, rand.Reader, noon())
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func worker() Request    { return Request{Role: RoleWorker, Name: someWorker} }
func collector() Request { return Request{Role: RoleCollector, Name: "monitor-1"} }

func issue(t *testing.T, ca *CA, req Request) Issued {
	t.Helper()
	issued, err := ca.Issue(req, rand.Reader, noon())
	if err != nil {
		t.Fatal(err)
	}
	return issued
}

func store(t *testing.T, issued Issued) Files {
	t.Helper()
	files, err := WriteCredentials(t.TempDir(), issued)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// member returns loaded credentials of a fresh certificate.
func member(t *testing.T, ca *CA, req Request, now func() time.Time) *Credentials {
	t.Helper()
	c, err := Load(store(t, issue(t, ca, req)), now)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
