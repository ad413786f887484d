package coordinator

import (
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/registry"
	"github.com/cloudless-fleet/cloudless/pkg/selfmetrics"
)

// metrics lists what the coordinator tells of itself.
func (c *coordinator) metrics() model.Metrics {
	m := selfmetrics.Process(c.build.Version)
	port := c.registrar.Stats()
	selfmetrics.Listen(&m, port.Listen)
	selfmetrics.Send(&m, port.Send)
	m.Count("cloudless_discovery_answers_limited_per_address_total", "Answers withheld because one address asked too often.", port.LimitedAddress)
	const unanswered, help = "cloudless_coordinator_probe_acks_unanswered_total", "ProbeAck that could not be answered, by reason."
	m.Count(unanswered, help, c.withoutID.Load(), "reason", "no_worker_id")
	m.Count(unanswered, help, c.withoutPort.Load(), "reason", "no_endpoint")
	registryMetrics(&m, c.registry.Stats())
	admissionMetrics(&m, c.desk.Stats())
	c.trustMetrics(&m)
	c.connectionMetrics(&m)
	c.guard.metrics(&m)
	m = append(m, c.http.Stats().Metrics()...)
	return m
}

func registryMetrics(m *model.Metrics, s registry.Stats) {
	for state := model.Probed; state <= model.Left; state++ {
		m.Gauge("cloudless_registry_workers", "Known workers, by state.", float64(s.States[state]), "state", state.String())
	}
	m.Gauge("cloudless_registry_members", "Workers admitted and not forgotten.", float64(s.Members))
	m.Gauge("cloudless_registry_conflicts", "Worker ids used by two machines now.", float64(s.Conflicts))
	m.Count("cloudless_registry_probe_acks_total", "Wishes to be registered.", s.ProbeAcks)
	for _, verdict := range registry.Verdicts() {
		m.Count("cloudless_registry_answers_total", "Answers to them, by verdict.", s.Answers[verdict], "verdict", verdict.String())
	}
	m.Count("cloudless_registry_cooling_down_total", "Workers turned away without retries left.", s.CoolingDown)
	m.Count("cloudless_registry_renewals_total", "Leases renewed.", s.Renewals)
	m.Count("cloudless_registry_unknown_contacts_total", "Contacts of workers that are not members.", s.UnknownContacts)
	m.Count("cloudless_registry_suspicions_total", "Workers that fell silent for half their lease.", s.Suspicions)
	m.Count("cloudless_registry_expirations_total", "Workers whose lease was spent.", s.Expirations)
	m.Count("cloudless_registry_revivals_total", "Workers that came back.", s.Revivals)
	m.Count("cloudless_registry_evicted_total", "Workers not admitted, forgotten to make room.", s.Evicted)
	m.Count("cloudless_registry_forgotten_total", "Members forgotten.", s.Forgotten)
	m.Gauge("cloudless_registry_unsaved_workers", "Workers with changes that are not on disk yet.", float64(s.Unsaved))
	m.Count("cloudless_registry_write_errors_total", "Failed writes of the registry file; they are tried again.", s.WriteErrors)
	m.Count("cloudless_registry_quarantined_total", "Damaged entries set aside at start.", s.Quarantined)
}
