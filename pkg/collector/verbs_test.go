package collector

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/daemon"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/trusttest"
)

// runVerb calls one of collectord's own verbs.
func runVerb(t *testing.T, cfg Config, name string, args ...string) (stdout string, err error) {
	t.Helper()
	var out bytes.Buffer
	for _, verb := range verbs() {
		if verb.Name == name {
			err := verb.Run(t.Context(), daemon.Call[Config]{Args: args, Load: func() (Config, error) { return cfg, nil }, Stdout: &out, Stderr: &out})
			return out.String(), err
		}
	}
	t.Fatalf("no verb %q", name)
	return "", nil
}

// TestABackupComesBack goes the whole way: a snapshot by the API, its check, and the restore into
// the folder of another collector.
func TestABackupComesBack(t *testing.T) {
	fleet := trusttest.New(t, "lab")
	c := newCollector(t, fleet, newOffice(row(1, registered)))
	_, operator := c.as(t, fleet, fleet.Member(trust.RoleOperator, "me"))
	_, reader := c.as(t, fleet, fleet.Member(trust.RoleCoordinator, "hq"))
	if _, err := reader.Snapshot(t.Context(), "x"); err == nil || !strings.Contains(err.Error(), "forbidden") {
		t.Errorf("one who may look: %v", err)
	}
	made, err := operator.Snapshot(t.Context(), "one")
	if err != nil {
		t.Fatal(err)
	}
	if made.Name != "one" || made.Path != filepath.Join(c.cfg.store().Dir, "snapshots", "one") || made.Files == 0 {
		t.Errorf("made is %+v", made)
	}
	for call, want := range map[string]string{"one": "conflict", "../two": "bad_data"} {
		var e *api.Error
		if _, err := operator.Snapshot(t.Context(), call); !errors.As(err, &e) || e.Type != want {
			t.Errorf("name %q: got %v, want %s", call, err, want)
		}
	}
	if done, err := operator.ImportSnapshot(t.Context(), "one"); err != nil || done.Volumes != 0 {
		t.Errorf("import: %+v, %v", done, err)
	}
	var e *api.Error
	for call, want := range map[string]string{"two": "not_found", "../one": "bad_data"} {
		if _, err := operator.ImportSnapshot(t.Context(), call); !errors.As(err, &e) || e.Type != want {
			t.Errorf("import of %q: got %v, want %s", call, err, want)
		}
	}

	cfg := c.cfg
	if out, err := runVerb(t, cfg, "verify", "one"); err != nil || !strings.Contains(out, "nothing is damaged") || !strings.Contains(out, "the store as it was at") {
		t.Errorf("verify: %s, %v", out, err)
	}
	if _, err := runVerb(t, cfg, "verify"); err == nil || !strings.Contains(err.Error(), "in use by another process") {
		t.Errorf("verify of a store that is open: %v", err)
	}
	if _, err := runVerb(t, cfg, "restore", "one"); err == nil || !strings.Contains(err.Error(), "in use by another process") {
		t.Errorf("restore into a store that is open: %v", err)
	}
	cfg.Store.Dir = filepath.Join(t.TempDir(), "store")
	if out, err := runVerb(t, cfg, "restore", made.Path); err != nil || !strings.Contains(out, "restored "+made.Path) {
		t.Errorf("restore: %s, %v", out, err)
	}
	if out, err := runVerb(t, cfg, "verify"); err != nil || !strings.Contains(out, "nothing is damaged") {
		t.Errorf("verify of what was restored: %s, %v", out, err)
	}
	if _, err := runVerb(t, cfg, "restore", made.Path); err == nil || !strings.Contains(err.Error(), "out of the way") {
		t.Errorf("a second restore: %v", err)
	}
	openStore(t, cfg.store())

	names, err := filepath.Glob(filepath.Join(made.Path, "journal", "*"))
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	if err := os.Truncate(names[len(names)-1], 10); err != nil { // of the snapshot's own
		t.Fatal(err)
	}
	damaged := cfg
	damaged.Store.Dir = t.TempDir()
	if out, err := runVerb(t, cfg, "verify", made.Path); err == nil || !strings.Contains(out, names[len(names)-1]) {
		t.Errorf("verify of what is damaged: %s, %v", out, err)
	}
	if _, err := runVerb(t, damaged, "restore", made.Path); err == nil || !strings.Contains(err.Error(), names[len(names)-1]) {
		t.Errorf("restore of what is damaged: %v", err)
	}
	var usage *daemon.UsageError
	for _, args := range [][]string{{"restore"}, {"restore", "a", "b"}, {"verify", "a", "b"}} {
		if _, err := runVerb(t, cfg, args[0], args[1:]...); !errors.As(err, &usage) {
			t.Errorf("%q: %v", args, err)
		}
	}
}
