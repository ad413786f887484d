package fleettest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/audit"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// eventually waits until check returns nil and fails with its last error
// otherwise. It returns how long it took.
func eventually(t *testing.T, within, every time.Duration, what string, check func() error) time.Duration {
	t.Helper()
	begun := time.Now()
	ticks := time.NewTicker(every)
	defer ticks.Stop()
	for {
		err := check()
		took := time.Since(begun)
		if err == nil {
			return took
		}
		if took > within {
			t.Fatalf("%s: not within %s: %v", what, within, err)
		}
		<-ticks.C
	}
}

// isFlowing is nil for a worker whose frames have just arrived.
func isFlowing(row api.Worker) error {
	age := time.Duration(row.LastFrameAge) * time.Millisecond
	if !row.Connected || age < 0 || age > slack {
		return fmt.Errorf("connected %v, last frame %v ago", row.Connected, age)
	}
	return nil
}

// isWorking is nil for a worker that is registered besides.
func isWorking(row api.Worker) error {
	if row.State != model.Registered {
		return fmt.Errorf("%s is %v", row.Instance, row.State)
	}
	return isFlowing(row)
}

// readAudit reads an audit log, oldest first. One that is not there is empty.
func readAudit(t *testing.T, path string) []audit.Entry {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	var entries []audit.Entry
	for line := range bytes.Lines(text) {
		var entry audit.Entry
		if err := json.Unmarshal(line, &entry); err != nil {
			t.Fatalf("%s: %v in line %q", path, err, line)
		}
		entries = append(entries, entry)
	}
	return entries
}

// copyFolder copies the files of a folder, with their modes.
func copyFolder(t *testing.T, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		target := filepath.Join(to, strings.TrimPrefix(path, from))
		info, err := entry.Info()
		switch {
		case err != nil:
			return err
		case entry.IsDir():
			return os.MkdirAll(target, info.Mode().Perm())
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(target, text, info.Mode().Perm())
	})
	if err != nil {
		t.Fatal(err)
	}
}

// memTotal reads this machine's memory from /proc/meminfo, in bytes.
func memTotal(t *testing.T) float64 {
	t.Helper()
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 || fields[0] != "MemTotal:" {
		t.Fatal("/proc/meminfo does not begin with MemTotal")
	}
	return number(t, fields[1]) * 1024
}

func number(t *testing.T, text string) float64 {
	t.Helper()
	value, err := strconv.ParseFloat(text, 64)
	if err != nil {
		t.Fatal(err)
	}
	return value
}
