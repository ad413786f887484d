package crm

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// TestAcceptedHostNamesFitIntoEveryPacket: 253 bytes of non-ASCII used to be
// accepted as a configured name, though no packet could carry them, and the
// host never registered.
func TestAcceptedHostNamesFitIntoEveryPacket(t *testing.T) {
	addr := netip.MustParseAddr("2001:db80:1234:5678:9abc:def0:1234:5678")
	for _, letter := range []string{"h", "ä", "漢", "😀", `\`} {
		name := ""
		for CheckHostname(name+letter) == nil {
			name += letter
		}
		if len(name) < 64 || letter == "h" && len(name) != maxName {
			t.Errorf("%q: only %d bytes are accepted", letter, len(name))
		}
		for _, d := range []Dialect{{}, {PaddedReduce: true}, {NamedType: true}, {Family: VrmJobs, PaddedReduce: true}} {
			ack := &ProbeAck{ID: strings.Repeat("a", 36), Dialect: d, Info: model.HostInfo{Hostname: name, Addr: addr,
				Ports: []model.PortInfo{{Daemon: model.DaemonWorker, Port: 65535}}, Type: model.HostWorker},
				Ext: &ProbeAckExt{WorkerID: model.WorkerIDFrom([16]byte{1}), KeepAlive: MaxPeriod, Version: strings.Repeat("v", maxVersion)}}
			if _, err := ack.Append(nil); err != nil {
				t.Errorf("%q %+v: %v", letter, d, err)
			}
		}
		for _, named := range []bool{false, true} {
			probe := &ProbeInit{ID: strings.Repeat("a", 36), Dialect: Dialect{NamedType: named}, Info: model.HostInfo{Hostname: name, Addr: addr,
				Ports: []model.PortInfo{{Daemon: model.DaemonCoordinator, Port: 65535}, {Daemon: model.DaemonCollector, Port: 65535}}, Type: model.HostCollector},
				Ext: &ProbeInitExt{Fleet: strings.Repeat("f", maxFleet), FleetSize: MaxFleetSize, Interval: MaxPeriod}}
			if _, err := probe.Append(nil); err != nil {
				t.Errorf("%q probe named %v: %v", letter, named, err)
			}
		}
	}
}
