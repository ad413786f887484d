package ctl

import (
	"os"
	"testing"
	"time"
)

// The transcripts show times in UTC, and never the login of whoever tests.
func TestMain(m *testing.M) {
	time.Local = time.UTC
	dir, err := os.MkdirTemp("", "cloudlessctl-test-")
	if err != nil {
		panic(err)
	}
	os.Setenv("XDG_CONFIG_HOME", dir)
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}
