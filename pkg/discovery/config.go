package discovery

import (
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Group is the IPv6 multicast group of the probes: ff12 for one link and not
// assigned by IANA (RFC 4291), its number from the range that anybody may
// choose from (RFC 3307).
const Group = "ff12::c10d:1e55"

// ProberConfig says where and how often collectord calls for workers.
type ProberConfig struct {
	// Interval is the time between two rounds of ProbeInit. Shorter finds new
	// workers sooner; every worker answers every round, so it costs the
	// coordinator fleet size / interval packets per second. 100 ms to 1 h.
	Interval time.Duration `toml:"interval"`
	// AutoInterfaces probes every interface that is up and looks like a LAN:
	// not a loopback, bridge, veth, tunnel or point-to-point link. False
	// probes the listed ones only, and says nothing on new ones.
	AutoInterfaces bool `toml:"auto_interfaces"`
	// Interfaces are names of interfaces that are probed whatever they look
	// like. A listed loopback is probed by unicast to itself.
	Interfaces []string `toml:"interfaces"`
	// ExcludeInterfaces are names that are never probed; this goes before
	// Interfaces.
	ExcludeInterfaces []string `toml:"exclude_interfaces"`
	// Targets are hosts that no broadcast reaches: "host", "host:port" or
	// "[v6]:port". Names are looked up anew every round. Each costs a packet
	// per address and round, and a name a lookup. At most 256.
	Targets []string `toml:"targets"`
	// Port is the UDP port that workerd listens on.
	Port uint16 `toml:"port"`
	// Multicast also sends to the IPv6 group on each probed interface that has
	// a link-local address. False spares a worker with both families one
	// answer a round, and misses workers without IPv4.
	Multicast bool `toml:"multicast"`
	// Group is the IPv6 multicast group. The workers must join the same.
	Group netip.Addr `toml:"group"`
	// AdvertiseAddress is where workers are told to answer, when it is not the
	// address of the interface that sends: behind a port forwarding, say. It
	// goes into every packet, so every worker must reach it.
	AdvertiseAddress netip.Addr `toml:"advertise_address"`
	// NameForm spells the packet type as a bare name, as the legacy daemons
	// do among themselves. Our workers read both forms.
	NameForm bool `toml:"name_form"`
}

// DefaultProberConfig gives the values that an empty file means.
func DefaultProberConfig() ProberConfig {
	return ProberConfig{Interval: 10 * time.Second, AutoInterfaces: true, Interfaces: []string{},
		ExcludeInterfaces: []string{}, Targets: []string{}, Port: model.PortWorker, Multicast: true,
		Group: netip.MustParseAddr(Group)}
}

// maxTargets bounds the lookups of a round.
const maxTargets = 256

// Validate names the first field that is wrong.
func (c ProberConfig) Validate() error {
	if c.Interval < 100*time.Millisecond || c.Interval > time.Hour || c.Interval%time.Millisecond != 0 {
		return fmt.Errorf("interval %v: want whole milliseconds from 100ms to 1h", c.Interval)
	}
	if c.Port == 0 {
		return fmt.Errorf("port 0: want the UDP port of workerd, 1 to 65535")
	}
	if len(c.Targets) > maxTargets {
		return fmt.Errorf("targets: %d of them, at most %d", len(c.Targets), maxTargets)
	}
	for _, text := range c.Targets {
		if _, err := parseTarget(text, c.Port); err != nil {
			return fmt.Errorf("targets: %w", err)
		}
	}
	if err := validateNames("interfaces", c.Interfaces); err != nil {
		return err
	}
	if err := validateNames("exclude_interfaces", c.ExcludeInterfaces); err != nil {
		return err
	}
	if a := c.AdvertiseAddress; a.IsValid() && (a.Zone() != "" || a.IsMulticast() || a.IsUnspecified()) {
		return fmt.Errorf("advertise_address %v: want the address of one host, without a zone", a)
	}
	return validateGroup(c.Multicast, c.Group)
}

// ResponderConfig says how workerd hears and answers probes.
type ResponderConfig struct {
	// Listen is the UDP address, "host:port". An empty host, or an unspecified
	// address of either family, hears both families and broadcasts; a single
	// address hears what is sent to it and neither broadcasts nor multicasts.
	Listen string `toml:"listen"`
	// MaxDelay bounds the random delay of an answer, which is 0.5 ms per
	// announced worker and at least 100 ms. Longer spreads the answers of a
	// large fleet further; beyond the probing interval it loses answers. 0
	// answers at once: for tests. At most 1 h.
	MaxDelay time.Duration `toml:"max_delay"`
	// AnswerRate is how many answers per second leave this host at most, all
	// collectors together. Lower makes it less useful to whoever forges
	// probes; too low starves a collector among several. 1 to 10000.
	AnswerRate int `toml:"answer_rate"`
	// Multicast joins the IPv6 group on all interfaces. False misses
	// collectors that share no IPv4 subnet with this host.
	Multicast bool `toml:"multicast"`
	// Group is the IPv6 multicast group; the collectors' must be the same.
	Group netip.Addr `toml:"group"`
	// ReadBuffer is how much the kernel keeps for us when we are slow. It
	// grants no more than net.core.rmem_max.
	ReadBuffer model.Bytes `toml:"read_buffer"`
}

// DefaultResponderConfig gives the values that an empty file means.
func DefaultResponderConfig() ResponderConfig {
	return ResponderConfig{Listen: fmt.Sprintf(":%d", model.PortWorker), MaxDelay: 5 * time.Second,
		AnswerRate: 20, Multicast: true, Group: netip.MustParseAddr(Group), ReadBuffer: 256 * model.KiB}
}

// Validate names the first field that is wrong.
func (c ResponderConfig) Validate() error {
	if err := validateListen(c.Listen); err != nil {
		return err
	}
	if c.MaxDelay < 0 || c.MaxDelay > time.Hour {
		return fmt.Errorf("max_delay %v: want 0s to 1h", c.MaxDelay)
	}
	if err := validateRate("answer_rate", c.AnswerRate, 10_000); err != nil {
		return err
	}
	if err := validateReadBuffer(c.ReadBuffer); err != nil {
		return err
	}
	return validateGroup(c.Multicast, c.Group)
}

// RegistrarConfig says how coordinatord hears and answers ProbeAck.
type RegistrarConfig struct {
	// Listen is the UDP address, "host:port". An empty host, or an unspecified
	// address of either family, hears both families; a single address what is
	// sent to it.
	Listen string `toml:"listen"`
	// ReplyRate is how many RegisterAck per second leave this host at most.
	// More lets a large fleet register at once; it is also what somebody who
	// forges ProbeAck can make us send. A reply that is not sent is asked for
	// again at the worker's next ProbeAck. 1 to 1000000.
	ReplyRate int `toml:"reply_rate"`
	// ReplyRatePerAddress is the same for each address that asks or is
	// answered. Raise it when many workers share an address (NAT). 1 to 1000000.
	ReplyRatePerAddress int `toml:"reply_rate_per_address"`
	// ReadBuffer is how much the kernel keeps for us when we are slow: about
	// 700 packets per MiB. It grants no more than net.core.rmem_max.
	ReadBuffer model.Bytes `toml:"read_buffer"`
}

// DefaultRegistrarConfig gives the values that an empty file means.
func DefaultRegistrarConfig() RegistrarConfig {
	return RegistrarConfig{Listen: fmt.Sprintf(":%d", model.PortCoordinator), ReplyRate: 5000,
		ReplyRatePerAddress: 50, ReadBuffer: 4 * model.MiB}
}

// Validate names the first field that is wrong.
func (c RegistrarConfig) Validate() error {
	if err := validateListen(c.Listen); err != nil {
		return err
	}
	if err := validateRate("reply_rate", c.ReplyRate, 1_000_000); err != nil {
		return err
	}
	if err := validateRate("reply_rate_per_address", c.ReplyRatePerAddress, 1_000_000); err != nil {
		return err
	}
	return validateReadBuffer(c.ReadBuffer)
}

func validateListen(text string) error {
	if _, err := net.ResolveUDPAddr("udp", text); err != nil {
		return fmt.Errorf("listen %q: want host:port: %w", text, err)
	}
	return nil
}

func validateRate(name string, rate, most int) error {
	if rate < 1 || rate > most {
		return fmt.Errorf("%s %d: want 1 to %d per second", name, rate, most)
	}
	return nil
}

func validateReadBuffer(size model.Bytes) error {
	if size < 4*model.KiB || size > model.GiB {
		return fmt.Errorf("read_buffer %v: want 4KiB to 1GiB", size)
	}
	return nil
}

func validateGroup(used bool, group netip.Addr) error {
	if used && (!group.Is6() || group.Is4In6() || !group.IsLinkLocalMulticast() || group.Zone() != "") {
		return fmt.Errorf("group %v: want an IPv6 link-local multicast address like %s", group, Group)
	}
	return nil
}

// validateNames refuses what cannot be the name of an interface.
func validateNames(field string, names []string) error {
	const most = 15 // the kernel's IFNAMSIZ less the closing zero
	for _, name := range names {
		if name == "" || len(name) > most {
			return fmt.Errorf("%s: %q: want an interface's name, 1 to %d bytes", field, name, most)
		}
	}
	return nil
}
