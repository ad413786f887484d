package registry

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/boltfile"
)

// Of the file, as its tests speak of them.
const (
	bucketMeta       = boltfile.BucketMeta
	bucketQuarantine = boltfile.BucketQuarantine
	keyFormat        = boltfile.KeyFormat
	valueVersion     = boltfile.ValueVersion
	valueHeader      = boltfile.ValueHeader
	maxValue         = boltfile.MaxValue
)

// TestMain fails when a goroutine of this package outlives the tests.
func TestMain(m *testing.M) {
	code := m.Run()
	if left := leaked(); code == 0 && left != "" {
		fmt.Fprintf(os.Stderr, "goroutines left behind:\n%s\n", left)
		code = 1
	}
	os.Exit(code)
}

func leaked() (left string) {
	buf := make([]byte, 1<<20)
	for range 100 {
		left = ""
		for _, stack := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
			if strings.Contains(stack, "registry.(*Registry)") {
				left += stack + "\n\n"
			}
		}
		if left == "" {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	return left
}
