package store

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/store/snapshot"
)

var (
	// ErrClosed says that the store was closed.
	ErrClosed = errors.New("the store is closed")
	// ErrBusy says that another snapshot is being made, or another import is under way.
	ErrBusy = errors.New("another one is under way")
)

// Snapshot is a store's state in a folder: what the store had when it was made.
type Snapshot struct {
	Name    string // last element of Dir
	Dir     string
	Created time.Time
	Files   int
	Bytes   int64 // of all files; those that the store has as well take no room of their own
}

// Snapshot makes a snapshot in a folder that is not there yet, while everything goes on. It
// holds everything that was appended before the call, and is a store folder by itself:
// Restore, or opening a copy of it, gives a store that answers as this one does now.
// A snapshot is never removed by the store.
//
// Sealed data is linked where the folder is on the store's disk, and copied elsewhere. All
// files are read once for their checksums, at the disk's speed; passes and retention
// wait only while files are linked or copied.
//
// The error wraps snapshot.ErrExists, durable.ErrFull, durable.ErrDisk, ErrBusy or
// ErrClosed, or is that of ctx; then nothing is left.
func (s *Store) Snapshot(ctx context.Context, dir string) (Snapshot, error) {
	if !s.saving.TryLock() {
		return Snapshot{}, fmt.Errorf("store: snapshot: %w", ErrBusy)
	}
	defer s.saving.Unlock()
	started := time.Now()
	made, err := snapshot.Create(ctx, s.deps.FS, dir, s.saveTo)
	if err != nil {
		return Snapshot{}, fmt.Errorf("store: snapshot: %w", err)
	}
	info := snapshotOf(dir, made)
	s.log.Info("snapshot made", "path", dir, "files", info.Files, "bytes", info.Bytes, "duration", time.Since(started).Round(time.Millisecond))
	return info, nil
}

func snapshotOf(dir string, m snapshot.Manifest) Snapshot {
	return Snapshot{Name: filepath.Base(dir), Dir: dir, Created: m.Created, Files: len(m.Files), Bytes: m.Bytes()}
}

// saveTo puts the store's state into the folders of a snapshot.
//
// No rows move meanwhile, so volumes and journal are of one state. The journal comes first:
// what it speaks of was in the log of names and in the ledger before, so they have it
// when it is their turn. What they have beyond that does no harm: names without
// data, and reasons for refusals of records that a worker will send again.
func (s *Store) saveTo(dir string) (at time.Time, err error) {
	s.passing.Lock()
	defer s.passing.Unlock()
	if s.closing.Load() {
		return at, ErrClosed
	}
	at = s.now()
	for _, part := range []struct {
		name string
		save func(dir string) error
	}{
		{journalName, s.journal.Snapshot},
		{schemasName, s.schemaLog.snapshot},
		{gapsName, s.ledger.Snapshot},
		{volumesName, s.volumes.Snapshot},
	} {
		if err := part.save(filepath.Join(dir, part.name)); err != nil {
			return at, err
		}
	}
	return at, nil
}

// SnapshotFolder is where snapshots are kept that are made by name.
func (s *Store) SnapshotFolder() string { return s.config.SnapshotFolder() }

// SnapshotNamed makes a snapshot in SnapshotFolder. Without a name it is called by the
// time, in UTC. The error wraps ErrName when the name is none.
func (s *Store) SnapshotNamed(ctx context.Context, name string) (Snapshot, error) {
	if name == "" {
		name = s.now().UTC().Format("20060102T150405.000Z")
	}
	if !snapshot.ValidName(name) || len(name) > maxSnapshotName {
		return Snapshot{}, fmt.Errorf("%w: %.80q", ErrName, name)
	}
	return s.Snapshot(ctx, filepath.Join(s.SnapshotFolder(), name))
}

// maxSnapshotName is how many bytes a snapshot's name may have.
const maxSnapshotName = 100

// ErrName says that a snapshot cannot be called so.
var ErrName = errors.New("want a name of letters, digits, dots, dashes and underscores that begins with none of the dots, 100 at most")
