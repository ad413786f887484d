package discovery

import (
	"errors"
	"fmt"
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

// Validate names every field that is wrong (model.FieldError).
func (c ProberConfig) Validate() error {
	var port error
	if c.Port == 0 {
		port = model.Fieldf("port", "0: want the UDP port of workerd, 1 to 65535")
	}
	return errors.Join(
		validateInterval(c.Interval),
		validateNames("interfaces", c.Interfaces),
		validateNames("exclude_interfaces", c.ExcludeInterfaces),
		validateTargets(c.Targets, c.Port),
		port,
		validateGroup(c.Multicast, c.Group),
		validateAdvertise(c.AdvertiseAddress))
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

// Validate names every field that is wrong (model.FieldError).
func (c ResponderConfig) Validate() error {
	return errors.Join(
		model.FieldListen("listen", c.Listen),
		model.FieldWithin("max_delay", c.MaxDelay, 0, time.Hour),
		model.FieldWithin("answer_rate", c.AnswerRate, 1, 10_000),
		validateGroup(c.Multicast, c.Group),
		validateReadBuffer(c.ReadBuffer))
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

// Validate names every field that is wrong (model.FieldError).
func (c RegistrarConfig) Validate() error {
	return errors.Join(
		model.FieldListen("listen", c.Listen),
		model.FieldWithin("reply_rate", c.ReplyRate, 1, 1_000_000),
		model.FieldWithin("reply_rate_per_address", c.ReplyRatePerAddress, 1, 1_000_000),
		validateReadBuffer(c.ReadBuffer))
}

func validateInterval(interval time.Duration) error {
	const key = "interval"
	if interval%time.Millisecond != 0 { // the unit in which it travels
		return model.Fieldf(key, "%s: want whole milliseconds", interval)
	}
	return model.FieldWithin(key, interval, 100*time.Millisecond, time.Hour)
}

func validateTargets(targets []string, port uint16) error {
	if len(targets) > maxTargets {
		return model.Fieldf("targets", "%d of them: want at most %d", len(targets), maxTargets)
	}
	var errs []error
	for i, text := range targets {
		if _, err := parseTarget(text, port); err != nil {
			errs = append(errs, model.Fieldf(element("targets", i), "%w", err))
		}
	}
	return errors.Join(errs...)
}

func validateAdvertise(addr netip.Addr) error {
	if addr.IsValid() && (addr.Zone() != "" || addr.IsMulticast() || addr.IsUnspecified()) {
		return model.Fieldf("advertise_address", "%s: want the address of one host, without a zone", addr)
	}
	return nil
}

func validateReadBuffer(size model.Bytes) error {
	return model.FieldWithin("read_buffer", size, 4*model.KiB, model.GiB)
}

func validateGroup(used bool, group netip.Addr) error {
	if used && (!group.Is6() || group.Is4In6() || !group.IsLinkLocalMulticast() || group.Zone() != "") {
		return model.Fieldf("group", "%s: want an IPv6 link-local multicast address like %s", group, Group)
	}
	return nil
}

// validateNames refuses what cannot be the name of an interface.
func validateNames(key string, names []string) error {
	const most = 15 // the kernel's IFNAMSIZ less the closing zero
	var errs []error
	for i, name := range names {
		if name == "" || len(name) > most {
			errs = append(errs, model.Fieldf(element(key, i), "%q: want an interface's name, 1 to %d bytes", name, most))
		}
	}
	return errors.Join(errs...)
}

// element is the key of one element of an array.
func element(key string, i int) string { return fmt.Sprintf("%s[%d]", key, i) }
