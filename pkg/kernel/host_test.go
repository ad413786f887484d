package kernel

import (
	"os"
	"path/filepath"
	"testing"
)

// hostSmall is a recorded host with what this machine lacks added by hand: an
// ATA disk, a logical volume, throttling. Names that hold a colon on a real host
// have an equals sign: colons are not allowed in files of a Go module.
const hostSmall = "testdata/host-small"

func recorded(t testing.TB, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(hostSmall, name))
	if err != nil {
		t.Fatal(err)
	}
	return content
}
