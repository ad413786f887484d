package discovery

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"

	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// groups joins the multicast group on interfaces, given by index. Used by one
// goroutine at a time.
type groups interface {
	Join(index int) error
	Leave(index int) error
}

// groupsOf gives the groups of a socket, or nil for one that hears IPv4 only.
func groupsOf(conn *net.UDPConn, group netip.Addr) groups {
	if addr := addrPortOf(conn.LocalAddr()).Addr(); !addr.Is6() {
		return nil
	}
	return &socketGroups{conn: ipv6.NewPacketConn(conn), group: &net.UDPAddr{IP: group.AsSlice()}}
}

type socketGroups struct {
	conn  *ipv6.PacketConn
	group *net.UDPAddr
}

func (g *socketGroups) Join(index int) error {
	err := g.conn.JoinGroup(&net.Interface{Index: index}, g.group)
	if errors.Is(err, unix.EADDRINUSE) { // joined already
		return nil
	}
	return err
}

func (g *socketGroups) Leave(index int) error {
	return g.conn.LeaveGroup(&net.Interface{Index: index}, g.group)
}

const (
	// lookInterval is how soon a new interface hears the group.
	lookInterval = 5 * time.Second
	// maxGroups bounds the memberships; the kernel charges each to the socket.
	maxGroups = 256
)

// keepJoined joins the group on every interface that comes and leaves it for
// those which went, until ctx ends. Without the leaving, the memberships of
// gone interfaces would fill the socket's allowance on a host where
// containers come and go.
func (r *Responder) keepJoined(ctx context.Context) {
	tick := time.NewTicker(lookInterval)
	defer tick.Stop()
	joined := make(map[int]bool) // by interface index
	for {
		r.joinAll(joined)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (r *Responder) joinAll(joined map[int]bool) {
	all, err := r.deps.Look()
	if err != nil {
		r.count(func(s *ResponderStats) { s.GroupErrors++ })
		r.port.log.Warn("interfaces cannot be listed", "err", err)
		return
	}
	wanted := make(map[int]string)
	for _, i := range all {
		if i.up() && i.multicast() && len(wanted) < maxGroups {
			wanted[i.Index] = i.Name
		}
	}
	for index := range joined {
		if _, ok := wanted[index]; !ok {
			_ = r.groups.Leave(index) // the interface may be gone, and its membership with it
			delete(joined, index)
		}
	}
	failed := uint64(0)
	for index, name := range wanted {
		if joined[index] {
			continue
		}
		// An interface without IPv6 refuses; it may get an address later.
		if err := r.groups.Join(index); err != nil {
			failed++
			r.port.log.Debug("multicast group not joined", "interface", name, "err", err)
			continue
		}
		joined[index] = true
	}
	r.count(func(s *ResponderStats) { s.Groups = len(joined); s.GroupErrors += failed })
}
