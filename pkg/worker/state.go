package worker

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

// Names in the state folder, besides those of package home.
const (
	tokenFile  = "join.token"
	statusFile = "status.json"
	// spoolFolder holds what the collector does not have yet.
	spoolFolder = "spool"
)

// errInUse says that a workerd runs on this state folder.
var errInUse = errors.New("in use by a running workerd")

// stateDir is the state folder. The zero value of nothing but its path.
type stateDir string

func (d stateDir) path(name string) string { return filepath.Join(string(d), name) }

// make makes the folder (0700). Made by root it is given to the user that the
// service runs as, if there is one.
func (d stateDir) make() error {
	if _, err := os.Stat(string(d)); err == nil {
		return nil
	}
	if err := os.MkdirAll(string(d), 0o700); err != nil {
		return fmt.Errorf("make state folder: %w", err)
	}
	if os.Geteuid() != 0 {
		return nil
	}
	if service, err := user.Lookup(serviceUser); err == nil {
		uid, uidErr := strconv.Atoi(service.Uid)
		gid, gidErr := strconv.Atoi(service.Gid)
		if uidErr == nil && gidErr == nil {
			return os.Chown(string(d), uid, gid)
		}
	}
	return nil
}

// lock keeps other workerds out of the folder until unlock is called, and says
// errInUse when another one is in it. It does not wait.
func (d stateDir) lock() (unlock func() error, err error) {
	folder, err := os.Open(string(d))
	if err != nil {
		return nil, fmt.Errorf("lock state folder: %w", err)
	}
	if err := syscall.Flock(int(folder.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		folder.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = errInUse
		}
		return nil, fmt.Errorf("state folder %q: %w", string(d), err)
	}
	return folder.Close, nil // closing gives the lock back
}

// handOver gives files that root has written to the owner of the folder, who is
// the daemon. Those that are not there are passed over.
func (d stateDir) handOver(paths ...string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	info, err := os.Stat(string(d))
	if err != nil {
		return err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	for _, path := range paths {
		if err := os.Lchown(path, int(owner.Uid), int(owner.Gid)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// write replaces a file of the folder (0600) as a whole. sync makes it outlive
// a power cut.
func (d stateDir) write(name string, data []byte, sync bool) error {
	temp, err := os.CreateTemp(string(d), "."+name+".*") // 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	defer os.Remove(temp.Name()) // after a rename there is nothing left to remove
	defer temp.Close()
	if _, err = temp.Write(data); err == nil && sync {
		err = temp.Sync()
	}
	if err == nil {
		err = d.handOver(temp.Name())
	}
	if err == nil {
		err = os.Rename(temp.Name(), d.path(name))
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

// wipe removes the token, the status, what was measured and not delivered, and what a
// crash has left of the writing of any file: it may be a key.
func (d stateDir) wipe() error {
	entries, err := os.ReadDir(string(d))
	if err != nil {
		return err
	}
	if err := os.RemoveAll(d.path(spoolFolder)); err != nil {
		return err
	}
	files := trust.FilesIn("", trust.RoleWorker)
	for _, entry := range entries {
		name := entry.Name()
		own := name == tokenFile || name == statusFile
		for _, file := range []string{files.Key, files.Cert, files.CA, tokenFile, statusFile} {
			own = own || strings.HasPrefix(name, "."+file+".")
		}
		if !own {
			continue
		}
		if err := os.Remove(d.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
