package audit

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// How much strangers can make the log grow: all together about 4 MiB a day, for
// which nothing else drops out of a default log within a month.
const (
	foldFirst  = 3                // entries of a source that are written as they are
	foldWindow = 10 * time.Minute // then the others are counted for so long
	foldTracks = 1024             // sources known at a time; others share one count
	budgetMost = 100              // entries of all sources at once
	budgetTick = 10 * time.Second // and one more for each of these
)

// fold counts what strangers cause. It is pure but for its memory, and not safe
// for concurrent use.
type fold struct {
	tracks map[track]*count
	oldest time.Time // no count began earlier; zero: there is none
	budget int
	filled time.Time // when budget was last added to
}

// track is what is counted together.
type track struct{ what, source string }

type count struct {
	began       time.Time
	written     int
	n           int   // counted, not written
	last        Entry // the last one counted
	first       time.Time
	severalWhos bool
}

const manySources = "many addresses"

func newFold() fold { return fold{tracks: map[track]*count{}, budget: budgetMost} }

// take reports whether e is counted and not to be written.
func (f *fold) take(e Entry, now time.Time) bool {
	if !byStrangers(e.What) {
		return false
	}
	own := track{e.What, source(e.From)}
	c := f.tracks[own]
	if c == nil && len(f.tracks) < foldTracks {
		c = f.begin(own, now)
	}
	if c != nil && c.written < foldFirst && f.spend(now) {
		c.written++
		return false
	}
	if c == nil || c.written == 0 { // unknown, or there is no room for even one entry of it
		own.source = manySources
		if c = f.tracks[own]; c == nil {
			c = f.begin(own, now) // one for each word: they are beyond foldTracks
		}
	}
	c.add(e)
	return true
}

func (f *fold) begin(own track, now time.Time) *count {
	c := &count{began: now}
	f.tracks[own] = c
	if f.oldest.IsZero() || now.Before(f.oldest) {
		f.oldest = now
	}
	return c
}

func (c *count) add(e Entry) {
	if c.n == 0 {
		c.first = e.At
	}
	c.severalWhos = c.severalWhos || c.n > 0 && c.last.Who != e.Who
	c.n++
	c.last = e
}

// spend takes one entry from the budget of all.
func (f *fold) spend(now time.Time) bool {
	if ticks := now.Sub(f.filled) / budgetTick; ticks > 0 || now.Before(f.filled) {
		f.budget = min(budgetMost, f.budget+int(min(max(ticks, 0), budgetMost)))
		f.filled = now
	}
	if f.budget <= 0 {
		return false
	}
	f.budget--
	return true
}

// due returns an entry for each count whose time is over, oldest first, and
// forgets them.
func (f *fold) due(now time.Time) []Entry {
	over := func(began time.Time) bool { return now.Sub(began) >= foldWindow || now.Before(began) }
	if f.oldest.IsZero() || !over(f.oldest) {
		return nil // nearly always, and every entry asks
	}
	return f.end(func(c *count) bool { return over(c.began) })
}

// all does the same for every count.
func (f *fold) all() []Entry { return f.end(func(*count) bool { return true }) }

func (f *fold) end(over func(*count) bool) []Entry {
	var entries []Entry
	f.oldest = time.Time{}
	for key, c := range f.tracks {
		if !over(c) {
			if f.oldest.IsZero() || c.began.Before(f.oldest) {
				f.oldest = c.began
			}
			continue
		}
		delete(f.tracks, key)
		if c.n > 0 {
			entries = append(entries, c.entry(key))
		}
	}
	slices.SortFunc(entries, func(a, b Entry) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.From, b.From), cmp.Compare(a.What, b.What))
	})
	return entries
}

// entry tells of all that were counted: it is the last one, with their number.
func (c *count) entry(key track) Entry {
	e := c.last
	if c.severalWhos {
		e.Who = "several"
	}
	if key.source == manySources || c.n > 1 {
		e.On = ""
	}
	e.From = key.source
	e.Detail = fmt.Sprintf("%d more", c.n)
	e.More = map[string]string{"count": strconv.Itoa(c.n), "first": c.first.UTC().Format(time.RFC3339), "last": c.last.Detail}
	return e
}

// source is what an address is counted under: itself without a port, for IPv6
// the /64, of which a single host has all addresses.
func source(from string) string {
	addr, err := netip.ParseAddr(from)
	if err != nil {
		port, portErr := netip.ParseAddrPort(from)
		if portErr != nil {
			return model.Line(from, maxName)
		}
		addr = port.Addr()
	}
	addr = addr.Unmap().WithZone("")
	if addr.Is6() {
		prefix, _ := addr.Prefix(64)
		return prefix.String()
	}
	return addr.String()
}
