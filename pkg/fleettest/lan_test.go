package fleettest

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// lan is an Ethernet segment of its own: a bridge in a network namespace, to
// which hosts are plugged.
type lan struct {
	t      *testing.T
	prefix string // of every namespace name, unique on this machine
	sw     string // namespace that holds the bridge
	subnet netip.Prefix
	hosts  int
}

// newLAN makes a segment for the subnet, which no other test has, and takes it
// down after the test.
func newLAN(t *testing.T, subnet string) *lan {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("the fleet test makes network namespaces, which needs root")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("the fleet test needs the command ip (Debian package iproute2)")
	}
	prefix := netip.MustParsePrefix(subnet)
	bytes := prefix.Addr().As4()
	l := &lan{t: t, prefix: fmt.Sprintf("cl%d-%d.%d-", os.Getpid(), bytes[1], bytes[2]), subnet: prefix}
	l.sw = l.namespace("sw")
	l.ip("-n", l.sw, "link", "add", "br0", "type", "bridge")
	l.ip("-n", l.sw, "link", "set", "br0", "up")
	return l
}

// hub makes every host hear everything, as on a wire that somebody has tapped.
func (l *lan) hub() { l.ip("-n", l.sw, "link", "set", "br0", "type", "bridge", "ageing_time", "0") }

// host is one machine on the segment.
type host struct {
	lan  *lan
	name string // in the test
	ns   string
	addr netip.Addr
	// hostname is what the machine calls itself: its name, unless it is set.
	hostname string
	// machineID is a file: what /etc/machine-id is on the host.
	machineID string
}

// plug adds a host with the next free address on interface eth0.
func (l *lan) plug(name string) *host {
	l.t.Helper()
	l.hosts++
	addr := l.subnet.Addr()
	for range l.hosts {
		addr = addr.Next()
	}
	h := &host{lan: l, name: name, hostname: name, ns: l.namespace(name), addr: addr, machineID: filepath.Join(l.t.TempDir(), "machine-id")}
	if err := os.WriteFile(h.machineID, []byte(machineID(name)+"\n"), 0o444); err != nil {
		l.t.Fatal(err)
	}
	port := fmt.Sprintf("port%d", l.hosts)
	l.ip("link", "add", port, "netns", l.sw, "type", "veth", "peer", "name", "eth0", "netns", h.ns)
	l.ip("-n", l.sw, "link", "set", port, "master", "br0", "up")
	l.ip("-n", h.ns, "link", "set", "lo", "up")
	l.ip("-n", h.ns, "addr", "add", netip.PrefixFrom(addr, l.subnet.Bits()).String(), "brd", "+", "dev", "eth0")
	l.ip("-n", h.ns, "link", "set", "eth0", "up")
	return h
}

func (l *lan) namespace(name string) string {
	l.t.Helper()
	ns := l.prefix + name
	l.ip("netns", "add", ns)
	l.t.Cleanup(func() {
		if out, err := exec.Command("ip", "netns", "del", ns).CombinedOutput(); err != nil {
			l.t.Errorf("ip netns del %s: %v: %s", ns, err, out)
		}
	})
	return ns
}

func (l *lan) ip(args ...string) {
	l.t.Helper()
	l.output(args...)
}

// output runs ip and returns what it printed.
func (l *lan) output(args ...string) string {
	l.t.Helper()
	out, err := exec.Command("ip", args...).CombinedOutput()
	if err != nil {
		l.t.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// enter is a shell script that makes a process one of the host: its arguments are
// the host's name, its file of the machine id, and what is to be run. The mounts
// are of the process only, and the firmware's UUID, which all hosts would have in
// common, is hidden.
const enter = `set -e
echo "$0" >/proc/sys/kernel/hostname
if [ -e /etc/machine-id ]; then mount --bind "$1" /etc/machine-id; fi
if [ -e /sys/class/dmi/id/product_uuid ]; then mount --bind /dev/null /sys/class/dmi/id/product_uuid; fi
shift
exec "$@"`

// command prepares a program that runs on the host: in its network namespace,
// under its host name, with its machine id, and with /sys showing its own devices.
func (h *host) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	full := append([]string{"netns", "exec", h.ns, "unshare", "--uts", "sh", "-c", enter, h.hostname, h.machineID, program}, args...)
	return exec.CommandContext(ctx, "ip", full...)
}

// output runs a program on the host and returns what it printed.
func (h *host) output(program string, args ...string) string {
	h.lan.t.Helper()
	out, err := h.command(h.lan.t.Context(), program, args...).CombinedOutput()
	if err != nil {
		h.lan.t.Fatalf("%s: %s %s: %v: %s", h.name, program, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// inside calls do on a thread in the host's network namespace. Sockets that it
// opens stay there.
func (h *host) inside(t *testing.T, do func() error) error {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with its foreign namespace
		ns, err := os.Open(filepath.Join("/run/netns", h.ns))
		if err == nil {
			defer ns.Close()
			err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET)
		}
		if err == nil {
			err = do()
		}
		done <- err
	}()
	return <-done
}

// dial connects from the host.
func (h *host) dial(t *testing.T, network, addr string) net.Conn {
	t.Helper()
	var conn net.Conn
	err := h.inside(t, func() (err error) {
		conn, err = net.DialTimeout(network, addr, 10*time.Second)
		return err
	})
	if err != nil {
		t.Fatalf("%s: dial %s %s: %v", h.name, network, addr, err)
	}
	return conn
}
