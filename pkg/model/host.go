package model

import (
	"fmt"
	"net/netip"
	"strings"
)

// HostType says which side of the fleet a host stands on. The numbers are
// those of the legacy wire format.
type HostType int

// The host types of the legacy wire format.
const (
	HostWorker    HostType = 1
	HostCollector HostType = 2
)

func (t HostType) String() string {
	switch t {
	case HostWorker:
		return "WORKER"
	case HostCollector:
		return "COLLECTOR"
	}
	return fmt.Sprintf("HostType(%d)", int(t))
}

// Names under which the daemons announce their ports.
const (
	DaemonCollector   = "collectord"
	DaemonCoordinator = "coordinatord"
	DaemonWorker      = "workerd"
)

// Default ports of the three daemons.
const (
	PortCollector   = 9090  // TCP: metric streams and HTTPS
	PortCoordinator = 10100 // UDP: ProbeAck; TCP: control
	PortWorker      = 10300 // UDP: ProbeInit and RegisterAck
)

// PortInfo says on which port a daemon of a host listens.
type PortInfo struct {
	Daemon string
	Port   uint16
}

func (p PortInfo) String() string { return fmt.Sprintf("%s:%d", p.Daemon, p.Port) }

// HostInfo is what a host announces of itself.
type HostInfo struct {
	Hostname string
	// Addr is where the host wants to be answered. The zero Addr and the
	// unspecified addresses mean: the source of the datagram that carries it.
	Addr  netip.Addr
	Ports []PortInfo
	Type  HostType
}

// Port returns the port announced for daemon, and whether there is one.
func (h HostInfo) Port(daemon string) (port uint16, ok bool) {
	for _, p := range h.Ports {
		if p.Daemon == daemon {
			return p.Port, true
		}
	}
	return 0, false
}

// Endpoint returns where daemon of this host is reached. source, the sender of
// the datagram that carried h, stands in for an absent or unspecified address.
// It is false when the daemon is not announced or no address is known.
func (h HostInfo) Endpoint(daemon string, source netip.Addr) (at netip.AddrPort, ok bool) {
	port, ok := h.Port(daemon)
	if !ok || port == 0 {
		return netip.AddrPort{}, false
	}
	addr := h.Addr
	if !addr.IsValid() || addr.IsUnspecified() {
		addr = source
	}
	if !addr.IsValid() || addr.IsUnspecified() {
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(addr.Unmap(), port), true
}

// String gives the legacy text form, TYPE-hostname[inet] - ports: [a:1, b:2].
func (h HostInfo) String() string {
	ports := make([]string, len(h.Ports))
	for i, p := range h.Ports {
		ports[i] = p.String()
	}
	addr := ""
	if h.Addr.IsValid() {
		addr = h.Addr.String()
	}
	return fmt.Sprintf("%s-%s[%s] - ports: [%s]", h.Type, h.Hostname, addr, strings.Join(ports, ", "))
}
