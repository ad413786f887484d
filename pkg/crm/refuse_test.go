package crm

import (
	"math"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

func refused(t *testing.T, want Reason, packet string) {
	t.Helper()
	m, err := Parse([]byte(packet))
	wantReason(t, err, want, packet)
	if m != nil {
		t.Errorf("a message with the error: %+v", m)
	}
}

func TestGarbage(t *testing.T) {
	for _, packet := range []string{"", " ", "\x00", "garbage", "{", "}", "[", `"`, `{"a"}`, `{'a': 1}`, `{"a": 1,}`, "\xff\xfe",
		`{"py/object": "\xff"}`, "{\"a\": \"\xc3\x28\"}", "NaN", "nul", "01", "REGISTER", "ACK",
		goldenProbeInit + "\x00", goldenProbeInit + "\x00\x00\x00", goldenProbeInit + "x", goldenProbeInit + goldenProbeInit[:9],
		"\ufeff" + goldenProbeInit, goldenProbeInit[:len(goldenProbeInit)-1], goldenProbeInit[1:]} {
		refused(t, NotJSON, packet)
	}
	for n := range goldenRegisterAck {
		refused(t, NotJSON, goldenRegisterAck[:n])
	}
}

func TestNotAPacket(t *testing.T) {
	for _, packet := range []string{"null", "true", "1", `"PROBE_INIT"`, "[]", `[{}]`} {
		refused(t, WrongType, packet)
	}
	refused(t, MissingMember, "{}")
	refused(t, MissingMember, `{"py/state": {"py/object": "dtos.ProbeInit"}}`)
	refused(t, TypeMismatch, `{"py/object": "dtos.host_info.HostInfo"}`)
}

func TestDepth(t *testing.T) {
	nested := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	refused(t, TooDeep, nested(maxDepth+1))
	refused(t, TooDeep, strings.Repeat("[", MaxPacket))
	refused(t, TooDeep, strings.Repeat(`{"a":`, maxDepth+1))
	refused(t, WrongType, nested(maxDepth))
	same(t, replace(goldenProbeInit, `"id": `, `"x": `+nested(maxDepth-1)+`, "id": `), sampleProbeInit())
	// Brackets in texts do not count.
	same(t, replace(goldenProbeInit, `"id": `, `"x": "\"`+strings.Repeat("[", 99)+`\\", "id": `), sampleProbeInit())
}

// Nothing outside the closed list is interpreted, wherever it stands.
func TestTagsOfCodeExecution(t *testing.T) {
	f := func(want Reason, value string) {
		t.Helper()
		refused(t, want, value)
		refused(t, want, `{"a": [`+value+`]}`)
		for _, member := range []string{`"id": `, `"type": `, `"ports": `, `"extra": `} {
			// An earlier duplicate would be dropped, so the member is put behind.
			refused(t, want, strings.TrimSuffix(goldenProbeInit, "}")+", "+member+value+"}")
			refused(t, want, replace(goldenProbeInit, reduceHost, reduceHost+", "+member+value))
		}
		refused(t, want, strings.TrimSuffix(goldenProbeInit, "}")+`, "cloudless": {"x": `+value+`}}`)
	}
	f(ForbiddenTag, `{"py/reduce": [{"py/function": "os.system"}, {"py/tuple": ["id"]}]}`)
	f(ForbiddenTag, `{"py/reduce": [{"py/function": "builtins.eval"}, {"py/tuple": ["1"]}]}`)
	f(ForbiddenTag, `{"py/reduce": ["os.system", {"py/tuple": ["id"]}]}`)
	f(ForbiddenTag, `{"py/reduce": []}`)
	f(ForbiddenTag, `{"py/reduce": {}}`)
	f(ForbiddenTag, `{"py/reduce": null}`)
	f(ForbiddenTag, `{"py/function": "os.system"}`)
	f(ForbiddenTag, `{"py/function": ["builtins.getattr"]}`)
	f(ForbiddenTag, `{"py/repr": "os/os.system('id')"}`)
	f(ForbiddenTag, `{"py/newargs": []}`)
	f(ForbiddenTag, `{"py/newargsex": []}`)
	f(ForbiddenTag, `{"py/initargs": []}`)
	f(ForbiddenTag, `{"py/mod": "os/os"}`)
	f(ForbiddenTag, `{"py/ref": 1}`)
	f(ForbiddenTag, `{"py/iterator": []}`)
	f(ForbiddenTag, `{"py/set": []}`)
	f(ForbiddenTag, `{"py/": 1}`)
	f(ForbiddenTag, `{"py/object": 1}`)
	f(ForbiddenTag, `{"py/type": null}`)
	f(Reference, `{"py/id": 1}`)
	f(UnknownClass, `{"py/type": "os.system"}`)
	f(UnknownClass, `{"py/type": "builtins.type"}`)
	f(UnknownClass, `{"py/type": "dtos.host_info.HostInfo"}`)
	f(UnknownClass, `{"py/object": "dtos.host_type.HostType"}`)
	f(UnknownClass, `{"py/object": "subprocess.Popen"}`)
	f(UnknownClass, `{"py/object": ""}`)
	f(UnknownClass, `{"py/object": "dtos"}`)
	f(UnknownClass, `{"py/object": "dtos."}`)
	f(UnknownClass, `{"py/object": "dtos.probe_init"}`)
	f(UnknownClass, `{"py/object": "dtos.probe_ack.ProbeInit"}`)
	f(UnknownClass, `{"py/object": "dtos.probe_init.ProbeInit.x"}`)
	f(UnknownClass, `{"py/object": "DTOS.probe_init.ProbeInit"}`)
	f(UnknownClass, `{"py/object": "xdtos.probe_init.ProbeInit"}`)
	f(UnknownClass, `{"py/object": "dtos.query_ack.QueryAck"}`)
	f(UnknownClass, `{"py/type": "dtos.vrm_type.VrmType"}`)
	f(UnknownClass, `{"py/type": "vrmjobs.crm_pkt_type.CrmPktType"}`)
}

func TestOlderAndOtherPackets(t *testing.T) {
	refused(t, Unsupported, goldenQueryAck)
	refused(t, Unsupported, goldenReport)
	refused(t, Unsupported, `{"py/object": "dtos.report_init.ReportInit", "type": "influx_report"}`)
	refused(t, Unsupported, `{"py/object": "vrmjobs.metric_init.MetricInit", "packet_id": "x", "type": 100}`)
	// vrmjobs 1.x
	refused(t, Unsupported, `{"py/object": "vrmjobs.probe_init.ProbeInit", "id": "x", "info": {"py/object": "vrmjobs.collector_info.CollectorInfo", "ip_addr": "192.0.2.1", "port": 10100}, "type": 1}`)
	refused(t, Unsupported, `{"py/object": "vrmjobs.ProbeAck", "id": "x", "info": {"py/object": "vrmjobs.WorkerInfo"}, "type": 2}`)
	// The monitor host of 2.x
	refused(t, Unsupported, replace(goldenProbeInit, `[2]}]}`, `[3]}]}`))
}

func TestContradictions(t *testing.T) {
	for _, packetType := range []string{`"PROBE_ACK"`, `2`, `"3"`, `"QUERY_ACK"`, `100`,
		`{"py/reduce": [{"py/type": "dtos.crm_pkt_type.CrmPktType"}, {"py/tuple": [2]}]}`,
		`{"py/reduce": [{"py/function": "builtins.getattr"}, {"py/tuple": [{"py/type": "dtos.crm_pkt_type.CrmPktType"}, "REG_ACK"]}]}`,
		`{"py/reduce": [{"py/type": "dtos.host_type.HostType"}, {"py/tuple": [1]}]}`,
		`{"py/reduce": [{"py/type": "vrmjobs.vrm_type.VrmType"}, {"py/tuple": [1]}]}`} {
		refused(t, TypeMismatch, replace(goldenProbeInit, reduceInit, packetType))
	}
	refused(t, TypeMismatch, replace(goldenProbeInit, "dtos.probe_init.ProbeInit", "dtos.probe_ack.ProbeAck"))
	refused(t, TypeMismatch, replace(goldenProbeInit, "dtos.probe_init.ProbeInit", "vrmjobs.probe_init.ProbeInit"))
	refused(t, TypeMismatch, replace(goldenProbeInit, "dtos.host_info.HostInfo", "dtos.register_info.RegisterInfo"))
	refused(t, TypeMismatch, replace(goldenProbeInit, "dtos.host_info.HostInfo", "vrmjobs.host_info.HostInfo"))
	refused(t, TypeMismatch, replace(goldenProbeInit, "dtos.port_info.PortInfo", "dtos.host_info.HostInfo"))
	refused(t, TypeMismatch, replace(goldenRegisterAck, "dtos.register_info.RegisterInfo", "dtos.host_info.HostInfo"))
}

func TestUnknownNumbersAndNames(t *testing.T) {
	for _, packetType := range []string{`0`, `5`, `-1`, `"0"`, `""`, `"probe_init"`, `"CrmPktType.PROBE_INIT"`, `1.0`, `1e0`, `99999999999999999999`,
		`{"py/reduce": [{"py/type": "dtos.crm_pkt_type.CrmPktType"}, {"py/tuple": [7]}]}`,
		`{"py/reduce": [{"py/type": "dtos.crm_pkt_type.CrmPktType"}, {"py/tuple": []}]}`,
		`{"py/reduce": [{"py/type": "dtos.crm_pkt_type.CrmPktType"}, {"py/tuple": [1, 1]}]}`,
		`{"py/reduce": [{"py/type": "dtos.crm_pkt_type.CrmPktType"}, {"py/tuple": [1]}, {}]}`,
		`{"py/reduce": [{"py/type": "dtos.crm_pkt_type.CrmPktType"}, {"py/tuple": [1]}, null, null, null, null]}`,
		`{"py/reduce": [{"py/function": "builtins.getattr"}, {"py/tuple": ["PROBE_INIT"]}]}`} {
		refused(t, BadValue, replace(goldenProbeInit, reduceInit, packetType))
	}
	for _, hostType := range []string{`0`, `4`, `"MANAGER"`} {
		refused(t, BadValue, replace(goldenProbeInit, reduceHost, hostType))
	}
}

func TestMissingMembers(t *testing.T) {
	for _, name := range []string{"id", "info", "type", "hostname", "inet_addr", "ports", "daemon", "port"} {
		refused(t, MissingMember, replace(goldenProbeInit, `"`+name+`": `, `"no_`+name+`": `))
	}
	for _, name := range []string{"status", "message", "max_retries"} {
		refused(t, MissingMember, replace(goldenRegisterAck, `"`+name+`": `, `"no_`+name+`": `))
	}
	refused(t, MissingMember, replace(goldenProbeInit, `"py/object": "dtos.host_info.HostInfo", `, ""))
}

func TestWrongTypes(t *testing.T) {
	f := func(golden, old, value string) { t.Helper(); refused(t, WrongType, replace(golden, old, value)) }
	f(goldenProbeInit, `"78f6ac6d-ec8d-44cf-abc8-584e4255e9d3"`, `7`)
	f(goldenProbeInit, `"collector"`, `null`)
	f(goldenProbeInit, `"collector"`, `["collector"]`)
	f(goldenProbeInit, `"127.0.0.2"`, `2130706434`)
	f(goldenProbeInit, `"127.0.0.2"`, `null`)
	f(goldenProbeInit, `10100`, `"10100"`)
	f(goldenProbeInit, `10100`, `true`)
	f(goldenProbeInit, `"coordinatord"`, `{}`)
	f(goldenProbeInit, reduceInit, `null`)
	f(goldenProbeInit, reduceInit, `true`)
	f(goldenProbeInit, reduceInit, `[1]`)
	f(goldenProbeInit, reduceInit, `{}`)
	f(goldenProbeInit, reduceHost, `{"py/reduce": [{"py/type": "dtos.host_type.HostType"}, 2]}`)
	f(goldenRegisterAck, `true`, `1`)
	f(goldenRegisterAck, `true`, `"true"`)
	f(goldenRegisterAck, `"max_retries": 0`, `"max_retries": null`)
	f(goldenRegisterAck, `{"py/tuple": ["Successfully registered at collector host."]}`, `null`)
	f(goldenRegisterAck, `{"py/tuple": ["Successfully registered at collector host."]}`, `{"py/tuple": "x"}`)
	f(goldenRegisterAck, `{"py/tuple": ["Successfully registered at collector host."]}`, `[5]`)
	refused(t, WrongType, `{"py/object": "dtos.ProbeInit", "id": "x", "type": 1, "info": "192.0.2.1"}`)
	refused(t, WrongType, `{"py/object": "dtos.ProbeInit", "id": "x", "type": 1, "info": {"py/object": "dtos.HostInfo", "hostname": "h", "inet_addr": "", "type": 1, "ports": {"workerd": 1}}}`)
	refused(t, WrongType, `{"py/object": "dtos.ProbeInit", "py/state": [1]}`)
}

func TestBadValues(t *testing.T) {
	f := func(golden, old, value string) { t.Helper(); refused(t, BadValue, replace(golden, old, value)) }
	for _, port := range []string{`0`, `-1`, `65536`, `10100.0`, `1e4`, `99999999999999999999`} {
		f(goldenProbeInit, `10100`, port)
	}
	for _, name := range []string{``, strings.Repeat("x", maxName+1), `a\u0000b`, `a\nb`, `a\u001b[31mb`, `\u202eevil`, `\ud800`, `\u200b`} {
		f(goldenProbeInit, `"collector"`, `"`+name+`"`)
	}
	f(goldenProbeInit, `"coordinatord"`, `""`)
	f(goldenProbeInit, `"coordinatord"`, `"`+strings.Repeat("x", maxDaemon+1)+`"`)
	f(goldenProbeInit, `"78f6ac6d-ec8d-44cf-abc8-584e4255e9d3"`, `"`+strings.Repeat("x", maxID+1)+`"`)
	for _, addr := range []string{"collector.example", "127.0.0", "127.0.0.2.1", " 127.0.0.2", "127.0.0.02", "fe80::1%eth0", "127.0.0.2/8", "127.0.0.2:10100"} {
		f(goldenProbeInit, `127.0.0.2`, addr)
	}
	for _, retries := range []string{`-1`, `0.5`, `1000001`, `1e2`} {
		f(goldenRegisterAck, `"max_retries": 0`, `"max_retries": `+retries)
	}
	f(goldenRegisterAck, `["Successfully registered at collector host."]`, `[]`)
	f(goldenRegisterAck, `["Successfully registered at collector host."]`, `["a", "b"]`)
}

func TestBadExtensions(t *testing.T) {
	f := func(golden string, extensions ...string) {
		t.Helper()
		for _, extension := range extensions {
			refused(t, BadExtension, strings.TrimSuffix(golden, "}")+`, "cloudless": `+extension+"}")
		}
	}
	id := sampleWorkerID().String()
	f(goldenProbeInit, `null`, `1`, `"x"`, `[]`, `{}`,
		`{"fleet": "", "fleet_size": 1, "interval_ms": 1}`,
		`{"fleet": "a\nb", "fleet_size": 1, "interval_ms": 1}`,
		`{"fleet": "`+strings.Repeat("x", maxFleet+1)+`", "fleet_size": 1, "interval_ms": 1}`,
		`{"fleet": 1, "fleet_size": 1, "interval_ms": 1}`,
		`{"fleet": "a", "fleet_size": -1, "interval_ms": 1}`,
		`{"fleet": "a", "fleet_size": 10000001, "interval_ms": 1}`,
		`{"fleet": "a", "fleet_size": 1.5, "interval_ms": 1}`,
		`{"fleet": "a", "fleet_size": "1", "interval_ms": 1}`,
		`{"fleet": "a", "fleet_size": 1, "interval_ms": 0}`,
		`{"fleet": "a", "fleet_size": 1, "interval_ms": 86400001}`,
		`{"fleet": "a", "fleet_size": 1}`)
	f(goldenProbeAck, `{}`, `{"worker_id": "`+id+`"}`, `{"keep_alive_ms": 1000}`,
		`{"worker_id": "x", "keep_alive_ms": 1000}`,
		`{"worker_id": 1, "keep_alive_ms": 1000}`,
		`{"worker_id": "00000000-0000-0000-0000-000000000000", "keep_alive_ms": 1000}`,
		`{"worker_id": "`+id+`", "keep_alive_ms": 0}`,
		`{"worker_id": "`+id+`", "keep_alive_ms": 9223372036854775807}`,
		`{"worker_id": "`+id+`", "keep_alive_ms": 1000, "version": 1}`,
		`{"worker_id": "`+id+`", "keep_alive_ms": 1000, "version": null}`,
		`{"worker_id": "`+id+`", "keep_alive_ms": 1000, "version": "`+strings.Repeat("x", maxVersion+1)+`"}`)
	f(goldenRegisterAck, `{}`, `{"worker_id": ""}`,
		`{"worker_id": "`+id+`", "instance": "\u0007"}`,
		`{"worker_id": "`+id+`", "instance": 1}`,
		`{"worker_id": "`+id+`", "state": 3}`,
		`{"worker_id": "`+id+`", "state": "REGISTERED"}`)
}

// What Parse refuses, Append does not write.
func TestAppendRefusesBadValues(t *testing.T) {
	f := func(want Reason, m Message) {
		t.Helper()
		if b, err := m.Append(nil); len(b) != 0 {
			t.Errorf("Append wrote %s", b)
		} else {
			wantReason(t, err, want, "Append")
		}
	}
	probe := func(change func(*ProbeInit)) *ProbeInit {
		m := sampleProbeInit()
		m.Ext = &ProbeInitExt{Fleet: "lab", Interval: time.Second}
		change(m)
		return m
	}
	f(BadValue, probe(func(m *ProbeInit) { m.ID = "a\x00" }))
	f(BadValue, probe(func(m *ProbeInit) { m.ID = strings.Repeat("x", 129) }))
	f(BadValue, probe(func(m *ProbeInit) { m.Info.Hostname = "" }))
	f(BadValue, probe(func(m *ProbeInit) { m.Info.Hostname = "\xff" }))
	f(BadValue, probe(func(m *ProbeInit) { m.Info.Addr = netip.MustParseAddr("fe80::1%eth0") }))
	f(BadValue, probe(func(m *ProbeInit) { m.Info.Ports[0].Port = 0 }))
	f(BadValue, probe(func(m *ProbeInit) { m.Info.Ports[0].Daemon = "" }))
	f(BadValue, probe(func(m *ProbeInit) { m.Info.Type = 0 }))
	f(BadValue, probe(func(m *ProbeInit) { m.Info.Type = hostMonitor }))
	f(BadExtension, probe(func(m *ProbeInit) { m.Ext.Fleet = "" }))
	f(BadExtension, probe(func(m *ProbeInit) { m.Ext.FleetSize = -1 }))
	f(BadExtension, probe(func(m *ProbeInit) { m.Ext.Interval = 0 }))
	f(BadExtension, probe(func(m *ProbeInit) { m.Ext.Interval = math.MaxInt64 }))
	f(BadExtension, probe(func(m *ProbeInit) { m.Ext.Interval = time.Second + time.Microsecond }))
	f(TooLarge, probe(func(m *ProbeInit) { m.Info.Hostname = strings.Repeat("ü", 100) }))

	ack := sampleProbeAck()
	ack.Ext = &ProbeAckExt{KeepAlive: time.Second}
	f(BadExtension, ack)
	ack.Ext = &ProbeAckExt{WorkerID: sampleWorkerID(), KeepAlive: time.Second, Version: strings.Repeat("x", 65)}
	f(BadExtension, ack)

	f(BadValue, &RegisterAck{Info: RegisterInfo{Message: "\xff"}})
	f(BadValue, &RegisterAck{Info: RegisterInfo{MaxRetries: -1}})
	f(BadValue, &RegisterAck{Info: RegisterInfo{MaxRetries: MaxRetries + 1}})
	f(BadExtension, &RegisterAck{Ext: &RegisterAckExt{}})
	f(BadExtension, &RegisterAck{Ext: &RegisterAckExt{WorkerID: sampleWorkerID(), State: model.Left + 1}})
}

func TestReasonsHaveNames(t *testing.T) {
	seen := make(map[string]bool)
	for r := range Reason(NumReasons) {
		if name := r.String(); name == "" || seen[name] || strings.ContainsAny(name, " (") {
			t.Errorf("reason %d is called %q", r, name)
		} else {
			seen[name] = true
		}
	}
}

func TestErrorSaysWhereAndWhat(t *testing.T) {
	f := func(packet, want string) {
		t.Helper()
		if _, err := Parse([]byte(packet)); err == nil || err.Error() != want {
			t.Errorf("got error %v, want %s", err, want)
		}
	}
	f(replace(goldenProbeInit, "9090", "0"), "crm packet: bad_value at info.ports[1].port: 0, want a whole number from 1 to 65535")
	f(replace(goldenProbeInit, `"collector"`, `""`), "crm packet: bad_value at info.hostname: empty")
	f(replace(goldenProbeInit, `"daemon": "collectord"`, `"daemon": ""`), "crm packet: bad_value at info.ports[1].daemon: empty")
	f(`{"a": [{"x": 1}, {"py/id": 1}]}`, "crm packet: reference at a[1].py/id")
	f(`[[{"py/repr": 1}]]`, "crm packet: forbidden_tag at [0][0].py/repr")
	f(`{"\u001b[31m": {"py/object": "os.system"}}`, `crm packet: unknown_class at "\x1b[31m".py/object: "os.system"`)
}
