package snapshot

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/durable"
)

// newSuffix is that of a snapshot's folder, and of the manifest, until it is complete.
const newSuffix = ".new"

// Create makes a snapshot. fill puts the files into the folder that it is given, and returns
// at what time they were so; they are synced, and so are the names in the folders. All
// files are read once more, for their checksums.
//
// dir must not be there, or be empty: ErrExists. What is left of a snapshot of that name that
// was not finished is removed. After an error nothing is left, if the disk allows it.
// One Create of a name at a time.
func Create(ctx context.Context, disk durable.FS, dir string, fill func(dir string) (time.Time, error)) (m Manifest, err error) {
	if there, err := occupied(disk, dir); err != nil {
		return m, err
	} else if there {
		return m, fmt.Errorf("snapshot %q: %w", dir, ErrExists)
	}
	begun := dir + newSuffix
	if err := Remove(disk, begun); err != nil {
		return m, err
	}
	if err := disk.MakeFolder(begun); err != nil {
		return m, diskError("make folder", begun, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, Remove(disk, begun))
		}
	}()
	if m.Created, err = fill(begun); err != nil {
		return m, err
	}
	if m.Files, err = sums(ctx, disk, begun); err != nil {
		return m, err
	}
	if err := seal(disk, begun, m); err != nil {
		return m, err
	}
	if err := disk.Rename(begun, dir); err != nil {
		return m, diskError("name snapshot", dir, err)
	}
	if err := disk.SyncFolder(filepath.Dir(dir)); err != nil {
		return m, errors.Join(diskError("sync folder", filepath.Dir(dir), err), Remove(disk, dir))
	}
	return m, nil
}

// sums reads all files in a folder.
func sums(ctx context.Context, disk durable.FS, dir string) ([]File, error) {
	files, err := list(disk, dir)
	if err != nil {
		return nil, err
	}
	for i := range files {
		f := &files[i]
		if f.CRC, f.Bytes, err = sum(ctx, disk, filepath.Join(dir, filepath.FromSlash(f.Path)), -1); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// seal writes the manifest, behind everything else.
func seal(disk durable.FS, dir string, m Manifest) error {
	for _, folder := range Folders() {
		if err := disk.MakeFolder(filepath.Join(dir, folder)); err != nil {
			return diskError("make folder", filepath.Join(dir, folder), err)
		}
	}
	if err := disk.SyncFolder(dir); err != nil {
		return diskError("sync folder", dir, err)
	}
	name := filepath.Join(dir, ManifestName)
	if err := write(disk, name+newSuffix, m.Append(nil)); err != nil {
		return err
	}
	if err := disk.Rename(name+newSuffix, name); err != nil {
		return diskError("name manifest", name, err)
	}
	if err := disk.SyncFolder(dir); err != nil {
		return diskError("sync folder", dir, err)
	}
	return nil
}
