package kernel

import "golang.org/x/sys/unix"

// Uname is what uname(2) says of the kernel. It is comparable.
type Uname struct{ raw unix.Utsname }

// ReadUname asks the kernel for its name.
func ReadUname() (u Uname, err error) {
	err = unix.Uname(&u.raw)
	return u, err
}

// UnameOf makes a Uname from its six texts, cut to what the kernel can hold.
func UnameOf(sysname, nodename, release, version, machine, domain string) (u Uname) {
	for _, field := range []struct {
		into []byte
		text string
	}{
		{u.raw.Sysname[:], sysname}, {u.raw.Nodename[:], nodename}, {u.raw.Release[:], release},
		{u.raw.Version[:], version}, {u.raw.Machine[:], machine}, {u.raw.Domainname[:], domain},
	} {
		copy(field.into[:len(field.into)-1], field.text)
	}
	return u
}

// Sysname is the operating system, "Linux".
func (u Uname) Sysname() string { return unix.ByteSliceToString(u.raw.Sysname[:]) }

// Nodename is the host name.
func (u Uname) Nodename() string { return unix.ByteSliceToString(u.raw.Nodename[:]) }

// Release is the kernel's release.
func (u Uname) Release() string { return unix.ByteSliceToString(u.raw.Release[:]) }

// Version says how and when the kernel was built.
func (u Uname) Version() string { return unix.ByteSliceToString(u.raw.Version[:]) }

// Machine is the hardware's name, "x86_64".
func (u Uname) Machine() string { return unix.ByteSliceToString(u.raw.Machine[:]) }

// Domainname is the NIS domain, "(none)" without one.
func (u Uname) Domainname() string { return unix.ByteSliceToString(u.raw.Domainname[:]) }
