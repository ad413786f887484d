package local

import (
	"errors"
	"fmt"
	"net"
	"os/user"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

var errNoSocket = errors.New("not a unix socket")

// maxGroups is the kernel's own limit (NGROUPS_MAX).
const maxGroups = 65536

// peer asks the kernel who made the connection. Name is left empty.
func peer(c net.Conn) (Caller, error) {
	conn, ok := raw(c)
	if !ok {
		return Caller{}, errNoSocket
	}
	var caller Caller
	var asked error
	err := conn.Control(func(fd uintptr) { caller, asked = credentials(int(fd)) })
	return caller, errors.Join(err, asked)
}

func credentials(fd int) (Caller, error) {
	cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return Caller{}, fmt.Errorf("ask for the peer's user: %w", err)
	}
	if cred.Pid == 0 && cred.Uid == ^uint32(0) {
		return Caller{}, errors.New("ask for the peer's user: the kernel does not know it")
	}
	caller := Caller{UID: cred.Uid, GID: cred.Gid, PID: cred.Pid}
	caller.Groups, err = peerGroups(fd)
	if errors.Is(err, unix.ENOPROTOOPT) { // Linux before 4.13
		caller.Groups, err = groupsOf(cred.Uid), nil
	}
	return caller, err
}

// peerGroups asks for the supplementary groups. There is no typed call for it.
func peerGroups(fd int) ([]uint32, error) {
	groups := make([]uint32, 64)
	for {
		size := uint32(len(groups) * 4)
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_PEERGROUPS,
			uintptr(unsafe.Pointer(&groups[0])), uintptr(unsafe.Pointer(&size)), 0)
		switch {
		case errno == 0:
			return groups[:size/4], nil
		case errno == unix.ERANGE && int(size/4) > len(groups) && size/4 <= maxGroups: // size is what it takes
			groups = make([]uint32, size/4)
		default:
			return nil, fmt.Errorf("ask for the peer's groups: %w", errno)
		}
	}
}

// groupsOf is what the host's files say of a user: not what the process has, but
// the best that an old kernel leaves us. Unknown users are in no group.
func groupsOf(uid uint32) []uint32 {
	found, err := user.LookupId(strconv.FormatUint(uint64(uid), 10))
	if err != nil {
		return nil
	}
	ids, err := found.GroupIds()
	if err != nil {
		return nil
	}
	var groups []uint32
	for _, id := range ids {
		if gid, err := strconv.ParseUint(id, 10, 32); err == nil {
			groups = append(groups, uint32(gid))
		}
	}
	return groups
}
