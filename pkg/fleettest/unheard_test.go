package fleettest

import "testing"

// TestAWorkerWhoseDatagramsAreLostRegistersAllTheSame has the fleet's calls arrive
// and every answer to them get lost, as a firewall does it, or somebody on the
// wire: the control channel is left.
func TestAWorkerWhoseDatagramsAreLostRegistersAllTheSame(t *testing.T) {
	t.Parallel()
	f := newInProcess(t, "w1")
	f.coordinator.Discovery.Listen = loopback(freePort(t)) // not where collectord sends them
	f.startServers()
	f.machines["w1"].work()
}
