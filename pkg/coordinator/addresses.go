package coordinator

import (
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/cloudless-fleet/cloudless/pkg/trust/token"
)

// insideOnly reports whether an interface is one of those that container engines
// and virtual machines make for themselves.
func insideOnly(name string) bool {
	return slices.ContainsFunc([]string{"docker", "br-", "veth", "virbr", "cni", "lxc"}, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
}

// dialAddresses is what join tokens tell workers to dial, unless it is
// configured: the addresses of this host that others can reach, IPv4 first.
// listening is our TCP socket's.
func dialAddresses(listening netip.AddrPort, own []net.Addr) []string {
	port := strconv.Itoa(int(listening.Port()))
	if at := listening.Addr().Unmap(); at.IsValid() && !at.IsUnspecified() {
		return []string{net.JoinHostPort(at.String(), port)}
	}
	var found []netip.Addr
	for _, a := range own {
		network, ok := a.(*net.IPNet)
		if !ok {
			continue
		}
		addr, ok := netip.AddrFromSlice(network.IP)
		if addr = addr.Unmap(); ok && addr.IsGlobalUnicast() && !slices.Contains(found, addr) {
			found = append(found, addr)
		}
	}
	slices.SortStableFunc(found, func(a, b netip.Addr) int { return a.BitLen() - b.BitLen() })
	if len(found) == 0 {
		found = []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})} // a host without a network
	}
	addresses := make([]string, 0, token.MaxAddresses)
	for _, addr := range found[:min(len(found), token.MaxAddresses)] {
		addresses = append(addresses, net.JoinHostPort(addr.String(), port))
	}
	return addresses
}
