package kernel

import "golang.org/x/sys/unix"

// Statfs is how full a filesystem is.
type Statfs struct {
	BlockSize uint64 // bytes
	Blocks    uint64
	Free      uint64 // blocks
	Available uint64 // blocks, for users without privilege
	Files     uint64 // inodes
	FilesFree uint64 // inodes
}

// ReadStatfs asks the filesystem mounted at path (statfs(2)). On a dead network
// or FUSE mount it blocks, for ever if need be, and its thread with it: call it
// from a goroutine that nothing waits for. Safe for concurrent use.
func ReadStatfs(path string) (Statfs, error) {
	var raw unix.Statfs_t
	for {
		err := unix.Statfs(path, &raw)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return Statfs{}, err
		}
		return Statfs{
			BlockSize: uint64(raw.Bsize),
			Blocks:    raw.Blocks,
			Free:      raw.Bfree,
			Available: raw.Bavail,
			Files:     raw.Files,
			FilesFree: raw.Ffree,
		}, nil
	}
}
