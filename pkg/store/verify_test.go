package store

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/durable"
	"github.com/cloudless-fleet/cloudless/pkg/store/snapshot"
)

func TestVerifyReadsAStoreAndChangesNothing(t *testing.T) {
	s := open(t, testConfig(t.TempDir()))
	fill(t, s)
	dir := s.config.Dir
	if _, err := Verify(t.Context(), dir, nil); !errors.Is(err, durable.ErrLocked) {
		t.Errorf("of an open store: %v", err)
	}
	closeStore(t, s)
	found, err := Verify(t.Context(), dir, nil)
	if err != nil || len(found.Damage) > 0 || found.Name != "" || found.Volumes != 2 || found.Blocks != 2 || found.Rows != 20 {
		t.Errorf("%+v, %v", found, err)
	}
	for _, pattern := range []string{"volumes/*.raw", "journal/*.log", "schemas/*.log", "gaps/*.log"} {
		names, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil || len(names) == 0 {
			t.Fatal(names, err)
		}
		whole, err := os.ReadFile(names[0])
		if err != nil {
			t.Fatal(err)
		}
		broken := append([]byte(nil), whole...)
		broken[70] ^= 8
		if err := os.WriteFile(names[0], broken, 0o600); err != nil {
			t.Fatal(err)
		}
		found, err := Verify(t.Context(), dir, nil)
		if err != nil || len(found.Damage) == 0 || !strings.Contains(found.Damage[0].Error(), names[0]) {
			t.Errorf("%s: %+v, %v", pattern, found, err)
		}
		if now, err := os.ReadFile(names[0]); err != nil || string(now) != string(broken) {
			t.Errorf("%s was changed: %v", names[0], err)
		}
		if err := os.WriteFile(names[0], whole, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Verify(t.Context(), t.TempDir(), nil); !errors.Is(err, snapshot.ErrNone) {
		t.Errorf("of an empty folder: %v", err)
	}
}

func TestVerifyReadsASnapshot(t *testing.T) {
	s := open(t, testConfig(t.TempDir()))
	fill(t, s)
	at := filepath.Join(t.TempDir(), "one")
	made := takeSnapshot(t, s, at)
	found, err := Verify(t.Context(), at, nil)
	if err != nil || len(found.Damage) > 0 || found.Snapshot.Files != made.Files || found.Name != "one" || found.Volumes != 2 {
		t.Errorf("%+v, %v", found, err)
	}
	for _, damage := range []func() error{
		func() error { return os.Remove(filepath.Join(at, "volumes", "00000001.raw")) },
		func() error {
			return os.WriteFile(filepath.Join(at, "journal", "000000000099.log"), []byte("x"), 0o600)
		},
		func() error { return os.Truncate(filepath.Join(at, snapshot.ManifestName), 100) },
	} {
		if err := damage(); err != nil {
			t.Fatal(err)
		}
		if again, err := Verify(t.Context(), at, nil); err != nil || len(again.Damage) <= 0 {
			t.Errorf("%+v, %v", again, err)
		}
	}
}
