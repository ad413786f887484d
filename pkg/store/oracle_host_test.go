package store_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// chooser makes choices: a random generator, or what a fuzzer says.
type chooser interface{ IntN(n int) int }

func one[T any](c chooser, of ...T) T { return of[c.IntN(len(of))] }

// in is true once in so many cases.
func in(c chooser, cases int) bool { return c.IntN(cases) == cases-1 }

// host generates what one measures.
type host struct {
	tb      testing.TB
	chooser chooser
	layouts layouts
	machine machine
	rates   []rate
	states  map[string]*state
	counts  int  // of things that were named
	calm    bool // nothing changes, nothing is odd
}

// rate is one stream of a host.
type rate struct {
	stream model.StreamID
	every  model.Millis
	parts  []string
	layout *layout // nil: to be made
}

// state is that of a series.
type state struct {
	v      float64
	absent int // for how many rows more it is not read
}

func newHost(tb testing.TB, c chooser, l layouts, name string) *host {
	h := &host{tb: tb, chooser: c, layouts: l, states: map[string]*state{}, counts: 9}
	h.machine = machine{
		name: name, cores: 1 + c.IntN(2), disks: []string{"vda", "vdb"}[:1+c.IntN(2)], nets: []string{"lo", "eth0"}, mounts: []string{"/", "/boot", "/tmp"}[:1+c.IntN(3)],
		sensors: []string{"a", "b"}[:c.IntN(3)], handlers: []string{"/", "/api"}[:c.IntN(3)], containers: []string{"c0", "c1", "c2"}[:c.IntN(4)],
	}
	slow := one(c, 30*second, minute)
	h.rates = []rate{
		{stream: 1, every: 15 * second, parts: []string{"cpu", "load", "disk"}},
		{stream: 2, every: slow, parts: []string{"memory", "stat", "uname", "filesystem", "vmstat", "hwmon"}},
		{stream: 3, every: one(c, 10*second, 20*second, 25*second), parts: []string{"network", "http", "pressure", "container"}},
	}
	return h
}

// change has a device come or go, a container live and die, a part move to another stream.
func (h *host) change() {
	m, c := &h.machine, h.chooser
	switch c.IntN(9) {
	case 0:
		m.disks = h.plug(m.disks, "vd")
	case 1:
		m.nets = h.plug(m.nets, "veth")
	case 2:
		m.mounts = h.plug(m.mounts, "/mnt/")
	case 3:
		m.sensors = h.plug(m.sensors, "s")
	case 4:
		m.cores = 1 + c.IntN(3)
	case 5:
		h.move("load")
	case 6:
		h.move("pressure")
	default:
		m.containers = h.plug(m.containers, "c")
	}
	for i := range h.rates {
		h.rates[i].layout = nil
	}
}

// plug adds one, takes one away, or changes the order.
func (h *host) plug(list []string, prefix string) []string {
	list = slices.Clone(list)
	switch n := len(list); {
	case n == 0 || n < 4 && in(h.chooser, 2):
		h.counts++
		return append(list, fmt.Sprint(prefix, h.counts))
	case n > 1 && in(h.chooser, 4):
		slices.Reverse(list)
		return list
	default:
		at := h.chooser.IntN(n)
		return slices.Delete(list, at, at+1)
	}
}

// move has a part in one stream, or two, or none.
func (h *host) move(part string) {
	for i := range h.rates {
		r := &h.rates[i]
		r.parts = slices.DeleteFunc(slices.Clone(r.parts), func(p string) bool { return p == part })
		if in(h.chooser, 2) {
			r.parts = slices.Insert(r.parts, h.chooser.IntN(len(r.parts)+1), part)
		}
	}
}

// row measures.
func (h *host) row(r *rate, at model.Millis) []float64 {
	if r.layout == nil {
		parts := h.machine.parts(r.parts...)
		if len(parts) == 0 {
			return nil
		}
		r.layout = h.layouts.of(h.tb, parts...)
	}
	values := make([]float64, len(r.layout.columns))
	buckets := 0.0
	for i := range r.layout.columns {
		values[i] = h.value(&r.layout.columns[i], at, &buckets)
	}
	return values
}

func (h *host) value(c *column, at model.Millis, buckets *float64) float64 {
	s, choose := h.states[c.key], h.chooser
	if s == nil {
		s = &state{v: float64(choose.IntN(1_000_000))}
		if c.kind == model.Counter && in(choose, 4) {
			s.v = 0
		}
		h.states[c.key] = s
	}
	switch c.name {
	case "up", "node_uname_info":
		return 1
	case "node_time_seconds":
		return float64(at) / 1000
	case "node_memory_MemTotal_bytes", "node_boot_time_seconds", "node_network_mtu_bytes", "node_filesystem_size_bytes":
		return s.v // never changes
	case "node_hwmon_temp_celsius":
		if v, odd := h.odd(12, s); odd {
			return v
		}
	}
	if v, odd := h.odd(400, s); odd {
		return v
	}
	unit := math.Pow10(-int(c.scale))
	switch {
	case c.name == "http_request_duration_seconds_bucket":
		if c.labels.Get("le") == bounds[0] {
			*buckets = 0
		}
		*buckets += float64(choose.IntN(5))
		s.v += *buckets
	case c.kind == model.Counter || strings.HasPrefix(c.name, "node_vmstat_"):
		s.v += float64(choose.IntN(one(choose, 1, 2, 50, 100_000)))
		if !h.calm && in(choose, 300) {
			s.v = float64(choose.IntN(10)) // it begins anew
		}
	case in(choose, 2):
		s.v += float64(choose.IntN(2001) - 1000)
	}
	if in(choose, 1000) && !h.calm {
		return s.v*unit + 1e-11 // fits no scale
	}
	return s.v * unit
}

// odd is a value that is none, once in so many cases.
func (h *host) odd(cases int, s *state) (v float64, is bool) {
	if s.absent > 0 {
		s.absent--
		return model.Absent(), true
	}
	if h.calm || !in(h.chooser, cases) {
		return 0, false
	}
	switch h.chooser.IntN(6) {
	case 0:
		return math.NaN(), true
	case 1:
		return math.Inf(1), true
	case 2:
		return math.Inf(-1), true
	case 3:
		return math.Copysign(0, -1), true
	}
	s.absent = h.chooser.IntN(one(h.chooser, 1, 3, 30))
	return model.Absent(), true
}

// reboot has the counters begin anew.
func (h *host) reboot() { clear(h.states) }

// measure fills a boot with the rows from one time to another.
func (h *host) measure(b *boot, from, to model.Millis, changes int) {
	next := make([]model.Millis, len(h.rates))
	keys := make([]int, len(h.rates))
	for i := range next {
		next[i] = from + model.Millis(i)*one[model.Millis](h.chooser, 0, 0, 1, 777)
		keys[i] = one(h.chooser, 1, 4, 10, 60)
	}
	for {
		i := 0
		for k := range next {
			if next[k] < next[i] {
				i = k
			}
		}
		at := next[i]
		if at > to {
			return
		}
		if !h.calm && in(h.chooser, changes) {
			h.change()
		}
		r := &h.rates[i]
		if values := h.row(r, at); len(values) > 0 {
			b.row(r.stream, at, r.layout, values, keys[i])
		}
		next[i] += r.every
		if in(h.chooser, 150) && !h.calm {
			next[i] += r.every * model.Millis(h.chooser.IntN(30)) // rounds that were skipped
		}
	}
}
