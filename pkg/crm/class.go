package crm

import "strings"

// Family is the Python package whose classes a packet names.
type Family uint8

// The two families. They spell the same messages with different class paths
// and do not understand each other.
const (
	Dtos    Family = iota // tl-crmdtos 1.0.0: the current one
	VrmJobs               // tl-vrmjobs 2.0.3 to 3.0.1
)

// String gives the package's name on the wire.
func (f Family) String() string {
	if f == VrmJobs {
		return "vrmjobs"
	}
	return "dtos"
}

// Dialect is how a packet was spelled, or is to be.
type Dialect struct {
	Family Family
	// NamedType spells the packet's own type as a bare name, "PROBE_INIT", as
	// the legacy daemons do among themselves. The host type is not affected.
	NamedType bool
	// PaddedReduce writes enums with three nulls behind, as jsonpickle up to
	// 1.1 does; those versions cannot read the shorter form.
	PaddedReduce bool
}

// class is a place in the closed list of what may stand in py/object or
// py/type, in either family.
type class uint8

const (
	classProbeInit class = iota
	classProbeAck
	classRegisterAck
	classHostInfo
	classPortInfo
	classRegisterInfo
	// classOther are the legacy classes that we know by name only.
	classOther
	enumPacketType
	enumHostType
)

func (c class) isEnum() bool { return c == enumPacketType || c == enumHostType }

type entry struct {
	class  class
	module string
	name   string
	dtos   bool // exists in package dtos
	vrm    bool // exists in package vrmjobs
}

// entries is the closed list: all class paths that are ever interpreted, and
// those known to be of the legacy system's other packets.
var entries = [...]entry{
	{classProbeInit, "probe_init", "ProbeInit", true, true},
	{classProbeAck, "probe_ack", "ProbeAck", true, true},
	{classRegisterAck, "register_ack", "RegisterAck", true, true},
	{classHostInfo, "host_info", "HostInfo", true, true},
	{classPortInfo, "port_info", "PortInfo", true, true},
	{classRegisterInfo, "register_info", "RegisterInfo", true, true},
	{enumPacketType, "crm_pkt_type", "CrmPktType", true, false},
	{enumPacketType, "vrm_type", "VrmType", false, true},
	{enumHostType, "host_type", "HostType", true, true},
	{classOther, "metric_info", "MetricInfo", true, true},
	{classOther, "filter_info", "FilterInfo", true, true},
	{classOther, "report_init", "ReportInit", true, true},
	{classOther, "query_ack", "QueryAck", false, true},
	{classOther, "query_info", "QueryInfo", false, true},
	{classOther, "metric_init", "MetricInit", false, true},
	{classOther, "collector_info", "CollectorInfo", false, true},
	{classOther, "worker_info", "WorkerInfo", false, true},
}

func (e *entry) in(f Family) bool { return f == Dtos && e.dtos || f == VrmJobs && e.vrm }

// lookup finds a class path of the closed list, in full
// ("dtos.port_info.PortInfo") or short ("dtos.PortInfo").
func lookup(path string) (f Family, c class, ok bool) {
	pkg, rest, _ := strings.Cut(path, ".")
	switch pkg {
	case "dtos":
		f = Dtos
	case "vrmjobs":
		f = VrmJobs
	default:
		return 0, 0, false
	}
	module, name, full := strings.Cut(rest, ".")
	if !full {
		module, name = "", rest
	}
	for i := range entries {
		e := &entries[i]
		if e.name == name && (!full || e.module == module) && e.in(f) {
			return f, e.class, true
		}
	}
	return 0, 0, false
}

// path gives the full class path of c in family f, as it is written.
func path(f Family, c class) string {
	for i := range entries {
		if e := &entries[i]; e.in(f) && e.class == c {
			return f.String() + "." + e.module + "." + e.name
		}
	}
	panic("crm: class without a path")
}

// symbol is a member of an enum.
type symbol struct {
	name   string
	number int
}

// symbols lists the members of an enum. Those which only older versions had
// are here too: a packet that uses one is of another time, not garbage.
func (c class) symbols() []symbol {
	if c == enumHostType {
		return []symbol{{"WORKER", 1}, {"COLLECTOR", 2}, {"MONITOR", hostMonitor}}
	}
	return []symbol{{"PROBE_INIT", packetProbeInit}, {"PROBE_ACK", packetProbeAck}, {"REG_ACK", packetRegisterAck},
		{"QUERY_ACK", 4}, {"METRIC_INIT", 100}}
}

// Numbers on the wire.
const (
	packetProbeInit   = 1
	packetProbeAck    = 2
	packetRegisterAck = 3

	hostMonitor = 3
)

func (c class) numberOf(name string) (int, bool) {
	for _, s := range c.symbols() {
		if s.name == name {
			return s.number, true
		}
	}
	return 0, false
}

func (c class) nameOf(number int) (string, bool) {
	for _, s := range c.symbols() {
		if s.number == number {
			return s.name, true
		}
	}
	return "", false
}
