package sampler

import (
	"os"
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/kernel"
)

func TestLiveDump(t *testing.T) {
	path := os.Getenv("SAMPLER_DUMP")
	if path == "" {
		t.Skip("no SAMPLER_DUMP")
	}
	s, err := New(DefaultConfig(), kernel.Host(), Deps{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	snapshot, err := s.SampleOnce()
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := snapshot.WritePrometheus(f); err != nil {
		t.Fatal(err)
	}
}
