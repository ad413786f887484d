package discovery

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// wire is how the Prober reaches the network; tests put their own in place.
// Used by one goroutine at a time.
type wire interface {
	// Send sends one datagram by the given route.
	Send(b []byte, by route) error
	// Source is the address that a datagram to this place would leave from, or
	// the zero Addr.
	Source(to netip.AddrPort) netip.Addr
	Close() error
}

// sockets is the wire of the real network: one socket per address family, the
// interface chosen per packet by IP_PKTINFO, which needs no privilege and
// keeps working while interfaces come and go.
type sockets struct {
	four *net.UDPConn // nil on a host without IPv4
	six  *net.UDPConn // nil on a host without IPv6
}

func openSockets() (*sockets, error) {
	four, err4 := net.ListenUDP("udp4", &net.UDPAddr{})
	six, err6 := net.ListenUDP("udp6", &net.UDPAddr{})
	if err4 != nil && err6 != nil {
		return nil, fmt.Errorf("open a socket to probe with: %w", errors.Join(err4, err6))
	}
	return &sockets{four: four, six: six}, nil
}

var errNoFamily = errors.New("this host has no socket of the address family")

func (s *sockets) Send(b []byte, by route) error {
	to := net.UDPAddrFromAddrPort(by.To)
	if by.To.Addr().Is4() {
		if s.four == nil {
			return errNoFamily
		}
		_, err := ipv4.NewPacketConn(s.four).WriteTo(b, &ipv4.ControlMessage{IfIndex: by.Index, Src: by.From.AsSlice()}, to)
		return err
	}
	if s.six == nil {
		return errNoFamily
	}
	_, err := ipv6.NewPacketConn(s.six).WriteTo(b, &ipv6.ControlMessage{IfIndex: by.Index, Src: by.From.AsSlice()}, to)
	return err
}

// Source connects a socket, which sends nothing, and looks where it stands.
func (s *sockets) Source(to netip.AddrPort) netip.Addr {
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		return netip.Addr{}
	}
	defer conn.Close()
	return addrPortOf(conn.LocalAddr()).Addr()
}

func (s *sockets) Close() error {
	var errs []error
	for _, conn := range []*net.UDPConn{s.four, s.six} {
		if conn != nil {
			errs = append(errs, conn.Close())
		}
	}
	return errors.Join(errs...)
}

// addrPortOf gives a socket's address, IPv4 as IPv4.
func addrPortOf(a net.Addr) netip.AddrPort {
	udp, ok := a.(*net.UDPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	return unmap(udp.AddrPort())
}

// unmap undoes what a socket for both families does to IPv4 addresses.
func unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }
