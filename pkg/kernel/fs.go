package kernel

import "path/filepath"

// FS says where the trees of one host are mounted. Another root than the
// host's own serves tests, recordings, and an agent in a container that sees
// the host below /host.
type FS struct {
	Proc string // normally /proc
	Sys  string // normally /sys
	Root string // normally /; holds /etc/os-release, /run/udev and the mount points
}

// Host is the tree of the host that this process runs on.
func Host() FS { return FS{Proc: "/proc", Sys: "/sys", Root: "/"} }

// ProcPath returns the path of a file below /proc.
func (fs FS) ProcPath(name string) string { return filepath.Join(fs.Proc, name) }

// SysPath returns the path of a file below /sys.
func (fs FS) SysPath(name string) string { return filepath.Join(fs.Sys, name) }

// RootPath returns the path of a file below /.
func (fs FS) RootPath(name string) string { return filepath.Join(fs.Root, name) }

// ProcFile returns the named file below /proc, not opened yet.
func (fs FS) ProcFile(name string) *File { return NewFile(fs.ProcPath(name)) }

// SysFile returns the named file below /sys, not opened yet. Attributes of
// sysfs are printed in one piece (fs/sysfs/file.c, sysfs_kf_seq_show).
func (fs FS) SysFile(name string) *File {
	f := NewFile(fs.SysPath(name))
	f.OneRead = true
	return f
}
