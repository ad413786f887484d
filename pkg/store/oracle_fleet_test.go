package store_test

import (
	"fmt"
	"slices"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// script is what happens to a store: steps in order of the time at which they reach it.
type script struct {
	chooser chooser
	driver  *driver
	steps   []step
}

type step struct {
	at model.Millis
	do func()
}

// fleet says how a fleet is made.
type fleet struct {
	hosts    int
	from, to model.Millis
	least    model.Millis // how long a process of a host lasts at least
	changes  int          // of the schema: once in so many rows
	calm     bool
	slower   model.Millis // how many times as long it is between two rows as usual; 0: once
	// passes is how often something happens to the store between two steps: once in
	// so many; 0: never.
	passes int
}

// generate makes a fleet and gives it to the driver's store.
func (f fleet) generate(d *driver, c chooser) {
	s := &script{chooser: c, driver: d}
	l := layouts{}
	for i := range f.hosts {
		name := fmt.Sprintf("host%02d", i)
		if i > 5 && in(c, 8) {
			name = "host03" // a cloned disk: another worker, the same labels
		}
		h := newHost(d.tb, c, l, name)
		h.calm = f.calm || in(c, 10)
		for k := range h.rates {
			h.rates[k].every *= max(f.slower, 1)
		}
		s.host(f, h, d.worker(name))
	}
	s.rules(f)
	s.run(f.passes)
}

// host writes the life of a host down.
func (s *script) host(f fleet, h *host, w *worker) {
	c := s.chooser
	at := f.from
	if in(c, 2) {
		at += model.Millis(c.IntN(int(f.to-f.from)/2 + 1))
	}
	if in(c, 3) {
		at += model.Millis(c.IntN(15_000)) // its clock's own phase
	} else {
		at -= at % (15 * second)
	}
	for n := 0; at < f.to && n < 5; n++ {
		end := f.to
		if in(c, 2) {
			end = min(end, at+f.least+model.Millis(c.IntN(int(f.to-f.from)+1)))
		}
		b := newBoot(model.BootIDFrom([16]byte{2, byte(w.number), byte(n + 1)}))
		h.measure(b, at, end, f.changes)
		if n > 0 && in(c, 3) {
			name := one(c, fmt.Sprintf("host%02d", w.number-1), fmt.Sprint("renamed", w.number, n))
			s.steps = append(s.steps, step{at, func() { w.rename(name) }})
		}
		s.spool(f, w, b, at, end)
		at = end + one(c, 15*second, minute, 10*minute, 40*minute)
		if in(c, 3) {
			at = end + minute + model.Millis(c.IntN(100_000))
			gone := end + one(c, 0, 30*second, minute)
			s.steps = append(s.steps, step{gone + 10*second, func() { s.driver.stale(w, gone) }})
		} else if in(c, 4) {
			at = end - at%minute%one(c, minute, 7*second) // two at once
		}
		if in(c, 2) {
			h.reboot()
		}
	}
}

// spool has the records of a boot delivered: most live, some later by backfill, some twice.
func (s *script) spool(f fleet, w *worker, b *boot, from, to model.Millis) {
	c := s.chooser
	n := uint64(len(b.records))
	first, at := uint64(1), from
	for first <= n {
		last := min(n, first+uint64(c.IntN(one(c, 3, 30, 300))))
		for i := first; i <= last; i++ {
			at = max(at, b.records[i-1].at)
		}
		number := first
		deliver := func(at model.Millis, backfill bool) {
			sparing := in(c, 3)
			s.steps = append(s.steps, step{at, func() { s.driver.deliver(w, b, number, last, backfill, sparing) }})
		}
		switch c.IntN(8) {
		default:
			deliver(at, false)
		case 1:
			deliver(at+model.Millis(c.IntN(int(f.to-f.from))), true)
		case 2:
			deliver(at+model.Millis(c.IntN(int(hour))), true)
		case 3:
			deliver(at+model.Millis(c.IntN(int(hour))), in(c, 2))
			deliver(at+model.Millis(c.IntN(int(hour))), true)
		}
		first = last + 1
	}
}

// run does all steps in order.
func (s *script) run(passes int) {
	slices.SortStableFunc(s.steps, func(a, b step) int { return int(a.at - b.at) })
	for _, step := range s.steps {
		step.do()
		if passes > 0 && in(s.chooser, passes) {
			switch s.chooser.IntN(3) {
			case 0:
				s.driver.reopen()
			case 1:
				s.driver.pass()
				s.driver.reopen()
			default:
				s.driver.pass()
			}
		}
	}
}
