package coordinator

import (
	"cmp"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/api/reply"
)

const (
	// maxCollectors bounds the collectors that are remembered.
	maxCollectors = 64
	// collectorMemory is for how long after its last word workers are sent to a
	// collector, and a full table forgets none before.
	collectorMemory = time.Hour
	// collectorAlive is after how long without a word a collector counts as away:
	// it says hello once a minute.
	collectorAlive = 3 * time.Minute
)

// collectors remembers where the fleet's collectors are. It is in memory only:
// each says hello once a minute. Safe for concurrent use.
type collectors struct {
	now func() time.Time
	// ownAddress reports whether an address is one of this host's.
	ownAddress func(netip.Addr) bool

	mu    sync.Mutex // guards known
	known map[string]collector
}

// collector is one of them, by the name of its certificate.
type collector struct {
	name   string
	where  api.CollectorAddress
	bundle string // digest of what it trusts
	heard  time.Time
}

func newCollectors(now func() time.Time) *collectors {
	return &collectors{now: now, ownAddress: isOwn, known: map[string]collector{}}
}

// hello takes note of a collector and tells whether workers are to be told.
func (c *collectors) hello(name string, addr netip.Addr, hello api.CollectorHello) (news bool, err error) {
	fresh := collector{name: name, bundle: hello.Bundle, heard: c.now(),
		where: api.CollectorAddress{Hostname: hello.Hostname, Host: c.hostOf(addr, hello.Address), Port: hello.Port}}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forgetLocked()
	was, known := c.known[name]
	if !known && len(c.known) >= maxCollectors {
		return false, reply.Because(reply.ErrBusy, "%d collectors are known already", maxCollectors)
	}
	c.known[name] = fresh
	return !known || was.where != fresh.where, nil
}

// hostOf is where workers find a collector; empty means on this host, whatever
// the address is by which they know it.
func (c *collectors) hostOf(addr netip.Addr, told string) string {
	if told != "" {
		parsed, err := netip.ParseAddr(told)
		if err != nil {
			return told
		}
		addr = parsed
	}
	addr = addr.Unmap()
	if !addr.IsValid() || addr.IsUnspecified() || addr.IsLoopback() || c.ownAddress(addr) {
		return ""
	}
	return addr.WithZone("").String()
}

func (c *collectors) forgetLocked() {
	now := c.now()
	for name, one := range c.known {
		if now.Sub(one.heard) > collectorMemory {
			delete(c.known, name)
		}
	}
}

// addresses lists where frames go: those that are there first, by name, so that
// all workers agree.
func (c *collectors) addresses() []api.CollectorAddress {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forgetLocked()
	now := c.now()
	all := make([]collector, 0, len(c.known))
	for _, one := range c.known {
		all = append(all, one)
	}
	away := func(one collector) int {
		if now.Sub(one.heard) > collectorAlive {
			return 1
		}
		return 0
	}
	slices.SortFunc(all, func(a, b collector) int {
		return cmp.Or(cmp.Compare(away(a), away(b)), cmp.Compare(a.name, b.name))
	})
	found := make([]api.CollectorAddress, len(all))
	for i, one := range all {
		found[i] = one.where
	}
	return found
}

// behind lists the collectors that are there and do not trust the authorities of
// the digest.
func (c *collectors) behind(digest string) (names []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	for _, one := range c.known {
		if one.bundle != digest && now.Sub(one.heard) <= collectorAlive {
			names = append(names, one.name)
		}
	}
	slices.Sort(names)
	return names
}

func (c *collectors) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.known)
}

// isOwn asks the kernel: addresses come and go.
func isOwn(addr netip.Addr) bool {
	own, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	return slices.ContainsFunc(own, func(a net.Addr) bool {
		network, ok := a.(*net.IPNet)
		if !ok {
			return false
		}
		found, ok := netip.AddrFromSlice(network.IP)
		return ok && found.Unmap() == addr
	})
}
