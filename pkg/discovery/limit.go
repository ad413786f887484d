package discovery

import (
	"container/list"
	"net/netip"
	"time"

	"golang.org/x/time/rate"
)

// maxAddresses bounds how many addresses' rates are remembered. When full,
// the one longest unheard of is forgotten and starts anew: whoever forges that
// many sources is held by the limit for all.
const maxAddresses = 16384

// verdict says whether a reply may be sent.
type verdict uint8

const (
	allowed verdict = iota
	limitedAddress
	limitedAll
)

// limits bounds how many replies are sent: to each address, and in all. A
// second's worth may go at once. No clock inside.
type limits struct {
	all *rate.Limiter
	addresses
}

// addresses are the rates of single addresses.
type addresses struct {
	each      int // per second
	byAddress map[netip.Addr]*list.Element
	recent    list.List // of *addressLimit, the most recent first
}

type addressLimit struct {
	address netip.Addr
	limiter *rate.Limiter
}

// newLimits takes rates in replies per second.
func newLimits(all, each int) *limits {
	return &limits{all: rate.NewLimiter(rate.Limit(all), all), addresses: newAddresses(each)}
}

func newAddresses(each int) addresses {
	return addresses{each: each, byAddress: make(map[netip.Addr]*list.Element)}
}

func (l *addresses) len() int { return len(l.byAddress) }

// allow says whether a reply to a packet from source may go to another
// address. Both are counted: the source is who asks, but it is the other that
// would suffer, and it was read from the packet.
func (l *limits) allow(source, to netip.Addr, now time.Time) verdict {
	if !l.allowEach(source, to, now) {
		return limitedAddress
	}
	if !l.all.AllowN(now, 1) {
		return limitedAll
	}
	return allowed
}

// allowEach is allow without the limit for all.
func (l *addresses) allowEach(source, to netip.Addr, now time.Time) bool {
	return l.of(source).AllowN(now, 1) && (to == source || l.of(to).AllowN(now, 1))
}

// spent reports whether an address has used up its rate. It remembers nothing.
func (l *addresses) spent(address netip.Addr, now time.Time) bool {
	e, ok := l.byAddress[address]
	return ok && e.Value.(*addressLimit).limiter.TokensAt(now) < 1
}

// spend counts one, allowed or not.
func (l *addresses) spend(address netip.Addr, now time.Time) { l.of(address).AllowN(now, 1) }

func (l *addresses) of(address netip.Addr) *rate.Limiter {
	if e, ok := l.byAddress[address]; ok {
		l.recent.MoveToFront(e)
		return e.Value.(*addressLimit).limiter
	}
	if l.recent.Len() == maxAddresses {
		oldest := l.recent.Back()
		delete(l.byAddress, oldest.Value.(*addressLimit).address)
		l.recent.Remove(oldest)
	}
	limiter := rate.NewLimiter(rate.Limit(l.each), l.each)
	l.byAddress[address] = l.recent.PushFront(&addressLimit{address: address, limiter: limiter})
	return limiter
}
