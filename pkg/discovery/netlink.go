package discovery

import (
	"encoding/binary"
	"fmt"
	"iter"
	"net/netip"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// SystemInterfaces asks the kernel, by rtnetlink, for the interfaces of this
// network namespace and their addresses, in the kernel's order. It needs no
// privilege.
func SystemInterfaces() ([]Interface, error) {
	links, err := dump(unix.RTM_GETLINK, unix.AF_UNSPEC)
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	addrs, err := dump(unix.RTM_GETADDR, unix.AF_UNSPEC)
	if err != nil {
		return nil, fmt.Errorf("list interface addresses: %w", err)
	}
	return parseInterfaces(links, addrs), nil
}

func dump(request, family int) ([]syscall.NetlinkMessage, error) {
	raw, err := syscall.NetlinkRIB(request, family)
	if err != nil {
		return nil, os.NewSyscallError("netlink", err)
	}
	messages, err := syscall.ParseNetlinkMessage(raw)
	return messages, os.NewSyscallError("netlink message", err)
}

// parseInterfaces puts the answers to RTM_GETLINK and RTM_GETADDR together. A
// message that is too short for its type is passed over.
func parseInterfaces(links, addrs []syscall.NetlinkMessage) []Interface {
	var out []Interface
	position := make(map[int]int) // of an interface's index in out
	for _, m := range links {
		if i, ok := parseLink(m); ok {
			position[i.Index] = len(out)
			out = append(out, i)
		}
	}
	for _, m := range addrs {
		index, addr, ok := parseAddr(m)
		if at, known := position[index]; ok && known {
			out[at].Addrs = append(out[at].Addrs, addr)
		}
	}
	return out
}

// parseLink reads an ifinfomsg: family 1, padding 1, type 2, index 4, flags 4,
// change 4, attributes.
func parseLink(m syscall.NetlinkMessage) (i Interface, ok bool) {
	if m.Header.Type != unix.RTM_NEWLINK || len(m.Data) < unix.SizeofIfInfomsg {
		return i, false
	}
	i.Type = binary.NativeEndian.Uint16(m.Data[2:])
	i.Index = int(int32(binary.NativeEndian.Uint32(m.Data[4:])))
	i.Flags = binary.NativeEndian.Uint32(m.Data[8:])
	for kind, value := range attributes(m.Data[unix.SizeofIfInfomsg:]) {
		switch kind {
		case unix.IFLA_IFNAME:
			i.Name = cString(value)
		case unix.IFLA_LINKINFO:
			for kind, value := range attributes(value) {
				if kind == unix.IFLA_INFO_KIND {
					i.Kind = cString(value)
				}
			}
		}
	}
	return i, i.Index > 0 && i.Name != ""
}

// parseAddr reads an ifaddrmsg: family 1, prefix length 1, flags 1, scope 1,
// index 4, attributes. On a point-to-point link IFA_LOCAL is ours and
// IFA_ADDRESS the peer's.
func parseAddr(m syscall.NetlinkMessage) (index int, subnet netip.Prefix, ok bool) {
	if m.Header.Type != unix.RTM_NEWADDR || len(m.Data) < unix.SizeofIfAddrmsg {
		return 0, subnet, false
	}
	bits := int(m.Data[1])
	index = int(int32(binary.NativeEndian.Uint32(m.Data[4:])))
	var local, address netip.Addr
	for kind, value := range attributes(m.Data[unix.SizeofIfAddrmsg:]) {
		switch kind {
		case unix.IFA_LOCAL:
			local, _ = netip.AddrFromSlice(value)
		case unix.IFA_ADDRESS:
			address, _ = netip.AddrFromSlice(value)
		}
	}
	if !local.IsValid() {
		local = address
	}
	subnet = netip.PrefixFrom(local, bits)
	return index, subnet, subnet.IsValid()
}

// attributes walks netlink attributes: length 2 (with this header), type 2,
// value, padding to 4. It ends at the first that does not fit.
func attributes(b []byte) iter.Seq2[uint16, []byte] {
	return func(yield func(uint16, []byte) bool) {
		for len(b) >= unix.SizeofNlAttr {
			size := int(binary.NativeEndian.Uint16(b))
			kind := binary.NativeEndian.Uint16(b[2:]) & attributeType
			if size < unix.SizeofNlAttr || size > len(b) {
				return
			}
			if !yield(kind, b[unix.SizeofNlAttr:size]) {
				return
			}
			b = b[min((size+unix.NLA_ALIGNTO-1)&^(unix.NLA_ALIGNTO-1), len(b)):]
		}
	}
}

// attributeType takes the flags off an attribute's type (NLA_TYPE_MASK).
const attributeType = 0x3fff

func cString(b []byte) string {
	text, _, _ := strings.Cut(string(b), "\x00")
	return text
}
