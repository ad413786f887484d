package trust

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// replaceFile puts data at path so that after a crash either the old or the new
// content is there, whole. The file is on disk when it returns.
func replaceFile(path string, data []byte, mode fs.FileMode) error {
	return placeFile(path, data, mode, os.Rename)
}

// createFile is replaceFile for a path that must not exist yet; otherwise it
// leaves everything as it was and returns an error wrapping fs.ErrExist.
func createFile(path string, data []byte, mode fs.FileMode) error {
	// A hard link, unlike rename, never replaces: two commands started at once
	// cannot both win.
	return placeFile(path, data, mode, os.Link)
}

func placeFile(path string, data []byte, mode fs.FileMode, place func(from, to string) error) error {
	dir, name := filepath.Split(path)
	temp, err := os.CreateTemp(dir, "."+name+".*")
	if err != nil {
		return fmt.Errorf("write %q: %w", path, err)
	}
	defer os.Remove(temp.Name()) // after a rename there is nothing left to remove
	if err := fill(temp, data, mode); err != nil {
		return fmt.Errorf("write %q: %w", path, err)
	}
	if err := place(temp.Name(), path); err != nil {
		return fmt.Errorf("write %q: %w", path, err)
	}
	if err := syncFolder(filepath.Dir(path)); err != nil {
		return fmt.Errorf("write %q: %w", path, err)
	}
	return nil
}

// fill writes, syncs and closes the file. The mode is set before the first
// byte, so a key is never readable by others, not even for a moment.
func fill(file *os.File, data []byte, mode fs.FileMode) error {
	defer file.Close()
	if err := file.Chmod(mode); err != nil {
		return err
	}
	if _, err := file.Write(data); err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	return file.Close()
}

func syncFolder(dir string) error {
	folder, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer folder.Close()
	return folder.Sync()
}
