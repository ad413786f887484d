package fleettest

import (
	"fmt"
	"net/netip"
	"os/exec"
	"slices"
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// TestARenamedAndReaddressedHostStaysTheSameWorker changes the name and the
// address of a host while workerd runs, and lets another host take both.
func TestARenamedAndReaddressedHostStaysTheSameWorker(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10.77.8.0/24", "w1")
	w1 := f.workers[0]
	// A host that has lost its address cannot end its connections: what finds
	// that out is set to be quick here.
	f.write(settings(w1, "workerd"), f.read(settings(w1, "workerd"))+"[stream]\nping_interval = \"500ms\"\nidle_timeout = \"2s\"\nbackoff_max = \"1s\"\n")
	// For as long as this a host keeps the name and address that it was seen with.
	f.write(settings(f.hq, "coordinatord"), f.read(settings(f.hq, "coordinatord"))+"[registry]\nkeep_alive = \"2s\"\n")
	f.startServers()
	daemon := f.start(w1, "workerd")
	f.eventually(2*probeInterval+3*slack, "the fleet works", f.flowing("w1"))
	id, former := f.identity(w1).Worker(), w1.addr

	w1.rename(daemon, "renamed")
	w1.readdress(netip.AddrFrom4([4]byte{10, 77, 8, 200}))
	f.eventually(3*keepAlive+3*probeInterval+2*slack, "the fleet has its new name and address", func() error {
		workers, err := f.listed()
		if err != nil {
			return err
		}
		row := workers["w1"]
		if row.ID != id || row.Hostname != "renamed" || !slices.Contains(row.Addresses, w1.addr) || slices.Contains(row.Addresses, former) || len(workers) != 1 {
			return fmt.Errorf("%d workers, w1 is %v of host %q at %v", len(workers), row.ID, row.Hostname, row.Addresses)
		}
		return isWorking(row)
	})

	other := f.plugWorker("other")
	other.hostname = "w1"
	other.readdress(former)
	f.tokens(other)
	f.start(other, "workerd")
	f.eventually(2*probeInterval+3*slack, "another host with its former name and address is another worker", func() error {
		workers, err := f.listed()
		if err != nil {
			return err
		}
		for _, row := range workers {
			if row.ID != id && row.Hostname == "w1" && slices.Contains(row.Addresses, former) {
				return isWorking(row)
			}
		}
		return fmt.Errorf("got %+v", workers)
	})
	f.restart(w1, "workerd")
	f.eventually(2*probeInterval+2*slack, "it is registered after a restart", f.inState(model.Registered, "w1"))
	if workers, err := f.listed(); err != nil || workers["w1"].ID != id || workers["w1"].Hostname != "renamed" || len(workers) != 2 {
		t.Errorf("after a restart: %+v, %v", workers, err)
	}
}

// rename changes the kernel's name of the host under a running daemon, and for
// those that are started later.
func (h *host) rename(d *daemon, name string) {
	h.lan.t.Helper()
	h.hostname = name
	out, err := exec.Command("nsenter", fmt.Sprintf("--uts=/proc/%d/ns/uts", d.cmd.Process.Pid), "hostname", name).CombinedOutput()
	if err != nil {
		h.lan.t.Fatalf("rename %s: %v: %s", h.name, err, out)
	}
}

// readdress gives the host another address, and takes the former one away.
func (h *host) readdress(addr netip.Addr) {
	h.lan.t.Helper()
	h.lan.ip("-n", h.ns, "addr", "del", netip.PrefixFrom(h.addr, h.lan.subnet.Bits()).String(), "dev", "eth0")
	h.lan.ip("-n", h.ns, "addr", "add", netip.PrefixFrom(addr, h.lan.subnet.Bits()).String(), "brd", "+", "dev", "eth0")
	h.addr = addr
}
