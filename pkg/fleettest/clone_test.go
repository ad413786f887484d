package fleettest

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"
	"testing/fstest"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/audit"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// originalMTU tells the values of the original from those of its clones, which
// have other ones: everything else of them is the same, the host name included.
const originalMTU = 1400

// TestACopiedStateFolderBecomesAWorkerOfItsOwn runs copies of a worker's state
// folder on other hosts beside the original, and looks through everything that
// was ever stored in its name.
func TestACopiedStateFolderBecomesAWorkerOfItsOwn(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10.77.6.0/24", "w1")
	w1 := f.workers[0]
	w1.setMTU(originalMTU)
	f.startServers()
	f.startWorkers()
	f.eventually(2*probeInterval+3*slack, "the fleet works", f.flowing("w1"))
	original := f.identity(w1).Worker()

	t.Run("on a machine of other facts", func(t *testing.T) {
		if _, err := os.Stat("/etc/machine-id"); err != nil {
			t.Skipf("machines that differ cannot be played here: %v", err)
		}
		f.cloned(t, w1, "other-facts", 1401, false)
	})
	t.Run("on a machine of the same facts", func(t *testing.T) {
		f.cloned(t, w1, "same-facts", 1402, true)
		told := slices.ContainsFunc(f.audited(f.hq, "coordinatord"), func(e audit.Entry) bool {
			return e.What == audit.Rekey && e.On == original.String()
		})
		if !told {
			t.Error("the audit log does not say that a machine was told to make itself a new identity")
		}
	})
	t.Run("the original has gone on as if nothing was", func(t *testing.T) {
		if now := f.identity(w1).Worker(); now != original {
			t.Errorf("it is %v now, was %v", now, original)
		}
		f.eventually(slack, "its frames arrive", f.flowing("w1"))
		nothingMissing(t, f, "w1", 5)
		f.onlyValuesOf(t, "w1", originalMTU)
	})
}

// TestACopyThatIsHardToTellBecomesAWorkerOfItsOwn is the case between the two: half
// of what tells machines apart is the same, as when a virtual machine is cloned and
// gets a new machine id, but keeps the UUID of its firmware. The copy does not see
// it by itself, and the coordinator does.
func TestACopyThatIsHardToTellBecomesAWorkerOfItsOwn(t *testing.T) {
	t.Parallel()
	f := newInProcess(t, "original", "copy")
	original, copied := f.machines["original"], f.machines["copy"]
	for _, m := range []*machine{original, copied} {
		m.facts["sys/class/dmi/id/product_uuid"] = &fstest.MapFile{Data: []byte("4c4c4544-0043-3010-8052-b4c04f564231\n")}
		m.worker.Registration.KeepAlive = keepAlive
	}
	f.startServers()
	original.work()
	id := original.id()
	original.copyState(copied)
	copied.start()
	begun := time.Now()
	f.eventually("the copy is a worker of its own", func() error {
		if copied.id() == id {
			return fmt.Errorf("it still is %v", id)
		}
		return copied.working()
	})
	if took := time.Since(begun); took > 2*keepAlive+slack {
		t.Errorf("after %v, want %v at most", took, 2*keepAlive)
	}
	if now := original.id(); now != id {
		t.Errorf("the original is %v now, was %v", now, id)
	}
	if err := original.working(); err != nil {
		t.Errorf("the original: %v", err)
	}
	told := slices.ContainsFunc(f.audited(model.DaemonCoordinator), func(e audit.Entry) bool { return e.What == audit.Rekey && e.On == id.String() })
	if !told {
		t.Error("the audit log does not say that a machine was told to make itself a new identity")
	}
	f.eventually("every round of the original is stored, and nothing else in its name", func() error {
		const rounds = `cloudless_sampler_rounds_total{instance="original"}[10m]`
		other, err := f.value(`max_over_time(` + rounds + `) - min_over_time(` + rounds + `) + 1 - count_over_time(` + rounds + `)`)
		if err == nil && other != 0 {
			err = fmt.Errorf("%v rounds are missing", other)
		}
		return err
	})
}

// cloned starts a copy of a worker's state folder on another host, and checks
// what becomes of it.
func (f *fleet) cloned(t *testing.T, of *host, name string, mtu int, sameFacts bool) {
	t.Helper()
	clone := f.plugWorker(name)
	clone.hostname = of.hostname
	clone.setMTU(mtu)
	if sameFacts {
		clone.machineID = of.machineID
	}
	copyFolder(t, f.state(of, "workerd"), f.state(clone, "workerd"))
	original := f.identity(of).Worker()
	f.start(clone, "workerd")

	var row api.Worker
	took := f.eventually(2*keepAlive+slack, "the clone is listed under a name of its own, and sends", func() error {
		id := f.identity(clone).Worker()
		workers, err := f.listed()
		if err != nil {
			return err
		}
		for _, one := range workers {
			if row = one; one.ID == id && id != original {
				return isWorking(one)
			}
		}
		return fmt.Errorf("%v is not listed, the original is %v", id, original)
	})
	t.Logf("%s is %s after %v", name, row.Instance, took.Round(time.Millisecond))
	if row.Instance == of.name || row.Hostname != of.hostname {
		t.Errorf("the clone is listed as %q of host %q", row.Instance, row.Hostname)
	}
	var members api.MemberList
	if err := f.ask(&members, "workers", "members"); err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(members.Members, func(m api.Member) bool { return m.ID == row.ID && m.CloneOf == original }) {
		t.Errorf("no member %v is a clone of %v: %+v", row.ID, original, members.Members)
	}
	entered := slices.ContainsFunc(f.audited(f.hq, "coordinatord"), func(e audit.Entry) bool {
		return e.What == audit.Enrol && e.OK && e.On == row.ID.String() && e.More["clone_of"] == original.String()
	})
	if !entered {
		t.Errorf("the audit log does not say that %v came with a copy of the state of %v", row.ID, original)
	}
	f.eventually(slack, "values of the clone are stored in its name", func() error {
		got, err := f.value(fmt.Sprintf(`node_network_mtu_bytes{instance=%q,device="eth0"}`, row.Instance))
		if err == nil && got != float64(mtu) {
			err = fmt.Errorf("MTU %v, want %d", got, mtu)
		}
		return err
	})
	f.onlyValuesOf(t, row.Instance, mtu)
	if err := f.inState(model.Registered, of.name)(); err != nil {
		t.Errorf("the original: %v", err)
	}
}

// onlyValuesOf checks that nothing was ever stored under an instance that comes
// from a host with another MTU.
func (f *fleet) onlyValuesOf(t *testing.T, instance string, mtu int) {
	t.Helper()
	all := fmt.Sprintf(`node_network_mtu_bytes{instance=%q,device="eth0"}[1h]`, instance)
	for _, aggregate := range []string{"min_over_time", "max_over_time"} {
		if got, err := f.value(aggregate + "(" + all + ")"); err != nil || got != float64(mtu) {
			t.Errorf("%s of the MTU that was stored under %s is %v, %v; want %d", aggregate, instance, got, err, mtu)
		}
	}
}

func (h *host) setMTU(mtu int) {
	h.lan.t.Helper()
	h.lan.ip("-n", h.ns, "link", "set", "eth0", "mtu", strconv.Itoa(mtu))
}
