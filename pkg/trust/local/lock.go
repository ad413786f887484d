package local

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// lock holds a file of its own for as long as the socket is there, or ErrInUse.
// Looking whether a socket is dead and removing it are two steps; without a lock
// the second could hit what another process has put there in between. The folder
// itself would not do: every user of the host could lock it and keep us out.
func lock(path string) (unlock func(), err error) {
	for range 16 { // a holder that ends while we wait for it removes the file
		file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW, 0o600)
		if err != nil {
			return nil, fmt.Errorf("lock: %w", err)
		}
		if err := flock(file); err != nil {
			file.Close()
			if errors.Is(err, syscall.EWOULDBLOCK) {
				return nil, ErrInUse
			}
			return nil, fmt.Errorf("lock %q: %w", path, err)
		}
		held, heldErr := file.Stat()
		named, namedErr := os.Lstat(path)
		if heldErr == nil && namedErr == nil && os.SameFile(held, named) {
			return func() {
				os.Remove(path) // while it is held: nobody else has it locked
				file.Close()
			}, nil
		}
		file.Close()
	}
	return nil, ErrInUse
}

func flock(file *os.File) error {
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err != syscall.EINTR {
			return err
		}
	}
}
