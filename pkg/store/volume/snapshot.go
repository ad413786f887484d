package volume

import (
	"errors"
	"io/fs"
	"path/filepath"
)

// Snapshot puts all volumes that are in the set now into another folder, which is made if
// it is missing, under their names: as further names of the same files, or as copies
// where that cannot be. Open opens it. Volumes that come or go meanwhile do not matter.
//
// When it fails, the folder is left as it was, but for the folder itself.
func (s *Set) Snapshot(dir string) (err error) {
	view := s.All()
	defer view.Release()
	if err := s.deps.FS.MakeFolder(dir); err != nil {
		return diskError("make folder", dir, err)
	}
	var made []string
	defer func() {
		if err != nil {
			for _, name := range made {
				err = errors.Join(err, s.deps.FS.Remove(name))
			}
		}
	}()
	for _, f := range view.files {
		name := filepath.Join(dir, filepath.Base(f.path))
		if err := s.deps.FS.Link(f.path, name); errors.Is(err, fs.ErrExist) {
			return diskError("snapshot", name, err)
		} else if err == nil {
			made = append(made, name)
			continue
		}
		// Another device, a file system without links, or removed meanwhile: the
		// mapping is there.
		created, err := f.copyTo(name)
		if created {
			made = append(made, name)
		}
		if err != nil {
			return err
		}
	}
	if err := s.deps.FS.SyncFolder(dir); err != nil {
		return diskError("sync folder", dir, err)
	}
	return nil
}

// copyTo writes the bytes of the volume to a new file, and syncs it.
func (f *File) copyTo(name string) (created bool, err error) {
	file, err := f.deps.FS.Create(name)
	if err != nil {
		return false, diskError("copy volume", name, err)
	}
	err = Guard(func() error {
		for at := 0; at < len(f.data); at += syncEvery {
			piece := f.data[at:min(at+syncEvery, len(f.data))]
			if _, err := file.WriteAt(piece, int64(at)); err != nil {
				return err
			}
			if err := file.Sync(); err != nil {
				return err
			}
		}
		return nil
	})
	if err = errors.Join(err, file.Close()); err != nil {
		return true, diskError("copy volume", name, err)
	}
	return true, nil
}
