package local

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Errors of Listen that a caller may decide on.
var (
	// ErrInUse says that another process listens there.
	ErrInUse = errors.New("another process listens there")
	// ErrNotSocket says that something else has that name. It is left alone.
	ErrNotSocket = errors.New("there is something that is no socket; move it away")
)

// maxPath is the length of the longest path of a socket, in bytes: the kernel has
// room for 108, the last of which is zero.
const maxPath = 107

// Listen makes the socket and its folder, if that is missing. A socket that a
// dead process left behind is replaced; one that is in use never is, and neither
// is anything that is no socket. Of two processes that start at once, one wins.
//
// Close removes the socket, unless it is another's by then, and may be called
// more than once.
func Listen(path string) (net.Listener, error) {
	l, err := listen(path)
	if err != nil {
		return nil, fmt.Errorf("listen on socket %q: %w", path, err)
	}
	return l, nil
}

func listen(path string) (*listener, error) {
	if err := checkPath(path); err != nil {
		return nil, err
	}
	if err := makeFolder(filepath.Dir(path)); err != nil {
		return nil, err
	}
	unlock, err := lock(path + ".lock")
	if err != nil {
		return nil, err
	}
	l := &listener{path: path, unlock: unlock}
	if err := l.bind(); err != nil {
		unlock()
		return nil, err
	}
	return l, nil
}

func checkPath(path string) error {
	switch {
	case path == "":
		return errors.New("no path")
	case path[0] == '@' || strings.ContainsRune(path, 0):
		return errors.New("want the path of a file: a socket without one has no folder to protect it")
	case len(path) > maxPath:
		return fmt.Errorf("the path has %d bytes and the system allows %d: choose a shorter one, such as /run/cloudless/NAME.sock", len(path), maxPath)
	}
	return nil
}

// makeFolder makes the folder if need be, open to all whatever the umask says,
// and refuses one in which everybody could put his socket in our place.
func makeFolder(dir string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	err := os.Mkdir(dir, 0o755)
	if err == nil {
		return os.Chmod(dir, 0o755)
	}
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%q is no folder", dir)
	}
	if info.Mode().Perm()&0o002 != 0 && info.Mode()&fs.ModeSticky == 0 {
		return fmt.Errorf("everybody may write to folder %q, and so pose as this daemon; run: chmod o-w %s", dir, dir)
	}
	return nil
}

// listener removes its own socket, and no other.
type listener struct {
	*net.UnixListener
	path   string
	made   fs.FileInfo // the socket as bind made it
	unlock func()
	close  sync.Once
	err    error
}

// bind makes the socket; the lock is held.
func (l *listener) bind() error {
	if err := removeDead(l.path); err != nil {
		return err
	}
	made, err := net.ListenUnix("unix", &net.UnixAddr{Name: l.path, Net: "unix"})
	if errors.Is(err, syscall.EADDRINUSE) { // by someone who takes no lock
		return ErrInUse
	}
	if err != nil {
		return err
	}
	made.SetUnlinkOnClose(false) // it would remove whatever has that name by then
	l.UnixListener = made
	if l.made, err = os.Lstat(l.path); err == nil {
		err = os.Chmod(l.path, 0o666)
	}
	if err != nil {
		made.Close()
	}
	return err
}

// removeDead removes a socket that nobody listens on. The lock is held: nobody
// of us makes one meanwhile.
func removeDead(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return ErrNotSocket
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	switch {
	case err == nil:
		c.Close()
		return ErrInUse
	case errors.Is(err, syscall.ECONNREFUSED):
		return os.Remove(path)
	case errors.Is(err, fs.ErrNotExist):
		return nil
	}
	return fmt.Errorf("%w, or it cannot be told: %w", ErrInUse, err) // its queue is full, for instance
}

// Close stops listening and removes the socket first, so that nobody finds one
// with nobody behind it.
func (l *listener) Close() error {
	l.close.Do(func() {
		defer l.unlock()
		if now, err := os.Lstat(l.path); err == nil && os.SameFile(now, l.made) {
			l.err = os.Remove(l.path)
		}
		l.err = errors.Join(l.err, l.UnixListener.Close())
	})
	return l.err
}
