package snapshot

import (
	"fmt"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/durable"
	"github.com/cloudless-fleet/cloudless/pkg/durable/durabletest"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var created = time.Date(2026, 7, 1, 12, 0, 0, 5, time.UTC)

// contents are the files of a store, by path.
func contents() map[string]string {
	return map[string]string{
		"gaps/000000000001.log":    "gaps",
		"journal/000000000007.log": "the journal's first",
		"journal/000000000008.log": "",
		"schemas/000000000002.log": "names",
		"volumes/00000001.raw":     "rows, rows, rows",
		"volumes/00000002.1m":      "sums",
	}
}

// fill puts files into the folders of dir.
func fill(disk durable.FS, files map[string]string) func(dir string) (time.Time, error) {
	return func(dir string) (time.Time, error) {
		for _, folder := range Folders() {
			if err := disk.MakeFolder(dir + "/" + folder); err != nil {
				return created, err
			}
		}
		for path, text := range files {
			if err := write(disk, dir+"/"+path, []byte(text)); err != nil {
				return created, err
			}
		}
		for _, folder := range Folders() {
			if err := disk.SyncFolder(dir + "/" + folder); err != nil {
				return created, err
			}
		}
		return created, nil
	}
}

// stopping is a disk on which something happens instead of the n-th change.
type stopping struct {
	*durabletest.Disk
	left   *int
	happen func() error
}

func (s stopping) step() error {
	*s.left--
	if *s.left == 0 {
		return s.happen()
	}
	return nil
}

func (s stopping) Create(name string) (durable.File, error) {
	if err := s.step(); err != nil {
		return nil, err
	}
	file, err := s.Disk.Create(name)
	return stoppingFile{file, s}, err
}

func (s stopping) Rename(from, to string) error {
	if err := s.step(); err != nil {
		return err
	}
	return s.Disk.Rename(from, to)
}

func (s stopping) Remove(name string) error {
	if err := s.step(); err != nil {
		return err
	}
	return s.Disk.Remove(name)
}

func (s stopping) SyncFolder(dir string) error {
	if err := s.step(); err != nil {
		return err
	}
	return s.Disk.SyncFolder(dir)
}

type stoppingFile struct {
	durable.File
	on stopping
}

func (f stoppingFile) WriteAt(b []byte, off int64) (int, error) {
	if err := f.on.step(); err != nil {
		return 0, err
	}
	return f.File.WriteAt(b, off)
}

func (f stoppingFile) Sync() error {
	if err := f.on.step(); err != nil {
		return err
	}
	return f.File.Sync()
}

// holds says in what a folder differs from files; "" for nothing.
func holds(disk *durabletest.Disk, dir string, files map[string]string) string {
	for path, text := range files {
		if got, there := disk.Content(dir + "/" + path); !there || string(got) != text {
			return fmt.Sprintf("%s: there %t, %q, want %q", path, there, got, text)
		}
	}
	return ""
}
