package fleettest

import (
	"errors"
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/api"
)

// TestWithoutADatagramAWorkerJoinsAndStreams: collectord calls nobody, and the
// worker's settings list the coordinator. It registers by POST /v1/register, is told
// there where the collector is, and not one datagram is sent.
func TestWithoutADatagramAWorkerJoinsAndStreams(t *testing.T) {
	t.Parallel()
	f := newInProcess(t, "w1")
	f.collector.Discovery.Targets = nil
	w1 := f.machines["w1"]
	w1.worker.Enrol.Coordinators = []string{loopback(f.control)}
	f.startServers()
	w1.hold(f.token(api.TokenRequest{Addresses: []string{loopback(freePort(t))}})) // where nobody is
	w1.start()
	f.eventually("it is registered and its frames arrive", w1.working)
	w1.comesToStand("member", "")
	if s, err := w1.status(); err != nil || s.Coordinator != loopback(f.control) {
		t.Errorf("it has asked %q, %v", s.Coordinator, err)
	}
	f.eventually("its figures are there", func() error {
		return errors.Join(
			f.is(0, `sum(cloudless_prober_sent_total)`)(),
			f.is(0, `cloudless_discovery_datagrams_total{instance="w1"}`)(),
			f.is(0, `cloudless_discovery_datagrams_total{job="coordinatord"}`)(),
			f.atLeast(1, `sum(cloudless_registry_probe_acks_total)`)(),
		)
	})
	// It stays in by itself: a restart of the coordinator, which nobody calls out,
	// is survived as well.
	f.stop("coordinatord")
	f.startCoordinator()
	f.eventually("it is registered after a restart of the coordinator", w1.working)
}
