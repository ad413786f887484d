package discovery

import (
	"encoding/binary"
	"net/netip"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func attribute(kind uint16, value string) []byte {
	b := binary.NativeEndian.AppendUint16(nil, uint16(4+len(value)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = append(b, value...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

func link(index uint32, arphrd uint16, flags uint32, attributes ...[]byte) syscall.NetlinkMessage {
	b := []byte{unix.AF_UNSPEC, 0}
	b = binary.NativeEndian.AppendUint16(b, arphrd)
	b = binary.NativeEndian.AppendUint32(b, index)
	b = binary.NativeEndian.AppendUint32(b, flags)
	b = binary.NativeEndian.AppendUint32(b, 0)
	for _, a := range attributes {
		b = append(b, a...)
	}
	return syscall.NetlinkMessage{Header: syscall.NlMsghdr{Type: unix.RTM_NEWLINK}, Data: b}
}

func address(index uint32, family, bits byte, attributes ...[]byte) syscall.NetlinkMessage {
	b := []byte{family, bits, 0, 0}
	b = binary.NativeEndian.AppendUint32(b, index)
	for _, a := range attributes {
		b = append(b, a...)
	}
	return syscall.NetlinkMessage{Header: syscall.NlMsghdr{Type: unix.RTM_NEWADDR}, Data: b}
}

func TestParseInterfaces(t *testing.T) {
	links := []syscall.NetlinkMessage{
		link(1, unix.ARPHRD_LOOPBACK, unix.IFF_UP|unix.IFF_LOOPBACK, attribute(unix.IFLA_IFNAME, "lo\x00")),
		link(7, unix.ARPHRD_ETHER, lanFlags, attribute(unix.IFLA_MTU, "\x01\x02\x03\x04"), attribute(unix.IFLA_IFNAME, "veth7\x00"),
			attribute(unix.IFLA_LINKINFO|unix.NLA_F_NESTED, string(append(attribute(unix.IFLA_INFO_KIND, "veth\x00"), attribute(99, "\x01")...)))),
		link(8, unix.ARPHRD_NONE, unix.IFF_UP|unix.IFF_POINTOPOINT, attribute(unix.IFLA_IFNAME, "tun0\x00")),
		link(9, unix.ARPHRD_ETHER, 0), // without a name
		{Header: syscall.NlMsghdr{Type: unix.RTM_NEWLINK}, Data: []byte{1, 2, 3}},      // too short
		{Header: syscall.NlMsghdr{Type: unix.NLMSG_DONE}, Data: make([]byte, 64)},      // another type
		link(10, unix.ARPHRD_ETHER, 0, []byte{3, 0, 3, 0}),                             // an attribute shorter than its header
		link(11, unix.ARPHRD_ETHER, 0, []byte{200, 0, byte(unix.IFLA_IFNAME), 0, 'x'}), // one longer than the message
	}
	addrs := []syscall.NetlinkMessage{
		address(1, unix.AF_INET, 8, attribute(unix.IFA_ADDRESS, "\x7f\x00\x00\x01"), attribute(unix.IFA_LOCAL, "\x7f\x00\x00\x01")),
		address(7, unix.AF_INET6, 64, attribute(unix.IFA_ADDRESS, "\xfe\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01")),
		address(7, unix.AF_INET, 24, attribute(unix.IFA_LOCAL, "\xc0\x00\x02\x05")),
		address(8, unix.AF_INET, 32, attribute(unix.IFA_ADDRESS, "\x0a\x00\x00\x02"), attribute(unix.IFA_LOCAL, "\x0a\x00\x00\x01")),
		address(99, unix.AF_INET, 24, attribute(unix.IFA_LOCAL, "\xc0\x00\x02\x05")), // of an interface that went
		address(7, unix.AF_INET, 24, attribute(unix.IFA_LOCAL, "\xc0\x00\x02")),      // three bytes
		address(7, unix.AF_INET, 77, attribute(unix.IFA_LOCAL, "\xc0\x00\x02\x05")),  // 77 bits
		address(7, unix.AF_INET, 24),
		{Header: syscall.NlMsghdr{Type: unix.RTM_NEWADDR}, Data: []byte{2}},
	}
	want := []Interface{
		{Index: 1, Name: "lo", Type: unix.ARPHRD_LOOPBACK, Flags: unix.IFF_UP | unix.IFF_LOOPBACK,
			Addrs: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/8")}},
		{Index: 7, Name: "veth7", Kind: "veth", Type: unix.ARPHRD_ETHER, Flags: lanFlags,
			Addrs: []netip.Prefix{netip.MustParsePrefix("fe80::1/64"), netip.MustParsePrefix("192.0.2.5/24")}},
		{Index: 8, Name: "tun0", Type: unix.ARPHRD_NONE, Flags: unix.IFF_UP | unix.IFF_POINTOPOINT,
			Addrs: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/32")}},
	}
	samePrefix := cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })
	if diff := cmp.Diff(want, parseInterfaces(links, addrs), samePrefix); diff != "" {
		t.Errorf("interfaces (-want +got):\n%s", diff)
	}
}

func TestSystemInterfaces(t *testing.T) {
	all, err := SystemInterfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range all {
		if i.Name == "lo" {
			if !i.loopback() || i.Type != unix.ARPHRD_LOOPBACK {
				t.Errorf("the loopback is %+v", i)
			}
			return
		}
	}
	t.Errorf("no lo among %+v", all)
}

func FuzzParseInterfaces(f *testing.F) {
	f.Add(link(7, 1, 3, attribute(unix.IFLA_IFNAME, "eth0\x00")).Data, address(7, 2, 24, attribute(unix.IFA_LOCAL, "\xc0\x00\x02\x05")).Data)
	f.Add([]byte{}, []byte{})
	f.Fuzz(func(t *testing.T, links, addrs []byte) {
		all := parseInterfaces(
			[]syscall.NetlinkMessage{{Header: syscall.NlMsghdr{Type: unix.RTM_NEWLINK}, Data: links}},
			[]syscall.NetlinkMessage{{Header: syscall.NlMsghdr{Type: unix.RTM_NEWADDR}, Data: addrs}})
		c := DefaultProberConfig()
		for _, i := range all {
			if i.Name == "" || i.Index <= 0 {
				t.Errorf("interface %+v", i)
			}
			c.choose(i)
			c.routes(i)
		}
	})
}
