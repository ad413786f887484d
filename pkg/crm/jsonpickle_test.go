package crm

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// The legacy classes, as far as jsonpickle sees them: one module each, members
// assigned in the order in which they are written.
var legacyModules = map[string]string{
	"__init__.py": "",
	"host_type.py": `
from enum import Enum
class HostType(Enum):
    WORKER = 1
    COLLECTOR = 2
`,
	"crm_pkt_type.py": `
from enum import Enum
class CrmPktType(Enum):
    PROBE_INIT = 1
    PROBE_ACK = 2
    REG_ACK = 3
`,
	"port_info.py":     "class PortInfo:\n    def __init__(self, daemon, port):\n        self.daemon, self.port = daemon, port\n",
	"host_info.py":     "class HostInfo:\n    pass\n",
	"register_info.py": "class RegisterInfo:\n    pass\n",
	"probe_init.py":    "class ProbeInit:\n    pass\n",
	"probe_ack.py":     "class ProbeAck:\n    pass\n",
	"register_ack.py":  "class RegisterAck:\n    pass\n",
}

// The peer decodes each line, tells what it saw, and encodes it again.
const legacyPeer = `
import json, sys, jsonpickle
family, enum_class = sys.argv[1], sys.argv[2]
host_type = __import__(family + ".host_type", fromlist=["x"]).HostType
module = "crm_pkt_type" if family == "dtos" else "vrm_type"
packet_type = getattr(__import__(family + "." + module, fromlist=["x"]), enum_class)
for line in sys.stdin.buffer:
    seen = {"python": list(sys.version_info[:3]), "jsonpickle": jsonpickle.__version__}
    packet = jsonpickle.decode(line)
    seen["class"] = type(packet).__module__ + "." + type(packet).__name__
    seen["type"] = packet.type.name if isinstance(packet.type, packet_type) else "text " + packet.type
    seen["info"] = type(packet.info).__name__
    if seen["info"] == "HostInfo":
        assert isinstance(packet.info.type, host_type), packet.info.type
        seen["text"] = "%s %s %s" % (packet.info.hostname, packet.info.inet_addr, ",".join("%s:%d" % (p.daemon, p.port) for p in packet.info.ports))
    else:
        assert type(packet.info.message) is tuple, packet.info.message
        seen["text"] = "%s %s %d" % (packet.info.status, packet.info.message[0], packet.info.max_retries)
    seen["again"] = jsonpickle.encode(packet)
    print(json.dumps(seen), flush=True)
`

type legacySaw struct {
	Python     [3]int
	Jsonpickle string
	Class      string
	Type       string
	Info       string
	Text       string
	Again      string
}

// interpreters are the Pythons of this machine that have jsonpickle, and the
// one that CLOUDLESS_TEST_PYTHON names, if it has.
func interpreters(t *testing.T) []string {
	var found []string
	for _, name := range []string{"/usr/bin/python3", "python3", os.Getenv("CLOUDLESS_TEST_PYTHON")} {
		path, err := exec.LookPath(name)
		if err == nil && exec.Command(path, "-c", "import jsonpickle").Run() == nil {
			found = append(found, path)
		}
	}
	if len(found) == 0 {
		t.Skip("no python3 with jsonpickle on this machine (Debian: python3-jsonpickle)")
	}
	return found
}

// writeLegacyPackage makes the Python package of the family below dir.
func writeLegacyPackage(t *testing.T, dir string, family Family) {
	t.Helper()
	home := filepath.Join(dir, family.String())
	if err := os.MkdirAll(home, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, source := range legacyModules {
		if family == VrmJobs {
			name = strings.ReplaceAll(name, "crm_pkt_type", "vrm_type")
			source = strings.ReplaceAll(source, "CrmPktType", "VrmType")
		}
		if err := os.WriteFile(filepath.Join(home, name), []byte(source), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// askLegacyPeer lets real jsonpickle read and write the packets.
func askLegacyPeer(t *testing.T, python string, family Family, packets [][]byte) []legacySaw {
	t.Helper()
	dir := t.TempDir()
	writeLegacyPackage(t, dir, family)
	enum := map[Family]string{Dtos: "CrmPktType", VrmJobs: "VrmType"}[family]
	cmd := exec.CommandContext(t.Context(), python, "-c", legacyPeer, family.String(), enum)
	cmd.Env = append(os.Environ(), "PYTHONPATH="+dir, "PYTHONDONTWRITEBYTECODE=1")
	cmd.Stdin = bytes.NewReader(append(bytes.Join(packets, []byte("\n")), '\n'))
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", python, err, complaints.String())
	}
	var saw []legacySaw
	for d := json.NewDecoder(bytes.NewReader(out)); d.More(); {
		var s legacySaw
		if err := d.Decode(&s); err != nil {
			t.Fatal(err)
		}
		saw = append(saw, s)
	}
	if len(saw) != len(packets) {
		t.Fatalf("the peer read %d packets of %d", len(saw), len(packets))
	}
	return saw
}

func legacySamples(d Dialect) []Message {
	probe, ack, reply := sampleProbeInit(), sampleProbeAck(), sampleRegisterAck()
	extProbe, extAck, extReply := sampleProbeInit(), sampleProbeAck(), sampleRegisterAck()
	extProbe.Ext = &ProbeInitExt{Fleet: "läb", FleetSize: 3, Interval: 10 * time.Second}
	extAck.Ext = &ProbeAckExt{WorkerID: sampleWorkerID(), KeepAlive: 30 * time.Second, Version: "1.0.0"}
	extReply.Ext = &RegisterAckExt{WorkerID: sampleWorkerID(), Instance: "worker1", State: model.Pending}
	extReply.Info = RegisterInfo{Message: "No \"place\": \\ ü 😀\n", MaxRetries: 2}
	probe.Dialect, ack.Dialect, reply.Dialect = d, d, d
	extProbe.Dialect, extAck.Dialect, extReply.Dialect = d, d, d
	all := []Message{probe, ack, reply, extProbe, extAck, extReply}
	sealed, _ := sealedSamples()
	for _, m := range sealed {
		switch m := m.(type) {
		case *ProbeInit:
			m.Dialect = d
		case *ProbeAck:
			m.Dialect = d
		case *RegisterAck:
			m.Dialect = d
		}
	}
	return append(all, sealed...)
}

func TestRealJsonpickle(t *testing.T) {
	for _, python := range interpreters(t) {
		for _, d := range []Dialect{{}, {NamedType: true}, {PaddedReduce: true}, {Family: VrmJobs}, {Family: VrmJobs, NamedType: true}} {
			messages := legacySamples(d)
			var packets [][]byte
			for _, m := range messages {
				b, err := m.Append(nil)
				if err != nil {
					t.Fatal(err)
				}
				packets = append(packets, b)
			}
			for i, saw := range askLegacyPeer(t, python, d.Family, packets) {
				checkLegacySaw(t, d, messages[i], packets[i], saw)
			}
		}
	}
}

func checkLegacySaw(t *testing.T, d Dialect, m Message, packet []byte, saw legacySaw) {
	t.Helper()
	class, kind, text := "", "", ""
	switch m := m.(type) {
	case *ProbeInit:
		class, kind, text = ".probe_init.ProbeInit", "PROBE_INIT", "collector 127.0.0.2 coordinatord:10100,collectord:9090"
	case *ProbeAck:
		class, kind, text = ".probe_ack.ProbeAck", "PROBE_ACK", "worker1 127.0.0.3 workerd:10300,builderd:5000"
	case *RegisterAck:
		class, kind, text = ".register_ack.RegisterAck", "REG_ACK", "True Successfully registered at collector host. 0"
		if !m.Info.Status {
			text = "False " + m.Info.Message + " 2"
		}
	}
	if d.NamedType {
		kind = "text " + kind
	}
	if saw.Class != d.Family.String()+class || saw.Type != kind || saw.Text != text {
		t.Errorf("the peer saw %s of type %q with %q, want %s of type %q with %q", saw.Class, saw.Type, saw.Text, d.Family.String()+class, kind, text)
	}
	back, err := Parse([]byte(saw.Again))
	if err != nil {
		t.Errorf("Parse of what jsonpickle %s on Python %v wrote: %v\n%s", saw.Jsonpickle, saw.Python, err, saw.Again)
		return
	}
	padding := cmp.Comparer(func(a, b Dialect) bool { return a.Family == b.Family && a.NamedType == b.NamedType })
	if diff := cmp.Diff(m, back, compare(), padding); diff != "" {
		t.Errorf("read back from jsonpickle %s (-want +got):\n%s", saw.Jsonpickle, diff)
	}
	if writesLikeUs(saw) && !d.PaddedReduce && saw.Again != string(packet) {
		t.Errorf("jsonpickle %s on Python %v writes\n%s\nwe write\n%s", saw.Jsonpickle, saw.Python, saw.Again, packet)
	}
}

// writesLikeUs reports whether a peer is of those that write the form of the
// legacy system's documentation: early CPython 3.11 spells enums otherwise,
// jsonpickle before 3 wraps members or orders them otherwise.
func writesLikeUs(saw legacySaw) bool {
	early311 := saw.Python[0] == 3 && saw.Python[1] == 11 && saw.Python[2] < 7
	return !early311 && saw.Jsonpickle >= "3"
}
