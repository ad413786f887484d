package fleettest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// TestTheWholeWay follows a fleet of three from the first broadcast over
// measured values to the death and return of a worker and of both servers.
func TestTheWholeWay(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10.77.1.0/24", "w1", "w2", "w3")
	names := []string{"w1", "w2", "w3"}
	f.startWorkers()
	f.startServers()
	f.eventually(slack+slack, "collectord answers", func() error { _, err := f.listed(); return err })
	took := f.eventually(2*probeInterval+slack, "all three are registered within two broadcast intervals", f.inState(model.Registered, names...))
	t.Logf("registered %s after collectord answered", took)
	f.eventually(slack, "frames of all three arrive", f.flowing(names...))

	first, err := f.listed()
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range f.workers {
		row := first[w.name]
		if !slices.Contains(row.Addresses, w.addr) || row.Hostname != w.name {
			t.Errorf("%s is listed as %q at %v, want its address %v", w.name, row.Hostname, row.Addresses, w.addr)
		}
		if row.KeepAlive != keepAlive.Milliseconds() {
			t.Errorf("%s has a lease of %d ms, want its own %v", w.name, row.KeepAlive, keepAlive)
		}
	}
	t.Run("values are those of the host", func(t *testing.T) { valuesOfTheHost(t, f) })

	f.end(f.workers[0], "workerd", syscall.SIGKILL)
	f.eventually(keepAlive/2+slack, "a killed worker is suspect", f.inState(model.Suspect, "w1"))
	f.eventually(keepAlive/2+slack, "a killed worker is expired", f.inState(model.Expired, "w1"))
	f.eventually(slack, "the series of an expired worker end", func() error {
		if samples, err := f.query(`node_load1{instance="w1"}`); err != nil || len(samples) != 0 {
			return fmt.Errorf("%d samples, %v", len(samples), err)
		}
		return nil
	})
	f.start(f.workers[0], "workerd")
	f.eventually(2*probeInterval+slack, "a restarted worker is back", f.inState(model.Registered, "w1"))
	f.eventually(slack+slack, "its frames arrive", f.flowing("w1"))
	again, err := f.listed()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := again["w1"].ID, first["w1"].ID; got != want || len(again) != len(names) {
		t.Errorf("after the restart w1 has id %v among %d workers, want %v among %d", got, len(again), want, len(names))
	}

	f.restart(f.hq, "coordinatord")
	f.eventually(keepAlive+2*probeInterval+slack, "the fleet recovers from a restart of coordinatord", f.inState(model.Registered, names...))
	f.restart(f.hq, "collectord")
	f.eventually(keepAlive+2*probeInterval+2*slack, "streams recover from a restart of collectord", f.flowing(names...))
	f.eventually(keepAlive+2*probeInterval+slack, "the fleet recovers from a restart of collectord", f.inState(model.Registered, names...))
	for _, name := range names[1:] {
		t.Run("nothing of "+name+" is missing", func(t *testing.T) { nothingMissing(t, f, name, 10) })
	}
}

// valuesOfTheHost compares stored values with what the host's own /proc and
// /sys say before and after.
func valuesOfTheHost(t *testing.T, f *fleet) {
	for i, w := range f.workers {
		mtu := 1400 + i // a value that only this host has
		f.lan.ip("-n", w.ns, "link", "set", "eth0", "mtu", strconv.Itoa(mtu))
		before := w.received(t)
		since, err := f.value(fmt.Sprintf(`node_time_seconds{instance=%q}`, w.name))
		if err != nil {
			t.Fatal(err)
		}
		// Two more rounds: the newest value was read after what we read.
		f.eventually(2*slack, "two more frames of "+w.name, func() error {
			now, err := f.value(fmt.Sprintf(`node_time_seconds{instance=%q}`, w.name))
			if err == nil && now < since+2 {
				err = fmt.Errorf("newest frame is of %f, want %f", now, since+2)
			}
			return err
		})
		got, err := f.value(fmt.Sprintf(`node_network_receive_bytes_total{instance=%q,device="eth0"}`, w.name))
		if err != nil {
			t.Fatal(err)
		}
		if after := w.received(t); got < before || got > after {
			t.Errorf("%s received %.0f bytes, want %.0f to %.0f as /proc/net/dev says", w.name, got, before, after)
		}
		if got, err := f.value(fmt.Sprintf(`node_network_mtu_bytes{instance=%q,device="eth0"}`, w.name)); err != nil || got != float64(mtu) {
			t.Errorf("%s: MTU %v, %v; want %d", w.name, got, err, mtu)
		}
		if got, err := f.value(fmt.Sprintf(`node_uname_info{instance=%q,nodename=%q}`, w.name, w.name)); err != nil || got != 1 {
			t.Errorf("%s: uname info %v, %v; want 1", w.name, got, err)
		}
		memory, err := f.value(fmt.Sprintf(`node_memory_MemTotal_bytes{instance=%q}`, w.name))
		if want := w.memTotal(t); err != nil || memory != want {
			t.Errorf("%s: memory %v, %v; want %v as /proc/meminfo says", w.name, memory, err, want)
		}
	}
}

// received reads the received bytes of eth0 from the host's /proc/net/dev.
func (h *host) received(t *testing.T) float64 {
	t.Helper()
	for line := range strings.Lines(h.output("cat", "/proc/net/dev")) {
		if device, values, found := strings.Cut(line, ":"); found && strings.TrimSpace(device) == "eth0" {
			return number(t, strings.Fields(values)[0])
		}
	}
	t.Fatalf("%s: no eth0 in /proc/net/dev", h.name)
	return 0
}

// memTotal reads MemTotal from the host's /proc/meminfo, in bytes.
func (h *host) memTotal(t *testing.T) float64 {
	t.Helper()
	fields := strings.Fields(h.output("cat", "/proc/meminfo"))
	if len(fields) < 2 || fields[0] != "MemTotal:" {
		t.Fatalf("%s: /proc/meminfo does not begin with MemTotal", h.name)
	}
	return number(t, fields[1]) * 1024
}

// nothingMissing proves that a worker which lived through the restarts of both
// servers lost no round: it counts its rounds, every frame holds the count, and
// there are as many frames as counts.
func nothingMissing(t *testing.T, f *fleet, name string, least float64) {
	rounds := fmt.Sprintf(`cloudless_sampler_rounds_total{instance=%q}[10m]`, name)
	f.eventually(slack, "every round is stored", func() error {
		missing, err := f.value(fmt.Sprintf(`max_over_time(%s) - min_over_time(%s) + 1 - count_over_time(%s)`, rounds, rounds, rounds))
		if err == nil && missing != 0 {
			err = fmt.Errorf("%v rounds are missing", missing)
		}
		return err
	})
	if stored, err := f.value(fmt.Sprintf(`count_over_time(%s)`, rounds)); err != nil || stored < least {
		t.Errorf("%v rounds are stored, %v; want %v at least, as many seconds as the test takes", stored, err, least)
	}
}
