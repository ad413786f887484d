package fleettest

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/crm"
	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/stream"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

// Bounds of what a flood may cost a daemon.
const (
	floodDatagrams   = 10_000 // to each UDP port
	floodConnections = 500    // of each kind, to the stream port
	floodMemory      = 64 << 20
	floodLog         = 256 << 10
)

// TestAFloodOfRubbishStopsNobody sends what no honest peer sends to every port
// of a working fleet, and looks whether it goes on working.
func TestAFloodOfRubbishStopsNobody(t *testing.T) {
	f := newFleet(t, "10.77.2.0/24", "w1", "w2")
	rude := f.lan.plug("rude")
	f.startWorkers()
	f.startServers()
	f.eventually(2*probeInterval+3*slack, "the fleet works", f.flowing("w1", "w2"))
	before := f.costs()

	for _, target := range []struct {
		host *host
		port uint16
		job  string
		send func(i int) []byte
	}{
		{f.hq, model.PortCoordinator, "coordinatord", func(i int) []byte { return rubbish(i, true) }},
		{f.workers[0], model.PortWorker, "node", func(i int) []byte { return rubbish(i, false) }},
	} {
		t.Run(fmt.Sprintf("datagrams to %s:%d", target.host.name, target.port), func(t *testing.T) {
			at := netip.AddrPortFrom(target.host.addr, target.port)
			rude.flood(t, at, target.send)
			f.counted(t, target.job, target.host.name, "cloudless_discovery_refused_total", "reason",
				"not_json", "too_large", "type_mismatch", "unknown_class", "missing_member", "forbidden_tag", "unexpected")
			lost := target.host.dropped(t, target.port)
			f.eventually(slack+slack, "every datagram is counted", func() error {
				got, err := f.value(fmt.Sprintf(`cloudless_discovery_datagrams_total{job=%q,instance=%q}`, target.job, target.host.name))
				if err == nil && got+lost < floodDatagrams {
					err = fmt.Errorf("%.0f counted and %.0f dropped by the kernel, want %d", got, lost, floodDatagrams)
				}
				return err
			})
		})
	}
	t.Run("connections to the stream port", func(t *testing.T) {
		at := netip.AddrPortFrom(f.hq.addr, model.PortCollector).String()
		for range floodConnections {
			rude.plainRubbish(t, at)
			rude.foreignHandshake(t, at)
			f.brokenFrames(t, rude, at, f.workers[0])
		}
		f.counted(t, "collectord", "hq", "cloudless_port_failed_total", "reason", "not_tls", "rejected")
		f.counted(t, "collectord", "hq", "cloudless_stream_ended_total", "reason", "protocol")
	})

	f.eventually(keepAlive+slack, "honest workers are still registered", f.inState(model.Registered, "w1", "w2"))
	f.eventually(keepAlive+slack, "their frames still arrive", f.flowing("w1", "w2"))
	f.costLittle(before)
}

// cost is what a running daemon takes of its host.
type cost struct{ memory, log int64 }

func (f *fleet) costs() map[string]cost {
	all := map[string]cost{}
	for key, d := range f.running {
		all[key] = cost{d.resident(f.t), d.logged()}
	}
	return all
}

// costLittle compares the daemons that ran before a flood with what they cost now.
func (f *fleet) costLittle(before map[string]cost) {
	f.t.Helper()
	after := f.costs()
	for key, was := range before {
		now := after[key]
		if grown := now.memory - was.memory; grown > floodMemory {
			f.t.Errorf("%s: memory has grown by %d MiB, from %d", key, grown>>20, was.memory>>20)
		}
		if grown := now.log - was.log; grown > floodLog {
			f.t.Errorf("%s: logged %d KiB", key, grown>>10)
		}
		f.t.Logf("%s: memory %d -> %d KiB, log %d -> %d KiB", key, was.memory>>10, now.memory>>10, was.log>>10, now.log>>10)
	}
}

// counted waits until a counter has risen for every one of the reasons.
func (f *fleet) counted(t *testing.T, job, instance, metric, label string, reasons ...string) {
	t.Helper()
	for _, reason := range reasons {
		f.eventually(2*slack, metric+" for "+reason, func() error {
			got, err := f.value(fmt.Sprintf(`%s{job=%q,instance=%q,%s=%q}`, metric, job, instance, label, reason))
			if err == nil && got == 0 {
				err = fmt.Errorf("counter is 0")
			}
			return err
		})
	}
}

// rubbish is the i-th bad datagram. The port gets every kind: noise, a message
// cut off, one too long, one that contradicts itself, a class nobody knows, a
// command to run, a member left out, and a message that belongs elsewhere.
func rubbish(i int, toCoordinator bool) []byte {
	info := model.HostInfo{Hostname: "rude", Type: model.HostWorker, Ports: []model.PortInfo{{Daemon: model.DaemonWorker, Port: 9}}}
	var good, elsewhere crm.Message = &crm.ProbeAck{ID: "x", Info: info}, &crm.RegisterAck{ID: "x"}
	if !toCoordinator {
		good, elsewhere = &crm.RegisterAck{ID: "x"}, &crm.ProbeAck{ID: "x", Info: info}
	}
	text, _ := good.Append(nil)
	switch i % 8 {
	case 0:
		noise := make([]byte, 1+i%900)
		rand.Read(noise)
		noise[0] = 0xff // never the beginning of JSON
		return noise
	case 1:
		return text[:len(text)/2]
	case 2:
		return append(text, bytes.Repeat([]byte{' '}, crm.MaxPacket)...)
	case 3:
		return bytes.Replace(bytes.Replace(text, []byte("[2]}]}}"), []byte("[1]}]}}"), 1), []byte("[3]}]}}"), []byte("[1]}]}}"), 1)
	case 4:
		return []byte(`{"py/object": "os.Popen", "id": "x"}`)
	case 5:
		return []byte(`{"py/object": "dtos.probe_ack.ProbeAck", "id": {"py/reduce": [{"py/function": "os.system"}, {"py/tuple": ["true"]}]}}`)
	case 6:
		return []byte(`{"py/object": "dtos.probe_ack.ProbeAck", "id": "x"}`)
	}
	text, _ = elsewhere.Append(nil)
	return text
}

// flood sends the datagrams in small bursts, so that most arrive.
func (h *host) flood(t *testing.T, to netip.AddrPort, datagram func(i int) []byte) {
	t.Helper()
	conn := h.dial(t, "udp", to.String())
	defer conn.Close()
	pause := time.NewTicker(2 * time.Millisecond)
	defer pause.Stop()
	for i := range floodDatagrams {
		if _, err := conn.Write(datagram(i)); err != nil {
			t.Fatal(err)
		}
		if i%20 == 19 {
			<-pause.C
		}
	}
}

// plainRubbish connects and sends what is no TLS.
func (h *host) plainRubbish(t *testing.T, addr string) {
	conn := h.dial(t, "tcp", addr)
	defer conn.Close()
	conn.Write([]byte("\x00\x01\x02 this is not TLS\r\n\r\n"))
}

// foreignHandshake begins TLS and turns away from the certificate it is shown.
func (h *host) foreignHandshake(t *testing.T, addr string) {
	conn := h.dial(t, "tcp", addr)
	defer conn.Close()
	stranger := tls.Client(conn, &tls.Config{ServerName: "somebody.else", NextProtos: []string{stream.ALPN}})
	if err := stranger.Handshake(); err == nil {
		t.Error("a stranger accepts the fleet's certificate")
	}
}

// brokenFrames connects as a member of the fleet, whose key was stolen, and sends
// what is no message.
func (f *fleet) brokenFrames(t *testing.T, h *host, addr string, robbed *host) {
	credentials := f.credentials(robbed)
	conn := h.dial(t, "tcp", addr)
	defer conn.Close()
	member := tls.Client(conn, credentials.Client(trust.RoleCollector, stream.ALPN))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := member.HandshakeContext(ctx); err != nil {
		t.Fatalf("handshake of a member: %v", err)
	}
	record := frame.AppendRecord(nil, frame.Record{Seq: 1, Kind: frame.KindFrame, Payload: []byte("rubbish")})
	member.Write(append([]byte{200, 16, 0, 0}, record...)) // no message has this type
}

// dropped is how many datagrams the kernel dropped at a UDP port of the host
// because its reader was slow: the last column of /proc/net/udp and udp6.
func (h *host) dropped(t *testing.T, port uint16) float64 {
	t.Helper()
	sum := 0.0
	for line := range strings.Lines(h.output("cat", "/proc/net/udp", "/proc/net/udp6")) {
		fields := strings.Fields(line)
		if len(fields) > 12 && strings.HasSuffix(fields[1], fmt.Sprintf(":%04X", port)) {
			sum += number(t, fields[len(fields)-1])
		}
	}
	return sum
}
