package discovery

import (
	"bytes"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/crm"
)

type badPacket struct {
	b      []byte
	reason crm.Reason
}

// badPackets gives one packet or more for every reason to refuse one, but the
// oversized, which fit into one datagram only.
func badPackets(t *testing.T) []badPacket {
	good := string(encode(t, probeOf("collector", "192.0.2.1", 3)))
	ack := string(encode(t, ackOf("worker1", "192.0.2.1")))
	change := func(packet, old, new string) []byte {
		changed := strings.Replace(packet, old, new, 1)
		if changed == packet {
			t.Fatalf("%q is not in %s", old, packet)
		}
		return []byte(changed)
	}
	return []badPacket{
		{[]byte("garbage"), crm.NotJSON},
		{bytes.Repeat([]byte{0xff}, 700), crm.NotJSON},
		{[]byte(""), crm.NotJSON},
		{[]byte(good[:len(good)/2]), crm.NotJSON},
		{[]byte(ack[:len(ack)-1]), crm.NotJSON},
		{[]byte(good + "\x00"), crm.NotJSON},
		{bytes.Repeat([]byte("x"), 1500), crm.TooLarge},
		{[]byte(good + strings.Repeat(" ", crm.MaxPacket)), crm.TooLarge},
		{bytes.Repeat([]byte("["), 1000), crm.TooDeep},
		{change(good, "dtos.host_info.HostInfo", "os.system"), crm.UnknownClass},
		{change(good, `{"py/tuple": [2]}`, `{"py/function": "os.system"}`), crm.ForbiddenTag},
		{change(good, `"collector"`, `{"py/id": 1}`), crm.Reference},
		{change(good, "dtos.probe_init.ProbeInit", "vrmjobs.query_ack.QueryAck"), crm.Unsupported},
		{change(good, "dtos.probe_init.ProbeInit", "dtos.probe_ack.ProbeAck"), crm.TypeMismatch},
		{change(ack, "dtos.probe_ack.ProbeAck", "vrmjobs.probe_ack.ProbeAck"), crm.TypeMismatch},
		{change(good, `"hostname"`, `"name"`), crm.MissingMember},
		{change(good, `10100`, `"10100"`), crm.WrongType},
		{change(good, `10100`, `0`), crm.BadValue},
		{change(good, `"fleet_size": 3`, `"fleet_size": -3`), crm.BadExtension},
		{change(good, `"interval_ms": 10000`, `"interval_ms": 1e9`), crm.BadExtension},
	}
}

// flood sends bad datagrams and says how they must be counted.
// It waits for the port now and then, so that the kernel drops none.
func flood(t *testing.T, datagrams int, to netip.AddrPort, heard func() ListenStats) (want ListenStats) {
	t.Helper()
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	bad := append(badPackets(t), badPacket{bytes.Repeat([]byte("{"), 9000), crm.TooLarge})
	before := heard()
	want = before
	const atOnce = 10
	for i := range datagrams {
		p := bad[i%len(bad)]
		if _, err := conn.Write(p.b); err != nil {
			t.Fatal(err)
		}
		want.Datagrams++
		want.Refused[p.reason]++
		if i%atOnce == atOnce-1 {
			until(t, "all datagrams to be read", func() bool { return heard().Datagrams >= want.Datagrams })
		}
	}
	return want
}

// checkFlood floods a port and asserts that all was counted and nothing grew.
func checkFlood(t *testing.T, to netip.AddrPort, heard func() ListenStats) {
	t.Helper()
	flood(t, 500, to, heard) // whatever is made once is made now
	heap, goroutines := memory()
	want := flood(t, 10_000, to, heard)
	got := heard()
	want.Bytes = got.Bytes
	if got != want {
		t.Errorf("heard %+v, want %+v", got, want)
	}
	heapAfter, goroutinesAfter := memory()
	if grown := int64(heapAfter) - int64(heap); grown > 256<<10 {
		t.Errorf("the heap grew by %d bytes", grown)
	}
	if goroutinesAfter > goroutines {
		t.Errorf("%d goroutines, %d before", goroutinesAfter, goroutines)
	}
}

func memory() (heap uint64, goroutines int) {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc, runtime.NumGoroutine()
}

func TestFloodOnResponder(t *testing.T) {
	cfg := DefaultResponderConfig()
	cfg.Listen = "127.0.0.1:0"
	r, err := NewResponder(cfg, ResponderDeps{Handler: &worker{}, Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	start(t, r.Run)
	checkFlood(t, r.Addr(), func() ListenStats { return r.Stats().Listen })

	// An honest collector is still answered.
	collector, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	defer collector.Close()
	probe := probeOf("collector", "127.0.0.1", 3)
	probe.Info.Ports[0].Port = addrPortOf(collector.LocalAddr()).Port()
	if got := ask(t, collector, probe, r.Addr()); got.(*crm.ProbeAck).Info.Hostname != "worker1" {
		t.Errorf("answered with %+v", got)
	}
}

func TestFloodOnRegistrar(t *testing.T) {
	cfg := DefaultRegistrarConfig()
	cfg.Listen = "127.0.0.1:0"
	r, err := NewRegistrar(cfg, RegistrarDeps{Register: admit, Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	start(t, r.Run)
	checkFlood(t, r.Addr(), func() ListenStats { return r.Stats().Listen })

	// An honest worker is still answered.
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ack := ackOf("worker1", "")
	ack.Info.Ports[0].Port = addrPortOf(conn.LocalAddr()).Port()
	if got := ask(t, conn, ack, r.Addr()); !got.(*crm.RegisterAck).Info.Status {
		t.Errorf("answered with %+v", got)
	}
}

// ask sends m and waits for what comes back.
func ask(t *testing.T, conn *net.UDPConn, m crm.Message, to netip.AddrPort) crm.Message {
	t.Helper()
	if _, err := conn.WriteToUDPAddrPort(encode(t, m), to); err != nil {
		t.Fatal(err)
	}
	buffer := make([]byte, 2048)
	n, _, err := conn.ReadFromUDPAddrPort(buffer)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := crm.Parse(buffer[:n])
	if err != nil {
		t.Fatal(err)
	}
	return answer
}
