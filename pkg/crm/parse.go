package crm

import (
	"net/netip"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Parse reads one packet. White space around it is allowed, members may stand
// in any order, unknown ones are passed over. The error is an *Error. b is not
// kept.
func Parse(b []byte) (Message, error) {
	m, err := parse(b)
	if err != nil {
		return nil, err
	}
	return m, nil
}

func parse(b []byte) (Message, *Error) {
	if len(b) > MaxPacket {
		return nil, refuse(TooLarge, "", "more than %d bytes", MaxPacket)
	}
	tree, err := parseTree(b)
	if err != nil {
		return nil, err
	}
	if err := checkTags(tree); err != nil {
		return nil, err
	}
	return parsePacket(tree)
}

func parsePacket(tree any) (Message, *Error) {
	top, _ := tree.(map[string]any)
	// A report is the one legacy packet that is written without tags.
	if _, tagged := top[tagObject]; !tagged && top["type"] == "influx_report" {
		return nil, refuse(Unsupported, "", "a report")
	}
	o, err := parseObject("", tree)
	if err != nil {
		return nil, err
	}
	switch o.class {
	case classProbeInit:
		return parseProbeInit(o)
	case classProbeAck:
		return parseProbeAck(o)
	case classRegisterAck:
		return parseRegisterAck(o)
	case classOther:
		return nil, refuse(Unsupported, "", "a legacy packet that has no place here")
	}
	return nil, refuse(TypeMismatch, tagObject, "a part of a packet in place of a packet")
}

func parseProbeInit(o object) (Message, *Error) {
	m := &ProbeInit{}
	var err *Error
	if m.ID, m.Dialect, err = o.packet(packetProbeInit); err != nil {
		return nil, err
	}
	if m.Info, err = o.host("info", &m.Dialect); err != nil {
		return nil, err
	}
	m.Ext, err = parseProbeInitExt(o)
	return m, err
}

func parseProbeAck(o object) (Message, *Error) {
	m := &ProbeAck{}
	var err *Error
	if m.ID, m.Dialect, err = o.packet(packetProbeAck); err != nil {
		return nil, err
	}
	if m.Info, err = o.host("info", &m.Dialect); err != nil {
		return nil, err
	}
	m.Ext, err = parseProbeAckExt(o)
	return m, err
}

func parseRegisterAck(o object) (Message, *Error) {
	m := &RegisterAck{}
	var err *Error
	if m.ID, m.Dialect, err = o.packet(packetRegisterAck); err != nil {
		return nil, err
	}
	if m.Info, err = o.registration("info"); err != nil {
		return nil, err
	}
	m.Ext, err = parseRegisterAckExt(o)
	return m, err
}

// packet reads what all packets share: the id, and the type, which must be
// the one that belongs to the class.
func (o object) packet(number int) (id string, d Dialect, err *Error) {
	if id, err = o.text("id"); err != nil {
		return "", d, err
	}
	if err = checkID(id); err != nil {
		return "", d, err
	}
	got, spelled, err := o.enum("type", enumPacketType)
	if err != nil {
		return "", d, err
	}
	if got != number {
		return "", d, refuse(TypeMismatch, "type", "%d contradicts the class", got)
	}
	return id, Dialect{Family: o.family, NamedType: spelled == asName, PaddedReduce: spelled == asPaddedReduce}, nil
}

// host reads a HostInfo. The legacy daemons name the packet's type, so that
// the host's alone shows how they spell the others: that goes into d.
func (o object) host(name string, d *Dialect) (model.HostInfo, *Error) {
	info, err := o.object(name, classHostInfo)
	if err != nil {
		return model.HostInfo{}, err
	}
	h := model.HostInfo{}
	if h.Hostname, err = info.text("hostname"); err != nil {
		return h, err
	}
	if h.Addr, err = info.addr("inet_addr"); err != nil {
		return h, err
	}
	if h.Ports, err = info.ports("ports"); err != nil {
		return h, err
	}
	number, spelled, err := info.enum("type", enumHostType)
	if err != nil {
		return h, err
	}
	d.PaddedReduce = d.PaddedReduce || spelled == asPaddedReduce
	if number == hostMonitor {
		return h, refuse(Unsupported, info.at("type"), "a monitor host")
	}
	h.Type = model.HostType(number)
	return h, checkHost(&h)
}

// addr reads an address. An empty text is the zero Addr: the legacy system's
// published samples are often read with their addresses missing.
func (o object) addr(name string) (netip.Addr, *Error) {
	text, err := o.text(name)
	if err != nil || text == "" {
		return netip.Addr{}, err
	}
	addr, bad := netip.ParseAddr(text)
	if bad != nil {
		return addr, refuse(BadValue, o.at(name), "%q is no IP address", clip(text))
	}
	return addr.Unmap(), nil
}

func (o object) ports(name string) ([]model.PortInfo, *Error) {
	list, err := o.list(name)
	if err != nil {
		return nil, err
	}
	var ports []model.PortInfo
	for i := range list {
		item, err := o.item(index(o.at(name), i), list[i], classPortInfo)
		if err != nil {
			return nil, err
		}
		daemon, err := item.text("daemon")
		if err != nil {
			return nil, err
		}
		port, err := item.int("port", 1, 1<<16-1)
		if err != nil {
			return nil, err
		}
		ports = append(ports, model.PortInfo{Daemon: daemon, Port: uint16(port)})
	}
	return ports, nil
}

func (o object) registration(name string) (RegisterInfo, *Error) {
	info, err := o.object(name, classRegisterInfo)
	if err != nil {
		return RegisterInfo{}, err
	}
	r := RegisterInfo{}
	if r.Status, err = info.bool("status"); err != nil {
		return r, err
	}
	if r.Message, err = info.message("message"); err != nil {
		return r, err
	}
	if r.MaxRetries, err = info.int("max_retries", 0, MaxRetries); err != nil {
		return r, err
	}
	return r, nil
}

// message reads a text that the legacy class wraps into a tuple of one by
// accident: a tuple, a list or the bare text.
func (o object) message(name string) (string, *Error) {
	v, err := o.member(name)
	if err != nil {
		return "", err
	}
	if text, ok := v.(string); ok {
		return text, nil
	}
	list, err := o.list(name)
	if err != nil {
		return "", err
	}
	if len(list) != 1 {
		return "", refuse(BadValue, o.at(name), "%d texts, want 1", len(list))
	}
	text, ok := list[0].(string)
	if !ok {
		return "", refuse(WrongType, o.at(name), "want a text")
	}
	return text, nil
}
