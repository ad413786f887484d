package collector

import (
	"context"
	"errors"
	"path/filepath"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/api/reply"
	"github.com/cloudless-fleet/cloudless/pkg/api/snapshots"
	"github.com/cloudless-fleet/cloudless/pkg/durable"
	"github.com/cloudless-fleet/cloudless/pkg/store"
	"github.com/cloudless-fleet/cloudless/pkg/store/snapshot"
)

// snapshotShelf makes snapshots of the store for the API: by name, in one folder.
type snapshotShelf struct{ store *store.Store }

var _ snapshots.Store = snapshotShelf{}

// Snapshot implements snapshots.Store.
func (s snapshotShelf) Snapshot(ctx context.Context, name string) (api.Snapshot, error) {
	made, err := s.store.SnapshotNamed(ctx, name)
	if err != nil {
		return api.Snapshot{}, explained(err)
	}
	return api.Snapshot{Name: made.Name, Path: made.Dir, Created: made.Created.UTC(), Files: made.Files, Bytes: made.Bytes}, nil
}

// Import implements snapshots.Store.
func (s snapshotShelf) Import(ctx context.Context, name string) (api.SnapshotImported, error) {
	if !snapshot.ValidName(name) {
		return api.SnapshotImported{}, explained(store.ErrName)
	}
	done, err := s.store.Import(ctx, filepath.Join(s.store.SnapshotFolder(), name))
	if err != nil {
		return api.SnapshotImported{}, explained(err)
	}
	return api.SnapshotImported{Name: done.Name, Created: done.Created.UTC(), Volumes: done.Volumes, Rows: done.Rows, Bytes: done.Added,
		Known: done.Known, Old: done.Old, Gaps: done.Gaps}, nil
}

// explained says which kind of answer an error of the store is.
func explained(err error) error {
	var refusal *store.Refusal
	for _, known := range []struct {
		is   bool
		kind error
	}{
		{errors.Is(err, store.ErrName), reply.ErrInvalid},
		{errors.Is(err, snapshot.ErrExists), reply.ErrConflict},
		{errors.Is(err, snapshot.ErrNone), reply.ErrNotFound},
		{errors.Is(err, store.ErrBusy), reply.ErrBusy},
		{errors.Is(err, store.ErrClosed) || errors.Is(err, durable.ErrFull) || errors.As(err, &refusal), reply.ErrUnavailable},
	} {
		if known.is {
			return reply.Because(known.kind, "%v", err)
		}
	}
	return err
}
