package ctl

import (
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/api"
)

func TestBackup(t *testing.T) {
	f := newFleet(t)
	s := f.transcript(t)
	f.script("POST "+api.PathSnapshot, map[string]any{"status": "success", "data": api.Snapshot{Name: "20260201T120000.000Z",
		Path: "/var/lib/cloudless/collectord/snapshots/20260201T120000.000Z", Created: date(1), Files: 12, Bytes: 3 << 30}})
	s.run("backup", "--config", f.config)
	s.run("backup", "--config", f.config, "--name", "before-upgrade", "--output", "json")
	f.refuse("POST "+api.PathSnapshot, 409, "conflict", `store: snapshot "/srv/x": is there already`)
	s.run("backup", "--config", f.config, "--name", "x")
	f.script("POST "+api.PathSnapshotImport, map[string]any{"status": "success", "data": api.SnapshotImported{Name: "x", Created: date(1),
		Volumes: 3, Rows: 4711, Bytes: 5 << 20, Known: 2, Old: 1, Gaps: 7}})
	s.run("backup", "import", "x", "--config", f.config)
	f.script("POST "+api.PathSnapshotImport, map[string]any{"status": "success", "data": api.SnapshotImported{Name: "x", Created: date(1), Known: 5}})
	s.run("backup", "import", "x", "--config", f.config)
	s.heard = nil
	s.run("backup", "x")
	s.run("backup", "import")
	s.golden("backup.golden")
}
