package store

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

func TestHostsOfOneKindShareSchemas(t *testing.T) {
	s := open(t, testConfig(t.TempDir()))
	for worker := range byte(2) {
		sp := newSpooler(t)
		sp.schema(1, gauge("g", "a"))
		sp.frame(1, after(0), 1)
		send(t, openSession(t, s, testSource(worker+1, 1)), sp.drain()...)
	}
	first, second := s.workers[workerID(1)].lanes[1], s.workers[workerID(2)].lanes[1]
	if first.schema != second.schema {
		t.Error("two workers with equal schemas have two of them in memory")
	}
}

func TestUnusedPartsMakeRoom(t *testing.T) {
	config := testConfig(t.TempDir())
	s := open(t, config)
	s.catalog.limit = 64 << 10
	encoded := func(i int) []byte {
		p := gauge(fmt.Sprintf("g%d", i), strings.Repeat("x", 4000))
		b, err := frame.AppendPart(nil, p)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	session := openSession(t, s, testSource(1, 1))
	sp := newSpooler(t)
	for i := range 100 {
		sp.add(frame.KindPart, 0, encoded(i))
		send(t, session, sp.drain()...)
		awaitDurable(t, session, sp.seq)
		s.catalog.recent = nil
		runtime.GC() // parts that nobody uses are in memory no longer
	}
	parts, bytes := s.catalog.size()
	if bytes > s.catalog.limit || parts < 10 {
		t.Errorf("got %d parts of %d bytes, want some, of at most %d bytes", parts, bytes, s.catalog.limit)
	}
	onDisk := 0
	if err := s.index.eachPart(func(frame.PartID, uint32, []byte) { onDisk++ }); err != nil {
		t.Fatal(err)
	}
	if onDisk != parts {
		t.Errorf("got %d parts on disk, want the %d that are known", onDisk, parts)
	}
	// Parts in use stay, and then there is an end.
	var err error
	for i := 100; err == nil && i < 200; i++ {
		err = s.catalog.add(encoded(i))
	}
	if causeOf(t, err) != CausePartsFull {
		t.Errorf("got %v, want parts_full", err)
	}
}

func TestCarryKeepsWhatBothSchemasHave(t *testing.T) {
	mk := func(parts ...model.Part) *schema {
		var shared []*part
		for _, p := range parts {
			shared = append(shared, newPart(frame.PartID{byte(len(p.Families[0].Series)), p.Collector[0]}, 0, p))
		}
		s, err := newSchema(frame.SchemaID{byte(len(parts))}, shared)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	old := mk(gauge("g", "a", "b", "c"))
	known := newColumns(3)
	copy(known.refs, []uint64ref{1, 2, 3})
	known.setLive(0)
	known.setLive(2)
	c, fresh, left := carry(old, known, mk(gauge("g", "d", "c", "b")))
	if diff := cmp.Diff([]uint64ref{0, 3, 2}, c.refs); diff != "" {
		t.Errorf("refs (-want +got):\n%s", diff)
	}
	if fresh != 1 || len(left) != 1 || left[0] != 0 {
		t.Errorf("got fresh %d, left %v, want 1 and [0]", fresh, left)
	}
	if c.isLive(0) || !c.isLive(1) || c.isLive(2) {
		t.Errorf("got live %b, want column 1 only", c.live)
	}
}

func TestSyncerFollowsSegments(t *testing.T) {
	dir := t.TempDir()
	var synced []string
	s := newSyncer(filepath.Join(dir, "wal"))
	s.syncFile = func(path string) error {
		if _, err := os.Stat(path); err != nil {
			return err
		}
		synced = append(synced, filepath.Base(path))
		return syncPath(path)
	}
	step := func(want ...string) {
		t.Helper()
		synced = nil
		if err := s.sync(); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, synced); diff != "" {
			t.Errorf("synced (-want +got):\n%s", diff)
		}
	}
	segment := func(n int) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(s.dir, fmt.Sprintf("%08d", n)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	step() // no log yet
	if err := os.MkdirAll(filepath.Join(s.dir, "checkpoint.00000001"), 0o700); err != nil {
		t.Fatal(err)
	}
	segment(2)
	segment(3)
	step("00000002", "00000003", "wal")
	step("00000003")
	segment(4)
	segment(5)
	step("00000003", "00000004", "00000005", "wal")
	if err := os.Remove(filepath.Join(s.dir, "00000005")); err != nil {
		t.Fatal(err)
	}
	segment(6)
	step("00000006", "wal") // one that vanished is no error
}

func TestIndexOfAnotherVersionIsRefused(t *testing.T) {
	dir := t.TempDir()
	x, err := openIndex(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := setVersion(x, "2"); err != nil {
		t.Fatal(err)
	}
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := openIndex(dir); err == nil || !strings.Contains(err.Error(), `version "2"`) {
		t.Errorf("got %v, want an error about version 2", err)
	}
}
