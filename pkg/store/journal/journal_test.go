package journal_test

import (
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/store/journal"
)

func open(t testing.TB, dir string, opts journal.Options) *journal.Journal {
	t.Helper()
	j, found, err := journal.Open(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range found {
		t.Errorf("reported is %v", d)
	}
	t.Cleanup(func() { j.Close() })
	return j
}
