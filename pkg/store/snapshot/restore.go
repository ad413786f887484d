package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/cloudless-fleet/cloudless/pkg/durable"
)

// restoring is the folder, in that of a store, of what is being restored.
const restoring = "restore.new"

// Restore makes a store of a snapshot, in a folder that holds none; what else is in the folder
// stays. Every file is checked. source and target may be on different disks; target is
// locked meanwhile: durable.ErrLocked when somebody has it.
//
// It fails with ErrExists when the folder holds a store, with the first *Damage, and with
// what Read says. Then the folder is as it was.
func Restore(ctx context.Context, source durable.FS, from string, target durable.FS, to string) (m Manifest, err error) {
	if m, err = Read(source, from); err != nil {
		return m, err
	}
	if err := target.MakeFolder(to); err != nil {
		return m, diskError("make folder", to, err)
	}
	lock, err := target.Lock(to)
	if err != nil {
		return m, fmt.Errorf("restore into %q: %w", to, err)
	}
	defer lock.Close()
	if _, err := Finish(target, to); err != nil { // of an earlier one
		return m, err
	}
	there, err := list(target, to)
	if err != nil {
		return m, err
	}
	if len(there) > 0 {
		return m, fmt.Errorf("restore into %q: a store %w", to, ErrExists)
	}
	begun := filepath.Join(to, restoring)
	if err := Copy(ctx, source, from, target, begun, m, func(File) bool { return true }); err != nil {
		return m, errors.Join(err, Remove(target, begun))
	}
	if err := seal(target, begun, m); err != nil {
		return m, errors.Join(err, Remove(target, begun))
	}
	_, err = Finish(target, to)
	return m, err
}

// Copy copies those files of a snapshot that are wanted into the folders of another one, and
// checks them. It does not clean up.
func Copy(ctx context.Context, source durable.FS, from string, target durable.FS, to string, m Manifest, wanted func(File) bool) error {
	for _, folder := range Folders() {
		if err := target.MakeFolder(filepath.Join(to, folder)); err != nil {
			return diskError("make folder", filepath.Join(to, folder), err)
		}
	}
	for _, f := range m.Files {
		if !wanted(f) {
			continue
		}
		path := filepath.FromSlash(f.Path)
		if err := copyFile(ctx, source, target, f, filepath.Join(from, path), filepath.Join(to, path)); err != nil {
			return err
		}
	}
	for _, folder := range Folders() {
		if err := target.SyncFolder(filepath.Join(to, folder)); err != nil {
			return diskError("sync folder", filepath.Join(to, folder), err)
		}
	}
	return nil
}

// Finish ends a restore into a store folder that was interrupted: what was copied wholly
// is moved to its place, anything less is removed. It reports whether there is a store
// by that. Who calls it has locked the folder, and opens the store afterwards.
func Finish(disk durable.FS, dir string) (restored bool, err error) {
	begun := filepath.Join(dir, restoring)
	if _, err := Read(disk, begun); errors.Is(err, ErrNone) {
		return false, Remove(disk, begun)
	} else if err != nil {
		return false, err
	}
	for _, folder := range Folders() {
		from, to := filepath.Join(begun, folder), filepath.Join(dir, folder)
		files, err := disk.List(from)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, diskError("list", from, err)
		}
		if len(files) == 0 {
			continue // it was moved, or is empty
		}
		if err := disk.Rename(from, to); err != nil {
			return false, diskError("move to its place", to, err)
		}
	}
	if err := disk.SyncFolder(begun); err != nil {
		return false, diskError("sync folder", begun, err)
	}
	if err := disk.SyncFolder(dir); err != nil {
		return false, diskError("sync folder", dir, err)
	}
	return true, Remove(disk, begun)
}
