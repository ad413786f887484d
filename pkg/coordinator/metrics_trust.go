package coordinator

import (
	"github.com/cloudless-fleet/cloudless/pkg/admission"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

func admissionMetrics(m *model.Metrics, s admission.Stats) {
	outcomes := append([]string{string(admission.OutcomeAdmitted), string(admission.OutcomePending)}, admission.Reasons()...)
	for _, outcome := range outcomes {
		m.Count("cloudless_admission_enrolments_total", "Wishes to be let in, by what became of them.", s.Enrolments[outcome], "outcome", outcome)
	}
	for _, outcome := range outcomes {
		m.Count("cloudless_admission_renewals_total", "Wishes of members for another certificate, by what became of them.", s.Renewals[outcome], "outcome", outcome)
	}
	for _, way := range []string{"token", "operator", "policy", "clone"} {
		m.Count("cloudless_admission_new_members_total", "Machines let in, by the way they came.", s.NewMembers[way], "way", way)
	}
	m.Gauge("cloudless_admission_members", "Workers let in and not forgotten.", float64(s.Members))
	m.Gauge("cloudless_admission_pending", "Machines that wait for approval.", float64(s.Pending))
	m.Gauge("cloudless_admission_rejected", "Machines that an operator has turned away.", float64(s.Rejected))
	m.Gauge("cloudless_admission_tokens", "Join tokens on the list, those that serve no more included.", float64(s.Tokens))
	m.Count("cloudless_admission_evicted_total", "Waiting machines that were forgotten to make room.", s.Evicted)
	m.Count("cloudless_admission_forgotten_total", "Members and machines that an operator has removed.", s.Forgotten)
	m.Gauge("cloudless_sessions", "Open connections of workers that wait for directives, by whether they have their session.", float64(s.Sessions), "state", "admitted")
	m.Gauge("cloudless_sessions", "Open connections of workers that wait for directives, by whether they have their session.", float64(s.Waiting), "state", "waiting")
	for kind := admission.NewsAdmitted; kind <= admission.NewsForgotten; kind++ {
		m.Count("cloudless_session_news_total", "Decisions about processes that asked for a session.", s.News[kind], "news", kind.String())
	}
	m.Gauge("cloudless_admission_unsaved", "Changes that are not on disk yet.", float64(s.Unsaved))
	m.Count("cloudless_admission_write_errors_total", "Failed writes of the admission file; they are tried again.", s.WriteErrors)
	m.Count("cloudless_admission_quarantined_total", "Damaged entries set aside at start.", s.Quarantined)
}

// trustMetrics are figures of the fleet's trust. Times are Unix seconds.
func (c *coordinator) trustMetrics(m *model.Metrics) {
	m.Gauge("cloudless_certificate_not_after_seconds", "When the daemon's own certificate ends, Unix time.", float64(c.home.credentials.NotAfter().Unix()), "for", "fleet")
	m.Count("cloudless_certificate_renewals_total", "Renewals of the daemon's own certificate.", c.home.renewals.Load())
	m.Count("cloudless_certificate_renewal_errors_total", "Renewals that failed; they are tried again.", c.home.failures.Load())
	m.Gauge("cloudless_authority_not_after_seconds", "When the authority that issues ends, Unix time.", float64(c.home.NotAfter().Unix()))
	m.Gauge("cloudless_authorities", "Authorities in the bundle: two while one is replaced.", float64(len(c.home.Bundle().Authorities)))
	m.Gauge("cloudless_revoked", "Entries of the revocation list.", float64(c.revoked.Len()))
	m.Gauge("cloudless_collectors", "Collectors heard within the last hour.", float64(c.collectors.count()))
	m.Gauge("cloudless_discovery_replay_senders", "Senders of discovery packets that the replay window remembers.", float64(c.home.verifier.Senders()))
	m.Count("cloudless_audit_errors_total", "Entries of the audit log that could not be written.", c.auditErrors.Load())
}

func (c *coordinator) connectionMetrics(m *model.Metrics) {
	ports := []struct {
		name string
		connectionFigures
	}{{"tcp", c.connections.figures()}, {"unix", c.locals.figures()}}
	for _, p := range ports {
		const name, help = "cloudless_control_connections", "Open connections of the control channel, by who is at the other end."
		m.Gauge(name, help, float64(p.members), "port", p.name, "peer", "member")
		m.Gauge(name, help, float64(p.strangers), "port", p.name, "peer", "stranger")
	}
	for _, p := range ports {
		const name, help = "cloudless_control_connections_refused_total", "Connections that were too many, by which bound."
		m.Count(name, help, p.refused.full, "port", p.name, "reason", "strangers")
		m.Count(name, help, p.refused.place, "port", p.name, "reason", "strangers_of_one_address")
		m.Count(name, help, p.refused.members, "port", p.name, "reason", "members")
		m.Count(name, help, p.refused.member, "port", p.name, "reason", "one_member")
	}
	for _, p := range ports {
		m.Count("cloudless_control_connections_lapsed_total", "Connections closed because nobody showed who he is.", p.lapsed, "port", p.name)
	}
	for _, p := range ports {
		m.Count("cloudless_control_connections_cut_total", "Connections of revoked members that were cut.", p.cut, "port", p.name)
	}
}

func (g *guard) metrics(m *model.Metrics) {
	const name, help = "cloudless_control_requests_refused_total", "Requests turned away before they were looked at, by reason."
	m.Count(name, help, g.refused.anonymous.Load(), "reason", "no_certificate")
	m.Count(name, help, g.refused.revoked.Load(), "reason", "revoked")
	m.Count(name, help, g.refused.expired.Load(), "reason", "certificate_ended")
	m.Count(name, help, g.refused.stranger.Load(), "reason", "no_member")
	m.Count(name, help, g.refused.forbidden.Load(), "reason", "forbidden")
	m.Count(name, help, g.refused.busy.Load(), "reason", "busy")
}
