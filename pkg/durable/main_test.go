package durable_test

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"
)

// seeds is how many random lives of a log the tests go through; more in a soak:
//
//	go test ./pkg/durable -run Seeds -seeds 50000
var seeds = flag.Int("seeds", 500, "random lives of a log to go through")

// TestMain fails when a test leaves goroutines behind: the package starts none.
func TestMain(m *testing.M) {
	flag.Parse()
	before := runtime.NumGoroutine()
	code := m.Run()
	if flag.Lookup("test.fuzz").Value.String() != "" {
		os.Exit(code) // the fuzzer keeps goroutines of its own
	}
	for deadline := time.Now().Add(10 * time.Second); code == 0 && runtime.NumGoroutine() > before; {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<20)
			fmt.Fprintf(os.Stderr, "goroutines left behind:\n%s", stacks[:runtime.Stack(stacks, true)])
			code = 1
		}
		time.Sleep(10 * time.Millisecond)
	}
	os.Exit(code)
}
