package admission

import (
	"container/list"
	"net/netip"
	"time"

	"golang.org/x/time/rate"
)

// maxSources bounds of how many addresses the rate is remembered. When full, the
// one longest unheard of is forgotten and starts anew: whoever has that many
// addresses is held by the limit for all.
const maxSources = 16_384

// limits bounds how many requests are judged: of each address and in all. A
// second's worth may come at once. No clock inside; not safe for concurrent use.
type limits struct {
	all      *rate.Limiter
	each     int
	bySource map[netip.Addr]*list.Element
	recent   list.List // of *sourceLimit, the most recent first
}

type sourceLimit struct {
	source  netip.Addr
	limiter *rate.Limiter
}

// newLimits takes rates per second.
func newLimits(all, each int) *limits {
	return &limits{all: rate.NewLimiter(rate.Limit(all), all), each: each, bySource: make(map[netip.Addr]*list.Element)}
}

func (l *limits) allow(from netip.Addr, now time.Time) bool {
	return l.of(limitSource(from)).AllowN(now, 1) && l.all.AllowN(now, 1)
}

// limitSource is the address of IPv4, the /64 of IPv6: whoever has one address
// there has them all.
func limitSource(addr netip.Addr) netip.Addr {
	addr = addr.Unmap().WithZone("")
	if addr.Is6() {
		if prefix, err := addr.Prefix(64); err == nil {
			return prefix.Addr()
		}
	}
	return addr
}

func (l *limits) of(source netip.Addr) *rate.Limiter {
	if e, known := l.bySource[source]; known {
		l.recent.MoveToFront(e)
		return e.Value.(*sourceLimit).limiter
	}
	if l.recent.Len() >= maxSources {
		oldest := l.recent.Back()
		delete(l.bySource, oldest.Value.(*sourceLimit).source)
		l.recent.Remove(oldest)
	}
	limiter := rate.NewLimiter(rate.Limit(l.each), l.each)
	l.bySource[source] = l.recent.PushFront(&sourceLimit{source, limiter})
	return limiter
}
