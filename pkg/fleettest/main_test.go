package fleettest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// binaries is the folder of the four programs, built once for all tests.
var binaries string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if os.Geteuid() != 0 {
		return m.Run() // tests that need the programs skip themselves and say why
	}
	dir, err := os.MkdirTemp("", "cloudless-fleettest-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	// The flags are those of `make build`, so that nothing is compiled twice.
	build := exec.Command("go", "build", "-trimpath", "-o", dir, "github.com/cloudless-fleet/cloudless/cmd/...")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the programs: %v\n%s", err, out)
		return 1
	}
	binaries = dir
	return m.Run()
}

func program(name string) string { return filepath.Join(binaries, name) }
