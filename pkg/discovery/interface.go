package discovery

import (
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"
)

// Interface is a network interface as the kernel tells of it.
type Interface struct {
	Index int
	Name  string
	// Kind is the kernel's name of a virtual interface's driver ("bridge",
	// "veth", "vlan", ...), "" for hardware.
	Kind string
	// Type is the ARPHRD_ number of the link layer.
	Type uint16
	// Flags are the IFF_ bits.
	Flags uint32
	// Addrs are its addresses with the lengths of their subnets.
	Addrs []netip.Prefix
}

func (i Interface) up() bool           { return i.Flags&unix.IFF_UP != 0 }
func (i Interface) loopback() bool     { return i.Flags&unix.IFF_LOOPBACK != 0 }
func (i Interface) pointToPoint() bool { return i.Flags&unix.IFF_POINTOPOINT != 0 }
func (i Interface) multicast() bool    { return i.Flags&unix.IFF_MULTICAST != 0 }

// Skip says why an interface is not probed.
type Skip string

// The reasons to skip an interface.
const (
	SkipDown         Skip = "down"
	SkipExcluded     Skip = "excluded"
	SkipLoopback     Skip = "loopback"
	SkipBridge       Skip = "bridge"
	SkipVeth         Skip = "veth"
	SkipTunnel       Skip = "tunnel"
	SkipPointToPoint Skip = "point_to_point"
	SkipNotListed    Skip = "not_listed"
)

// choose says whether to probe an interface: "" means yes.
func (c ProberConfig) choose(i Interface) Skip {
	switch {
	case slices.Contains(c.ExcludeInterfaces, i.Name):
		return SkipExcluded
	case !i.up():
		return SkipDown
	case slices.Contains(c.Interfaces, i.Name):
		return ""
	case !c.AutoInterfaces:
		return SkipNotListed
	}
	return i.unlikeLAN()
}

// unlikeLAN says why an interface is not one with neighbours that a broadcast
// should reach. Behind bridges and veth pairs are the containers and virtual
// machines of this host, behind tunnels other sites; probing them unasked
// would find hosts twice, or others' hosts.
func (i Interface) unlikeLAN() Skip {
	if i.loopback() {
		return SkipLoopback
	}
	switch i.Kind {
	case "bridge", "openvswitch":
		return SkipBridge
	case "veth":
		return SkipVeth
	case "tun", "wireguard", "ipip", "ip6tnl", "sit", "gre", "gretap", "ip6gre", "ip6gretap", "erspan", "ip6erspan",
		"vti", "vti6", "xfrm", "vxlan", "geneve", "bareudp", "gtp", "ppp":
		return SkipTunnel
	}
	if i.pointToPoint() {
		return SkipPointToPoint
	}
	switch i.Type {
	case unix.ARPHRD_ETHER, unix.ARPHRD_INFINIBAND:
		return ""
	}
	return SkipTunnel // a link layer without an address of its own
}

// route is one packet's way: from which interface and address, to where.
type route struct {
	// Index is the interface that the packet leaves by; 0 leaves it to the
	// routing table.
	Index int
	// From is the source address; the zero Addr leaves it to the kernel.
	From netip.Addr
	To   netip.AddrPort
}

// routes lists the packets that probe an interface.
func (c ProberConfig) routes(i Interface) []route {
	if i.loopback() {
		return c.loopbackRoutes(i)
	}
	var out []route
	linkLocal := false
	for _, subnet := range i.Addrs {
		addr := subnet.Addr()
		linkLocal = linkLocal || addr.Is6() && addr.IsLinkLocalUnicast()
		to, ok := broadcast(subnet)
		if !ok {
			continue
		}
		r := route{Index: i.Index, From: addr, To: netip.AddrPortFrom(to, c.Port)}
		// A second address in the same subnet would reach the same hosts.
		if !slices.ContainsFunc(out, func(o route) bool { return o.To == r.To }) {
			out = append(out, r)
		}
	}
	if c.Multicast && linkLocal && i.multicast() {
		out = append(out, route{Index: i.Index, To: netip.AddrPortFrom(c.Group, c.Port)})
	}
	return out
}

// loopbackRoutes reaches the workers on this very host: those which listen on
// IPv4, or on a host without it those on IPv6.
func (c ProberConfig) loopbackRoutes(i Interface) []route {
	var addr netip.Addr
	for _, subnet := range i.Addrs {
		if a := subnet.Addr(); a.IsLoopback() && (!addr.IsValid() || addr.Is6() && a.Is4()) {
			addr = a
		}
	}
	if !addr.IsValid() {
		return nil
	}
	return []route{{From: addr, To: netip.AddrPortFrom(addr, c.Port)}}
}

// broadcast gives the directed broadcast address of an IPv4 subnet; there is
// none where at most two hosts fit.
func broadcast(subnet netip.Prefix) (netip.Addr, bool) {
	if !subnet.Addr().Is4() || subnet.Bits() > 30 || subnet.Bits() < 1 {
		return netip.Addr{}, false
	}
	b := subnet.Addr().As4()
	for bit := subnet.Bits(); bit < 32; bit++ {
		b[bit/8] |= 0x80 >> (bit % 8)
	}
	return netip.AddrFrom4(b), true
}
