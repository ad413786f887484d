package snapshot

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/cloudless-fleet/cloudless/pkg/durable"
)

const (
	// piece is how much is read at once, in bytes.
	piece = 1 << 20
	// syncEvery is after how many bytes of a copy it is synced.
	syncEvery = 16 << 20
)

// list returns the files of a snapshot or a store folder, sorted, by their paths in it.
func list(disk durable.FS, dir string) (files []File, err error) {
	for _, folder := range Folders() {
		found, err := disk.List(filepath.Join(dir, folder))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return nil, diskError("list", filepath.Join(dir, folder), err)
		}
		for _, info := range found {
			files = append(files, File{Path: folder + "/" + info.Name, Bytes: info.Size})
		}
	}
	slices.SortFunc(files, File.order)
	return files, nil
}

// occupied says whether a folder holds a store, a snapshot, or files of another kind.
func occupied(disk durable.FS, dir string) (bool, error) {
	files, err := list(disk, dir)
	if err != nil || len(files) > 0 {
		return true, err
	}
	others, err := disk.List(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	} else if err != nil {
		return true, diskError("list", dir, err)
	}
	return len(others) > 0, nil
}

// read goes over a file's bytes from its beginning. A file of other than that size is
// *Damage; size negative: any.
func read(ctx context.Context, disk durable.FS, name string, size int64, visit func([]byte) error) error {
	file, err := disk.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return &Damage{name, "is missing"}
	} else if err != nil {
		return diskError("open", name, err)
	}
	defer file.Close()
	b := make([]byte, piece)
	for at := int64(0); ; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := file.ReadAt(b, at)
		at += int64(n)
		if n > 0 {
			if err := visit(b[:n]); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF) && size >= 0 && at != size:
			return &Damage{name, fmt.Sprintf("has %d bytes, %d were written", at, size)}
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return &Damage{name, fmt.Sprintf("cannot be read from byte %d on: %v", at, err)}
		}
	}
}

// sum is the checksum of a file.
func sum(ctx context.Context, disk durable.FS, name string, size int64) (crc uint32, bytes int64, err error) {
	table := crc32.MakeTable(crc32.Castagnoli)
	err = read(ctx, disk, name, size, func(b []byte) error {
		crc, bytes = crc32.Update(crc, table, b), bytes+int64(len(b))
		return nil
	})
	return crc, bytes, err
}

// write makes a file, and makes its bytes last.
func write(disk durable.FS, name string, b []byte) error {
	file, err := disk.Create(name)
	if err != nil {
		return diskError("create", name, err)
	}
	if _, err = file.WriteAt(b, 0); err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return diskError("write", name, err)
	}
	return nil
}

// copyFile copies a file of a snapshot, and checks what it copies.
func copyFile(ctx context.Context, disk, to durable.FS, f File, name, target string) (err error) {
	out, err := to.Create(target)
	if err != nil {
		return diskError("create", target, err)
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	table := crc32.MakeTable(crc32.Castagnoli)
	crc, at, unsynced := uint32(0), int64(0), 0
	err = read(ctx, disk, name, f.Bytes, func(b []byte) error {
		if _, err := out.WriteAt(b, at); err != nil {
			return diskError("write", target, err)
		}
		crc, at = crc32.Update(crc, table, b), at+int64(len(b))
		if unsynced += len(b); unsynced < syncEvery {
			return nil
		}
		unsynced = 0
		if err := out.Sync(); err != nil {
			return diskError("sync", target, err)
		}
		return nil
	})
	if err == nil && crc != f.CRC {
		err = &Damage{name, "checksum does not match"}
	}
	if err == nil {
		if err = out.Sync(); err != nil {
			err = diskError("sync", target, err)
		}
	}
	return err
}

// Remove removes what was not finished: the manifest first, the files of the folders, and the
// folders. Other files stay, and with them the folder.
func Remove(disk durable.FS, dir string) error {
	remove := func(name string) error {
		if err := disk.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return diskError("remove", name, err)
		}
		return nil
	}
	for _, name := range []string{ManifestName, ManifestName + newSuffix} {
		if err := remove(filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	files, err := list(disk, dir)
	if err != nil {
		return err
	}
	for _, f := range files {
		if err := remove(filepath.Join(dir, filepath.FromSlash(f.Path))); err != nil {
			return err
		}
	}
	for _, folder := range Folders() {
		if err := remove(filepath.Join(dir, folder)); err != nil {
			return err
		}
	}
	return remove(dir)
}
