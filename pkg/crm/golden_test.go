package crm

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// The packets of the legacy system's own documentation, byte for byte.
const (
	goldenProbeInit = `{"py/object": "dtos.probe_init.ProbeInit", "id": "78f6ac6d-ec8d-44cf-abc8-584e4255e9d3", "info": {"py/object": "dtos.host_info.HostInfo", "hostname": "collector", "inet_addr": "127.0.0.2", "ports": [{"py/object": "dtos.port_info.PortInfo", "daemon": "coordinatord", "port": 10100}, {"py/object": "dtos.port_info.PortInfo", "daemon": "collectord", "port": 9090}], "type": {"py/reduce": [{"py/type": "dtos.host_type.HostType"}, {"py/tuple": [2]}]}}, "type": {"py/reduce": [{"py/type": "dtos.crm_pkt_type.CrmPktType"}, {"py/tuple": [1]}]}}`

	goldenProbeAck = `{"py/object": "dtos.probe_ack.ProbeAck", "id": "0c6f2a1e-0000-4000-8000-000000000002", "info": {"py/object": "dtos.host_info.HostInfo", "hostname": "worker1", "inet_addr": "127.0.0.3", "ports": [{"py/object": "dtos.port_info.PortInfo", "daemon": "workerd", "port": 10300}, {"py/object": "dtos.port_info.PortInfo", "daemon": "builderd", "port": 5000}], "type": {"py/reduce": [{"py/type": "dtos.host_type.HostType"}, {"py/tuple": [1]}]}}, "type": {"py/reduce": [{"py/type": "dtos.crm_pkt_type.CrmPktType"}, {"py/tuple": [2]}]}}`

	goldenRegisterAck = `{"py/object": "dtos.register_ack.RegisterAck", "id": "9b1f0c3e-0000-4000-8000-000000000001", "info": {"py/object": "dtos.register_info.RegisterInfo", "status": true, "message": {"py/tuple": ["Successfully registered at collector host."]}, "max_retries": 0}, "type": {"py/reduce": [{"py/type": "dtos.crm_pkt_type.CrmPktType"}, {"py/tuple": [3]}]}}`

	goldenQueryAck = `{"py/object": "vrmjobs.query_ack.QueryAck", "packet_id": "0b1f0c3e-0000-4000-8000-000000000001", "hostname": "worker1", "job": "cadvisor", "filters": [{"py/object": "vrmjobs.filter_info.FilterInfo", "category": "cpu", "criteria": [{"field_name": "id", "field_value": "/docker/.+", "regex": "=~"}]}], "type": {"py/reduce": [{"py/type": "vrmjobs.vrm_type.VrmType"}, {"py/tuple": [4]}]}}`

	goldenReport = `{"type": "influx_report", "measurement": "host_cpu_usage", "tags": ["hostname=worker1"], "fields": ["avg_cpu=35.3"], "timestamp": 1598559679}`
)

func sampleProbeInit() *ProbeInit {
	return &ProbeInit{ID: "78f6ac6d-ec8d-44cf-abc8-584e4255e9d3", Info: model.HostInfo{
		Hostname: "collector", Addr: netip.MustParseAddr("127.0.0.2"), Type: model.HostCollector,
		Ports: []model.PortInfo{{Daemon: "coordinatord", Port: 10100}, {Daemon: "collectord", Port: 9090}},
	}}
}

func sampleProbeAck() *ProbeAck {
	return &ProbeAck{ID: "0c6f2a1e-0000-4000-8000-000000000002", Info: model.HostInfo{
		Hostname: "worker1", Addr: netip.MustParseAddr("127.0.0.3"), Type: model.HostWorker,
		Ports: []model.PortInfo{{Daemon: "workerd", Port: 10300}, {Daemon: "builderd", Port: 5000}},
	}}
}

func sampleRegisterAck() *RegisterAck {
	return &RegisterAck{ID: "9b1f0c3e-0000-4000-8000-000000000001",
		Info: RegisterInfo{Status: true, Message: "Successfully registered at collector host."}}
}

func sampleWorkerID() model.WorkerID { return model.WorkerIDFrom([16]byte{1, 2, 3, 15: 255}) }

// checkBothWays asserts that m is written as want and read back from it.
func checkBothWays(t *testing.T, m Message, want string) {
	t.Helper()
	got, err := m.Append([]byte("before"))
	if err != nil {
		t.Fatalf("Append(%+v): %v", m, err)
	}
	if diff := cmp.Diff("before"+want, string(got)); diff != "" {
		t.Errorf("Append (-want +got):\n%s", diff)
	}
	back, err := Parse([]byte(want))
	if err != nil {
		t.Fatalf("Parse(%s): %v", want, err)
	}
	if diff := cmp.Diff(m, back, compare()); diff != "" {
		t.Errorf("Parse (-want +got):\n%s", diff)
	}
}

func compare() cmp.Option {
	return cmp.Comparer(func(a, b netip.Addr) bool { return a == b })
}

func TestSpecExamples(t *testing.T) {
	checkBothWays(t, sampleProbeInit(), goldenProbeInit)
	checkBothWays(t, sampleProbeAck(), goldenProbeAck)
	checkBothWays(t, sampleRegisterAck(), goldenRegisterAck)
}

func TestFailedRegistration(t *testing.T) {
	m := &RegisterAck{ID: "x", Info: RegisterInfo{Message: "Failed to register at collector host.", MaxRetries: 3}}
	checkBothWays(t, m, `{"py/object": "dtos.register_ack.RegisterAck", "id": "x", "info": {"py/object": "dtos.register_info.RegisterInfo", "status": false, "message": {"py/tuple": ["Failed to register at collector host."]}, "max_retries": 3}, "type": {"py/reduce": [{"py/type": "dtos.crm_pkt_type.CrmPktType"}, {"py/tuple": [3]}]}}`)
}

func TestDialects(t *testing.T) {
	f := func(d Dialect, changes ...string) {
		t.Helper()
		packets := []Message{
			&ProbeInit{ID: sampleProbeInit().ID, Info: sampleProbeInit().Info, Dialect: d},
			&ProbeAck{ID: sampleProbeAck().ID, Info: sampleProbeAck().Info, Dialect: d},
			&RegisterAck{ID: sampleRegisterAck().ID, Info: sampleRegisterAck().Info, Dialect: d},
		}
		for i, golden := range []string{goldenProbeInit, goldenProbeAck, goldenRegisterAck} {
			checkBothWays(t, packets[i], strings.NewReplacer(changes...).Replace(golden))
		}
	}
	names := []string{
		`{"py/reduce": [{"py/type": "dtos.crm_pkt_type.CrmPktType"}, {"py/tuple": [1]}]}`, `"PROBE_INIT"`,
		`{"py/reduce": [{"py/type": "dtos.crm_pkt_type.CrmPktType"}, {"py/tuple": [2]}]}`, `"PROBE_ACK"`,
		`{"py/reduce": [{"py/type": "dtos.crm_pkt_type.CrmPktType"}, {"py/tuple": [3]}]}`, `"REG_ACK"`,
	}
	old := []string{`dtos.crm_pkt_type.CrmPktType`, `vrmjobs.vrm_type.VrmType`, `dtos.`, `vrmjobs.`}
	padded := []string{`[1]}]}`, `[1]}, null, null, null]}`, `[2]}]}`, `[2]}, null, null, null]}`, `[3]}]}`, `[3]}, null, null, null]}`}
	f(Dialect{NamedType: true}, names...)
	f(Dialect{Family: VrmJobs}, old...)
	f(Dialect{PaddedReduce: true}, padded...)
	f(Dialect{Family: VrmJobs, NamedType: true}, append(names, old...)...)
	f(Dialect{Family: VrmJobs, PaddedReduce: true}, append(padded, old...)...)
}

// Between daemons with an old jsonpickle the packet's type is a name and only
// the host's type shows the age.
func TestHostTypeTellsPadding(t *testing.T) {
	m := sampleProbeAck()
	m.Dialect = Dialect{NamedType: true, PaddedReduce: true}
	checkBothWays(t, m, strings.NewReplacer(`[1]}]}`, `[1]}, null, null, null]}`,
		`{"py/reduce": [{"py/type": "dtos.crm_pkt_type.CrmPktType"}, {"py/tuple": [2]}]}`, `"PROBE_ACK"`).Replace(goldenProbeAck))
}

func TestExtensions(t *testing.T) {
	extended := func(golden, member string) string { return strings.TrimSuffix(golden, "}") + member + "}" }

	probe := sampleProbeInit()
	probe.Ext = &ProbeInitExt{Fleet: "lab", FleetSize: 3, Interval: 10 * time.Second}
	checkBothWays(t, probe, extended(goldenProbeInit, `, "cloudless": {"fleet": "lab", "fleet_size": 3, "interval_ms": 10000}`))

	ack := sampleProbeAck()
	ack.Ext = &ProbeAckExt{WorkerID: sampleWorkerID(), KeepAlive: 30 * time.Second, Version: "1.2.3"}
	checkBothWays(t, ack, extended(goldenProbeAck, `, "cloudless": {"worker_id": "01020300-0000-4000-8000-0000000000ff", "keep_alive_ms": 30000, "version": "1.2.3"}`))
	ack.Ext.Version = ""
	checkBothWays(t, ack, extended(goldenProbeAck, `, "cloudless": {"worker_id": "01020300-0000-4000-8000-0000000000ff", "keep_alive_ms": 30000}`))

	reply := sampleRegisterAck()
	reply.Ext = &RegisterAckExt{WorkerID: sampleWorkerID(), Instance: "worker1", State: model.Registered}
	checkBothWays(t, reply, extended(goldenRegisterAck, `, "cloudless": {"worker_id": "01020300-0000-4000-8000-0000000000ff", "instance": "worker1", "state": "registered"}`))
	reply.Ext = &RegisterAckExt{WorkerID: sampleWorkerID()}
	checkBothWays(t, reply, extended(goldenRegisterAck, `, "cloudless": {"worker_id": "01020300-0000-4000-8000-0000000000ff"}`))
}

// What json.dumps of CPython writes for the same text.
func TestTextAsPythonWritesIt(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		if got := string(appendText(nil, text)); got != want {
			t.Errorf("appendText(%q) = %s, want %s", text, got, want)
		}
	}
	f("", `""`)
	f("worker1", `"worker1"`)
	f(`a"b\c/d`, `"a\"b\\c/d"`)
	f("\n\r\t\f\b", `"\n\r\t\f\b"`)
	f("\x00\x1f\x7f", `"\u0000\u001f\u007f"`)
	f("~ <>&", `"~ <>&"`)
	f("müll", `"m\u00fcll"`)
	f("\u2028\uffff", `"\u2028\uffff"`)
	f("😀", `"\ud83d\ude00"`)
	f("\U00010000\U0010ffff", `"\ud800\udc00\udbff\udfff"`)
}

func TestEmptyAddressAndPorts(t *testing.T) {
	m := sampleProbeInit()
	m.Info.Addr, m.Info.Ports = netip.Addr{}, nil
	checkBothWays(t, m, strings.NewReplacer("127.0.0.2", "", `[{"py/object": "dtos.port_info.PortInfo", "daemon": "coordinatord", "port": 10100}, {"py/object": "dtos.port_info.PortInfo", "daemon": "collectord", "port": 9090}]`, `[]`).Replace(goldenProbeInit))
}

// A packet of 1023 bytes goes out, one of 1024 does not.
func TestAppendRefusesWhatLegacyPeersCutOff(t *testing.T) {
	m := sampleRegisterAck()
	base, _ := m.Append(nil)
	m.Info.Message += strings.Repeat("x", MaxPacket-len(base))
	b, err := m.Append(nil)
	if err != nil || len(b) != 1023 {
		t.Fatalf("Append: %d bytes, %v; want 1023 bytes", len(b), err)
	}
	if back, err := Parse(b); err != nil || !cmp.Equal(back, Message(m), compare()) {
		t.Errorf("Parse of 1023 bytes = %+v, %v", back, err)
	}
	m.Info.Message += "x"
	b, err = m.Append([]byte("before"))
	wantReason(t, err, TooLarge, "1024 bytes")
	if string(b) != "before" {
		t.Errorf("Append returned %q on an error, want dst as it was", b)
	}
	_, err = Parse([]byte(strings.Repeat(" ", MaxPacket+1)))
	wantReason(t, err, TooLarge, "1024 spaces")
}

func wantReason(t *testing.T, err error, want Reason, input string) {
	t.Helper()
	if e, ok := err.(*Error); !ok || e.Reason != want {
		t.Errorf("got error %v, want reason %v, for %.300s", err, want, input)
	}
}
