package discovery

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"
)

// target is a host that is probed by unicast.
type target struct {
	name string     // as configured
	host string     // to look up
	addr netip.Addr // valid when host is an address: nothing to look up
	port uint16
}

// parseTarget reads "host", "host:port", "address" or "[v6]:port".
func parseTarget(text string, port uint16) (target, error) {
	t := target{name: text, host: text, port: port}
	if addr, err := netip.ParseAddr(text); err == nil {
		t.addr = addr.Unmap()
		return t, t.check()
	}
	if host, digits, err := net.SplitHostPort(text); err == nil {
		n, err := strconv.ParseUint(digits, 10, 16)
		if err != nil || n == 0 {
			return t, fmt.Errorf("%q: port %q: want 1 to 65535", text, digits)
		}
		t.host, t.port = host, uint16(n)
		if addr, err := netip.ParseAddr(host); err == nil {
			t.addr = addr.Unmap()
		}
	}
	return t, t.check()
}

func (t target) check() error {
	const most = 253 // of a name in the DNS
	if t.host == "" || len(t.host) > most {
		return fmt.Errorf("%q: want a host name or address", t.name)
	}
	for _, r := range t.host {
		if !t.addr.IsValid() && (r <= ' ' || r == ':' || r == '/' || r == '[' || r == ']') {
			return fmt.Errorf("%q: want host, host:port or [address]:port", t.name)
		}
	}
	return nil
}

// Bounds of one round of lookups. Together with the round's own deadline they
// keep a dead name server from delaying the broadcasts.
const (
	lookupTimeout   = 2 * time.Second
	lookupsAtOnce   = 16
	maxTargetAddrs  = 4
	targetsDeadline = 2 // the lookups' share of an interval: one half
)

// lookup is one target's answer.
type lookup struct {
	target target
	addrs  []netip.Addr
	err    error
}

// resolve looks up all targets, some at a time, and returns the answers in
// order. It has returned when every lookup has ended; each ends by ctx.
func resolve(ctx context.Context, targets []target, ask resolver) []lookup {
	answers := make([]lookup, len(targets))
	slots := make(chan struct{}, lookupsAtOnce)
	var all sync.WaitGroup
	for i, t := range targets {
		answers[i] = lookup{target: t, addrs: []netip.Addr{t.addr}}
		if t.addr.IsValid() {
			continue
		}
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			answers[i].addrs, answers[i].err = resolveOne(ctx, t.host, ask)
		})
	}
	all.Wait()
	return answers
}

// resolver looks a host name up; network is "ip".
type resolver func(ctx context.Context, network, host string) ([]netip.Addr, error)

func resolveOne(ctx context.Context, host string, ask resolver) ([]netip.Addr, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	addrs, err := ask(ctx, "ip", host)
	return addrs[:min(len(addrs), maxTargetAddrs)], err
}
