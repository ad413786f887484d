package kernel

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// open opens the file. unix.Open copies the path on every call; here that is
// done once, because a file that this host does not have is tried in every
// round, and those must not allocate.
func (f *File) open() error {
	if f.pathZero == nil {
		path, err := unix.ByteSliceFromString(f.path)
		if err != nil {
			return f.pathError("open", err)
		}
		f.pathZero = path
	}
	// O_NONBLOCK: opening must not wait when someone put a pipe here.
	const flags = unix.O_RDONLY | unix.O_CLOEXEC | unix.O_NONBLOCK
	cwd := unix.AT_FDCWD
	for {
		fd, _, errno := unix.Syscall6(unix.SYS_OPENAT, uintptr(cwd), uintptr(unsafe.Pointer(&f.pathZero[0])), flags, 0, 0, 0)
		switch errno {
		case 0:
			f.fd = int(fd)
			return nil
		case unix.EINTR:
		default:
			return f.pathError("open", errno)
		}
	}
}
