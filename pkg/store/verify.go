package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/cloudless-fleet/cloudless/pkg/durable"
	"github.com/cloudless-fleet/cloudless/pkg/store/snapshot"
	"github.com/cloudless-fleet/cloudless/pkg/store/volume"
)

// Verified is what Verify has found.
type Verified struct {
	// Snapshot says what the folder is, when it is a snapshot; else its Name is empty.
	Snapshot
	Volumes int
	Blocks  int // in volumes
	Rows    uint64
	// Damage is everything that is not what was written, with file and, inside of files,
	// offset: *snapshot.Damage, *volume.Damage, *durable.Damage.
	Damage []error
}

// Verify reads all of a store folder that nobody has open, or of a snapshot, and changes
// nothing. Of a snapshot every file is compared with the manifest as well. disk nil is the
// operating system's.
//
// The error wraps durable.ErrLocked when the store is in use, a newer release's format, or
// durable.ErrDisk, or is that of ctx. That there is neither a store nor a
// snapshot is an error that wraps snapshot.ErrNone.
func Verify(ctx context.Context, dir string, disk volume.FS) (v Verified, err error) {
	if disk == nil {
		disk = volume.ReadOnly()
	}
	lock, err := disk.Lock(dir)
	if err != nil {
		return v, fmt.Errorf("verify %q: %w", dir, err)
	}
	defer lock.Close()
	isSnapshot, err := v.manifest(ctx, disk, dir)
	if err != nil {
		return v, err
	}
	found, err := v.volumes(ctx, disk, filepath.Join(dir, volumesName))
	if err != nil {
		return v, err
	}
	for _, name := range []string{journalName, schemasName, gapsName} {
		path := filepath.Join(dir, name)
		files, err := disk.List(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return v, fmt.Errorf("verify %q: %w", path, err)
		}
		found = found || len(files) > 0
		damage, err := durable.Check(path, disk)
		if err != nil {
			return v, fmt.Errorf("verify: %w", err)
		}
		for _, d := range damage {
			v.Damage = append(v.Damage, d)
		}
	}
	if !isSnapshot && !found {
		return v, fmt.Errorf("verify %q: %w, and no store either", dir, snapshot.ErrNone)
	}
	return v, ctx.Err()
}

// manifest compares a snapshot with its manifest.
func (v *Verified) manifest(ctx context.Context, disk volume.FS, dir string) (isSnapshot bool, err error) {
	m, damage, err := snapshot.Check(ctx, disk, dir)
	var bad *snapshot.Damage
	switch {
	case errors.Is(err, snapshot.ErrNone):
		return false, nil
	case errors.As(err, &bad):
		v.Damage = append(v.Damage, bad) // of the manifest itself; the rest can be looked at
		return true, nil
	case err != nil:
		return true, err
	}
	v.Snapshot = snapshotOf(dir, m)
	for _, d := range damage {
		v.Damage = append(v.Damage, d)
	}
	return true, nil
}

// volumes reads all volumes of a folder.
func (v *Verified) volumes(ctx context.Context, disk volume.FS, dir string) (found bool, err error) {
	files, err := disk.List(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	} else if err != nil {
		return false, fmt.Errorf("verify %q: %w", dir, err)
	}
	for _, info := range files {
		path := filepath.Join(dir, info.Name)
		if _, is := volume.NumberOf(info.Name); !is {
			if strings.HasSuffix(info.Name, ".damaged") {
				v.Damage = append(v.Damage, &volume.Damage{File: path, Length: info.Size, Why: "was set aside: nothing of it can be read"})
			}
			continue
		}
		found = true
		if err := v.volume(ctx, disk, path); err != nil {
			return true, err
		}
	}
	return found, nil
}

func (v *Verified) volume(ctx context.Context, disk volume.FS, path string) error {
	file, damage, err := volume.OpenFile(path, volume.Deps{FS: disk})
	if err != nil {
		return err
	}
	v.Volumes++
	if file != nil {
		defer file.Release()
		v.Blocks += file.Blocks()
		v.Rows += file.Info().Rows
		if damage, err = file.Verify(ctx); err != nil { // what opening has found, too
			return err
		}
	}
	for _, d := range damage {
		v.Damage = append(v.Damage, d)
	}
	return nil
}
