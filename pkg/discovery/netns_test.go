package discovery

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/cloudless-fleet/cloudless/pkg/trust/packet"
)

// A network of namespaces, as wide as the test that made it:
//
//	collector --eth0-- br0 --eth0-- worker1     192.0.2.0/24
//	                    +----eth0-- worker2     192.0.2.0/24
//	                    +----eth0-- worker6     IPv6 link-local only
//	collector --br9--------- eth0-- guest       198.51.100.0/24
//
// The collector's own eth0 is one end of a veth pair and its br9 a bridge, so
// it probes neither unless told to.
type network struct {
	t      *testing.T
	prefix string
}

func newNetwork(t *testing.T) *network {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("network namespaces need root")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("network namespaces need the command ip (Debian: iproute2)")
	}
	n := &network{t: t, prefix: fmt.Sprintf("cloudless-%d-", os.Getpid())}
	if out, err := exec.Command("ip", "netns", "add", n.prefix+"hub").CombinedOutput(); err != nil {
		t.Skipf("network namespaces are not to be had here: %s", strings.TrimSpace(string(out)))
	}
	t.Cleanup(func() { n.ip("netns", "del", n.prefix+"hub") })
	n.in("hub", "link add br0 type bridge", "link set br0 up")
	return n
}

func (n *network) ip(args ...string) {
	n.t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		n.t.Fatalf("ip %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// in runs commands of ip in a namespace.
func (n *network) in(host string, commands ...string) {
	n.t.Helper()
	for _, command := range commands {
		n.ip(append([]string{"-n", n.prefix + host}, strings.Fields(command)...)...)
	}
}

// host makes a namespace with a loopback. Its addresses are usable at once,
// without the wait for somebody else who has them.
func (n *network) host(name string) {
	n.t.Helper()
	n.ip("netns", "add", n.prefix+name)
	n.t.Cleanup(func() { n.ip("netns", "del", n.prefix+name) })
	n.ip("netns", "exec", n.prefix+name, "sh", "-c", "echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad")
	n.in(name, "link set lo up")
}

// plug connects two namespaces: an interface in the one, and a port of a
// bridge in the other.
func (n *network) plug(host, name, hub, bridge string) {
	n.t.Helper()
	port := "p-" + host
	n.in(host, fmt.Sprintf("link add name %s type veth peer name %s netns %s", name, port, n.prefix+hub), "link set "+name+" up")
	n.in(hub, "link set "+port+" master "+bridge, "link set "+port+" up")
}

func buildFleet(t *testing.T) *network {
	n := newNetwork(t)
	for i, name := range []string{"collector", "worker1", "worker2"} {
		n.host(name)
		n.plug(name, "eth0", "hub", "br0")
		n.in(name, fmt.Sprintf("addr add 192.0.2.%d/24 dev eth0", i+1))
	}
	n.host("worker6")
	n.plug("worker6", "eth0", "hub", "br0")
	n.in("collector", "link add br9 type bridge", "link set br9 up", "addr add 198.51.100.1/24 dev br9")
	n.host("guest")
	n.plug("guest", "eth0", "collector", "br9")
	n.in("guest", "addr add 198.51.100.2/24 dev eth0")
	return n
}

// peer is a collector or worker in a process of its own.
type peer struct {
	t      *testing.T
	name   string
	events chan event
	seen   []event
	stop   func()
}

// start plays a role in a namespace, until stop or the test's end.
func (n *network) start(host string, r role) *peer {
	n.t.Helper()
	self, err := os.Executable()
	if err != nil {
		n.t.Fatal(err)
	}
	text, err := json.Marshal(r)
	if err != nil {
		n.t.Fatal(err)
	}
	cmd := exec.Command("ip", "netns", "exec", n.prefix+host, self)
	cmd.Env = append(os.Environ(), roleVariable+"="+string(text))
	cmd.Stderr = os.Stderr
	hold, err := cmd.StdinPipe()
	if err != nil {
		n.t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		n.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	p := &peer{t: n.t, name: host, events: make(chan event, 10_000)}
	read := make(chan struct{})
	go func() {
		defer close(read)
		for d := json.NewDecoder(out); ; {
			var e event
			if d.Decode(&e) != nil {
				close(p.events)
				return
			}
			p.events <- e
		}
	}()
	stopped := false
	p.stop = func() {
		if stopped {
			return
		}
		stopped = true
		hold.Close() // the process ends with its standard input
		<-read
		if err := cmd.Wait(); err != nil {
			n.t.Errorf("%s: %v", host, err)
		}
	}
	n.t.Cleanup(p.stop)
	p.wait("ready", func(e event) bool { return e.What == "ready" })
	return p
}

// wait returns the next event that is wanted.
func (p *peer) wait(what string, wanted func(event) bool) event {
	p.t.Helper()
	timeout := time.After(60 * time.Second)
	for {
		select {
		case e, ok := <-p.events:
			if !ok {
				p.t.Fatalf("%s ended before: %s; it told %+v", p.name, what, p.seen)
			}
			p.seen = append(p.seen, e)
			if wanted(e) {
				return e
			}
		case <-timeout:
			p.t.Fatalf("%s: waited a minute for: %s; it told %+v", p.name, what, p.seen)
		}
	}
}

// probed waits until the peer was probed n more times.
func (p *peer) probed(n int) (last event) {
	p.t.Helper()
	for range n {
		last = p.wait("a probe", func(e event) bool { return e.What == "probe" })
	}
	return last
}

func (p *peer) registered() {
	p.t.Helper()
	p.wait("a RegisterAck", func(e event) bool { return e.What == "registered" })
}

// heardNothing asserts that the peer has told of no probe.
func (p *peer) heardNothing() {
	p.t.Helper()
	for {
		select {
		case e := <-p.events:
			if e.What == "probe" {
				p.t.Errorf("%s was probed: %+v", p.name, e)
				return
			}
		default:
			return
		}
	}
}

func TestDirectedBroadcastReachesTheSubnet(t *testing.T) {
	n := buildFleet(t)
	worker1, worker2 := n.start("worker1", role{Is: "worker"}), n.start("worker2", role{Is: "worker"})
	worker6, guest := n.start("worker6", role{Is: "worker"}), n.start("guest", role{Is: "worker"})
	n.start("collector", role{Is: "collector", Interfaces: []string{"eth0"}})

	for _, w := range []*peer{worker1, worker2} {
		got := w.probed(1)
		if want := "192.0.2.1"; got.Advertised != want || !strings.HasPrefix(got.Source, want+":") {
			t.Errorf("%s was probed from %s for answers at %s, want both %s", w.name, got.Source, got.Advertised, want)
		}
		w.registered()
	}
	worker1.probed(5)
	guest.heardNothing()   // behind a bridge that is not listed
	worker6.heardNothing() // no IPv4, and multicast is off
}

// Two fleets on one wire: each worker hears both collectors and obeys its own, each
// collector admits its own. Rogue probes, of a collector without keys, reach nobody.
func TestTwoFleetsOnOneWire(t *testing.T) {
	n := buildFleet(t)
	n.host("collector2")
	n.plug("collector2", "eth0", "hub", "br0")
	n.in("collector2", "addr add 192.0.2.4/24 dev eth0")
	n.host("rogue")
	n.plug("rogue", "eth0", "hub", "br0")
	n.in("rogue", "addr add 192.0.2.5/24 dev eth0")
	lab, prod := newFleetKeys(t, "lab"), newFleetKeys(t, "prod")
	worker1, worker2 := n.start("worker1", role{Is: "worker", Fleet: &lab}), n.start("worker2", role{Is: "worker", Fleet: &prod})
	for collector, keys := range map[string]*fleetKeys{"collector": &lab, "collector2": &prod, "rogue": nil} {
		n.start(collector, role{Is: "collector", Interfaces: []string{"eth0"}, Fleet: keys})
	}
	for w, fleet := range map[*peer]string{worker1: "lab", worker2: "prod"} {
		w.registered()
		w.wait("packets of the others", func(e event) bool {
			return e.What == "stats" && e.Heard.Untrusted[packet.ForeignFleet] >= 3 && e.Heard.Untrusted[packet.Unsigned] >= 3
		})
		w.registered()
		for _, e := range w.seen {
			if e.What == "probe" && e.Fleet != fleet {
				t.Errorf("%s of fleet %s obeyed a probe of fleet %s from %s", w.name, fleet, e.Fleet, e.Source)
			}
		}
	}
}

func TestListedBridgeIsProbed(t *testing.T) {
	n := buildFleet(t)
	worker1, guest := n.start("worker1", role{Is: "worker"}), n.start("guest", role{Is: "worker"})
	n.start("collector", role{Is: "collector", Interfaces: []string{"br9", "eth0"}})
	// Each subnet hears of the address that it can answer to.
	if got := guest.probed(1); got.Advertised != "198.51.100.1" {
		t.Errorf("the guest was probed for answers at %s, want 198.51.100.1", got.Advertised)
	}
	if got := worker1.probed(1); got.Advertised != "192.0.2.1" {
		t.Errorf("worker1 was probed for answers at %s, want 192.0.2.1", got.Advertised)
	}
	guest.registered()
	worker1.registered()
}

func TestMulticastReachesHostsWithoutIPv4(t *testing.T) {
	n := buildFleet(t)
	worker6, guest := n.start("worker6", role{Is: "worker"}), n.start("guest", role{Is: "worker"})
	n.start("collector", role{Is: "collector", Interfaces: []string{"eth0"}, Multicast: true})
	got := worker6.probed(1)
	source, err := netip.ParseAddrPort(got.Source)
	if err != nil || !source.Addr().IsLinkLocalUnicast() || source.Addr().Zone() != "eth0" || got.Advertised != "" {
		t.Errorf("probed from %s for answers at %q, want a link-local source and no address", got.Source, got.Advertised)
	}
	worker6.registered()
	worker6.probed(5)
	guest.heardNothing()
}

// Without a list the collector leaves loopback, bridges, veth pairs and
// tunnels alone.
func TestNothingUnlikeALANIsProbed(t *testing.T) {
	n := buildFleet(t)
	want := []SkippedInterface{{"lo", SkipLoopback}, {"eth0", SkipVeth}, {"br9", SkipBridge}, {"p-guest", SkipVeth}}
	if _, err := os.Stat("/dev/net/tun"); err == nil {
		n.in("collector", "tuntap add tun0 mode tun", "link set tun0 up", "addr add 203.0.113.1/24 dev tun0",
			"tuntap add tap0 mode tap", "link set tap0 up", "addr add 203.0.113.129/25 dev tap0")
		want = append(want, SkippedInterface{"tun0", SkipTunnel}, SkippedInterface{"tap0", SkipTunnel})
	}
	worker1, guest := n.start("worker1", role{Is: "worker"}), n.start("guest", role{Is: "worker"})
	collector := n.start("collector", role{Is: "collector", Auto: true, Multicast: true})
	stats := collector.wait("three rounds", func(e event) bool { return e.What == "stats" && e.Stats.Rounds >= 3 }).Stats
	byName := cmpopts.SortSlices(func(a, b SkippedInterface) bool { return a.Name < b.Name })
	if diff := cmp.Diff(want, stats.Skipped, byName); diff != "" {
		t.Errorf("skipped (-want +got):\n%s", diff)
	}
	if stats.Sent != 0 || len(stats.Interfaces) != 0 {
		t.Errorf("probed %+v", stats.Interfaces)
	}
	worker1.heardNothing()
	guest.heardNothing()
}

// Interfaces and addresses that come while the daemons run are used, and one
// that fails does not hold up the others.
func TestNetworksThatComeLater(t *testing.T) {
	n := buildFleet(t)
	n.host("late")
	worker1, late := n.start("worker1", role{Is: "worker"}), n.start("late", role{Is: "worker"})
	collector := n.start("collector", role{Is: "collector", Interfaces: []string{"eth0", "eth7"}, Multicast: true})
	worker1.probed(2)
	late.heardNothing()

	n.in("collector", "link add name eth7 type veth peer name eth0 netns "+n.prefix+"late", "link set eth7 up")
	n.in("late", "link set eth0 up")
	// The link-local addresses come by themselves; the worker joins the group
	// within its interval of looking around.
	if got := late.probed(1); got.Advertised != "" {
		t.Errorf("probed for answers at %s, want the source", got.Advertised)
	}
	late.registered()
	n.in("collector", "addr add 203.0.113.1/24 dev eth7")
	n.in("late", "addr add 203.0.113.2/24 dev eth0")
	late.wait("a broadcast", func(e event) bool { return e.What == "probe" && e.Advertised == "203.0.113.1" })

	n.in("collector", "link del eth7")
	collector.wait("eth7 to be forgotten", func(e event) bool {
		return e.What == "stats" && !slices.ContainsFunc(e.Stats.Interfaces, func(i InterfaceStats) bool { return i.Name == "eth7" })
	})
	for len(worker1.events) > 0 {
		<-worker1.events
	}
	worker1.probed(3)
}
