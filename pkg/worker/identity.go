package worker

import (
	"net"
	"net/netip"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/cloudless-fleet/cloudless/pkg/crm"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// identity is what the worker says of itself in a ProbeAck.
type identity struct {
	id        model.WorkerID
	fleet     string
	hostname  string // "": the kernel's, asked anew for every answer
	kernel    func() (hostname string, err error)
	address   netip.Addr
	port      uint16 // of the responder
	keepAlive time.Duration
	version   string
}

// ack is the answer to a probe. Without a configured address it names the one
// by which this host reaches the coordinator.
func (i identity) ack(to netip.AddrPort) *crm.ProbeAck {
	info := model.HostInfo{Hostname: i.hostname, Addr: i.address, Type: model.HostWorker,
		Ports: []model.PortInfo{{Daemon: model.DaemonWorker, Port: i.port}}}
	if info.Hostname == "" {
		info.Hostname = i.kernelName()
	}
	if !info.Addr.IsValid() {
		info.Addr = localAddress(to)
	}
	return &crm.ProbeAck{Info: info, Ext: &crm.ProbeAckExt{WorkerID: i.id, KeepAlive: i.keepAlive,
		Version: i.version[:min(len(i.version), maxVersion)]}}
}

// maxVersion is what crm.ProbeAckExt holds, in bytes. Versions are ASCII; one
// with a long suffix is cut rather than the worker kept out.
const maxVersion = 64

// kernelName is the kernel's name of this host, made fit for a packet: the
// kernel takes any bytes, and none at all. A worker whose host has no usable
// name is called by its id.
func (i identity) kernelName() string {
	name, _ := i.kernel() // empty on error
	name = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsGraphic(r) {
			return '-'
		}
		return r
	}, name)
	if crm.CheckHostname(name) != nil {
		return i.id.String()
	}
	return name
}

// localAddress is the source address that the kernel takes for packets to a
// peer, or the zero Addr. Connecting a UDP socket sends nothing.
func localAddress(to netip.AddrPort) netip.Addr {
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		return netip.Addr{}
	}
	defer conn.Close()
	local, ok := conn.LocalAddr().(*net.UDPAddr)
	if !ok {
		return netip.Addr{}
	}
	addr := local.AddrPort().Addr().Unmap()
	if addr.Zone() != "" {
		return netip.Addr{} // of no use on another host; the datagram's source serves
	}
	return addr
}
