package crm

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// same asserts that the packet reads as want, dialect aside.
func same(t *testing.T, packet string, want Message) {
	t.Helper()
	got, err := Parse([]byte(packet))
	if err != nil {
		t.Errorf("Parse(%s): %v", packet, err)
		return
	}
	ignoreDialect := cmp.Comparer(func(a, b Dialect) bool { return true })
	if diff := cmp.Diff(want, got, compare(), ignoreDialect); diff != "" {
		t.Errorf("Parse(%s) (-want +got):\n%s", packet, diff)
	}
}

func replace(packet string, pairs ...string) string {
	return strings.NewReplacer(pairs...).Replace(packet)
}

const (
	reduceInit = `{"py/reduce": [{"py/type": "dtos.crm_pkt_type.CrmPktType"}, {"py/tuple": [1]}]}`
	reduceHost = `{"py/reduce": [{"py/type": "dtos.host_type.HostType"}, {"py/tuple": [2]}]}`
)

func TestEnumSpellings(t *testing.T) {
	f := func(packetType, hostType string) {
		t.Helper()
		same(t, replace(goldenProbeInit, reduceInit, packetType, reduceHost, hostType), sampleProbeInit())
	}
	// jsonpickle >= 1.2; <= 1.1; on CPython 3.11.2.
	f(reduceInit, reduceHost)
	f(`{"py/reduce": [{"py/type": "dtos.crm_pkt_type.CrmPktType"}, {"py/tuple": [1]}, null, null, null]}`,
		`{"py/reduce": [{"py/type": "dtos.host_type.HostType"}, {"py/tuple": [2]}, null, null, null]}`)
	f(`{"py/reduce": [{"py/function": "builtins.getattr"}, {"py/tuple": [{"py/type": "dtos.crm_pkt_type.CrmPktType"}, "PROBE_INIT"]}]}`,
		`{"py/reduce": [{"py/function": "builtins.getattr"}, {"py/tuple": [{"py/type": "dtos.host_type.HostType"}, "COLLECTOR"]}]}`)
	// The legacy daemons.
	f(`"PROBE_INIT"`, reduceHost)
	// Nobody known.
	f(`1`, `2`)
	f(`"1"`, `"2"`)
	f(`"PROBE_INIT"`, `"COLLECTOR"`)
	f(`{"py/reduce": [{"py/type": "dtos.CrmPktType"}, {"py/tuple": ["PROBE_INIT"]}]}`,
		`{"py/reduce": [{"py/type": "dtos.HostType"}, [2]]}`)
}

func TestDialectIsRecorded(t *testing.T) {
	f := func(packet string, want Dialect) {
		t.Helper()
		m, err := Parse([]byte(packet))
		if err != nil {
			t.Fatalf("Parse(%s): %v", packet, err)
		}
		if got := m.(*ProbeInit).Dialect; got != want {
			t.Errorf("dialect %+v, want %+v, for %s", got, want, packet)
		}
	}
	f(goldenProbeInit, Dialect{})
	f(replace(goldenProbeInit, reduceInit, `"PROBE_INIT"`), Dialect{NamedType: true})
	f(replace(goldenProbeInit, reduceInit, `"1"`), Dialect{})
	f(replace(goldenProbeInit, reduceInit, `1`), Dialect{})
	f(replace(goldenProbeInit, reduceInit, `{"py/reduce": [{"py/function": "builtins.getattr"}, {"py/tuple": [{"py/type": "dtos.crm_pkt_type.CrmPktType"}, "PROBE_INIT"]}]}`), Dialect{})
	f(replace(goldenProbeInit, `dtos.crm_pkt_type.CrmPktType`, `vrmjobs.vrm_type.VrmType`, `dtos.`, `vrmjobs.`), Dialect{Family: VrmJobs})
	f(replace(goldenProbeInit, `[2]}]}`, `[2]}, null, null, null]}`), Dialect{PaddedReduce: true})
}

func TestShortClassPaths(t *testing.T) {
	short := []string{".probe_init", "", ".probe_ack", "", ".register_ack", "", ".host_info", "", ".port_info", "",
		".register_info", "", ".crm_pkt_type", "", ".host_type", ""}
	same(t, replace(goldenProbeInit, short...), sampleProbeInit())
	same(t, replace(goldenProbeAck, short...), sampleProbeAck())
	same(t, replace(goldenRegisterAck, short...), sampleRegisterAck())
}

func TestAnyKeyOrder(t *testing.T) {
	// encoding/json sorts the members, as jsonpickle 1.2 and 1.3 do.
	sorted := func(packet string) string {
		var tree any
		if err := json.Unmarshal([]byte(packet), &tree); err != nil {
			t.Fatal(err)
		}
		b, _ := json.Marshal(tree)
		return string(b)
	}
	same(t, sorted(goldenProbeInit), sampleProbeInit())
	same(t, sorted(goldenProbeAck), sampleProbeAck())
	same(t, sorted(goldenRegisterAck), sampleRegisterAck())
	// The class at the end, at every level.
	same(t, `{"type": "REG_ACK", "info": {"max_retries": 0, "message": "Successfully registered at collector host.", "status": true,
		"py/object": "dtos.register_info.RegisterInfo"}, "id": "9b1f0c3e-0000-4000-8000-000000000001", "py/object": "dtos.register_ack.RegisterAck"}`,
		sampleRegisterAck())
	// The class at the beginning, the rest sorted, as 0.9 to 1.1 do.
	same(t, `{"py/object": "dtos.register_ack.RegisterAck", "id": "9b1f0c3e-0000-4000-8000-000000000001",
		"info": {"py/object": "dtos.register_info.RegisterInfo", "max_retries": 0, "message": {"py/tuple": ["Successfully registered at collector host."]}, "status": true},
		"type": {"py/reduce": [{"py/type": "dtos.crm_pkt_type.CrmPktType"}, {"py/tuple": [3]}, null, null, null]}}`, sampleRegisterAck())
}

// wrap puts the members of every object into a py/state, as jsonpickle up to
// 2.2 does on CPython from 3.11 on.
func wrap(v any) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = wrap(v[i])
		}
	case map[string]any:
		for name := range v {
			v[name] = wrap(v[name])
		}
		if class, ok := v["py/object"]; ok {
			delete(v, "py/object")
			return map[string]any{"py/object": class, "py/state": v}
		}
	}
	return v
}

func TestStateWrapping(t *testing.T) {
	for _, packet := range []struct {
		golden string
		want   Message
	}{{goldenProbeInit, sampleProbeInit()}, {goldenProbeAck, sampleProbeAck()}, {goldenRegisterAck, sampleRegisterAck()}} {
		var tree any
		if err := json.Unmarshal([]byte(packet.golden), &tree); err != nil {
			t.Fatal(err)
		}
		b, _ := json.Marshal(wrap(tree))
		if !strings.Contains(string(b), `"py/state"`) {
			t.Fatalf("nothing is wrapped in %s", b)
		}
		same(t, string(b), packet.want)
	}
}

func TestExtensionInsideState(t *testing.T) {
	m := sampleProbeInit()
	m.Ext = &ProbeInitExt{Fleet: "lab", FleetSize: 1, Interval: 1e6}
	b, _ := m.Append(nil)
	var tree any
	if err := json.Unmarshal(b, &tree); err != nil {
		t.Fatal(err)
	}
	b, _ = json.Marshal(wrap(tree))
	same(t, string(b), m)
}

func TestWhiteSpace(t *testing.T) {
	same(t, goldenProbeInit+"\n", sampleProbeInit())
	same(t, " \t\r\n"+goldenProbeInit+" \r\n", sampleProbeInit())
	same(t, replace(goldenProbeInit, ", ", ",", ": ", ":"), sampleProbeInit())
	same(t, replace(goldenProbeInit, ", ", "\n,\t", ": ", " : "), sampleProbeInit())
}

func TestMessageSpellings(t *testing.T) {
	for _, message := range []string{`{"py/tuple": ["Successfully registered at collector host."]}`,
		`["Successfully registered at collector host."]`, `"Successfully registered at collector host."`} {
		same(t, replace(goldenRegisterAck, `{"py/tuple": ["Successfully registered at collector host."]}`, message), sampleRegisterAck())
	}
}

func TestLastOfDuplicatesCounts(t *testing.T) {
	same(t, replace(goldenProbeInit, `"port": 10100`, `"port": 1, "port": 10100`), sampleProbeInit())
	same(t, replace(goldenProbeInit, `"id": "78f6`, `"id": 5, "id": "78f6`), sampleProbeInit())
	// A whole object is replaced, not merged.
	same(t, replace(goldenProbeInit, `"info": {`, `"info": {"py/object": "dtos.host_info.HostInfo", "hostname": "other"}, "info": {`), sampleProbeInit())
}

func TestExtraMembersAreHarmless(t *testing.T) {
	for _, extra := range []string{`"x": 1`, `"x": null`, `"": {}`, `"x": {"y": [1.5e300, {"z": true}]}`, `"cloud": "less"`,
		// HostInfo of vrmjobs 2.1.0 carries queries.
		`"queries": [{"py/object": "vrmjobs.query_info.QueryInfo", "job": "cadvisor", "filters": []}]`,
		`"seen": {"py/tuple": [1, 2]}`} {
		same(t, replace(goldenProbeInit, `"id": `, extra+`, "id": `), sampleProbeInit())
		same(t, replace(goldenProbeInit, `"hostname": `, extra+`, "hostname": `), sampleProbeInit())
		same(t, replace(goldenProbeInit, `"daemon": "collectord"`, extra+`, "daemon": "collectord"`), sampleProbeInit())
	}
}

func TestUnknownMembersOfTheExtension(t *testing.T) {
	m := sampleProbeInit()
	m.Ext = &ProbeInitExt{Fleet: "lab", FleetSize: 0, Interval: 1e9}
	same(t, strings.TrimSuffix(goldenProbeInit, "}")+`, "cloudless": {"sig": [1, {"a": "b"}], "interval_ms": 1000, "fleet_size": 0, "fleet": "lab"}}`, m)
}

func TestAddresses(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		m, err := Parse([]byte(replace(goldenProbeInit, "127.0.0.2", text)))
		if err != nil {
			t.Errorf("inet_addr %q: %v", text, err)
			return
		}
		got := ""
		if a := m.(*ProbeInit).Info.Addr; a.IsValid() {
			got = a.String()
		}
		if got != want {
			t.Errorf("inet_addr %q read as %q, want %q", text, got, want)
		}
	}
	f("", "")
	f("0.0.0.0", "0.0.0.0")
	f("192.0.2.9", "192.0.2.9")
	f("2001:db8::1", "2001:db8::1")
	f("::ffff:192.0.2.9", "192.0.2.9")
}
