package selfmetrics

import (
	"github.com/cloudless-fleet/cloudless/pkg/crm"
	"github.com/cloudless-fleet/cloudless/pkg/discovery"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust/packet"
)

// Listen lists what arrived on a port for discovery packets.
func Listen(m *model.Metrics, s discovery.ListenStats) {
	m.Count("cloudless_discovery_datagrams_total", "Datagrams received on the discovery port.", s.Datagrams)
	m.Count("cloudless_discovery_bytes_total", "Bytes received on the discovery port.", s.Bytes)
	const refused, help = "cloudless_discovery_refused_total", "Datagrams that were not accepted, by reason."
	for reason, count := range s.Refused {
		m.Count(refused, help, count, "reason", crm.Reason(reason).String())
	}
	m.Count(refused, help, s.Unexpected, "reason", "unexpected")
	const untrusted, why = "cloudless_discovery_untrusted_total", "Packets that were not believed, by reason."
	for reason := packet.OK + 1; int(reason) < packet.NumReasons; reason++ {
		m.Count(untrusted, why, s.Untrusted[reason], "reason", reason.String())
	}
	m.Count(untrusted, why, s.Limited, "reason", "rate_limit")
	m.Count("cloudless_discovery_read_errors_total", "Errors of the discovery socket; none ends the daemon.", s.ReadErrors)
}

// Send lists what was answered from such a port, and what was not and why.
func Send(m *model.Metrics, s discovery.SendStats) {
	m.Count("cloudless_discovery_answers_total", "Answers sent from the discovery port.", s.Sent)
	const withheld, help = "cloudless_discovery_answers_withheld_total", "Answers that were not sent, by reason."
	m.Count(withheld, help, s.SendErrors, "reason", "send_error")
	m.Count(withheld, help, s.BadDestination, "reason", "bad_destination")
	m.Count(withheld, help, s.Unencodable, "reason", "unencodable")
	m.Count(withheld, help, s.TooLarge, "reason", "too_large")
	m.Count(withheld, help, s.Limited, "reason", "rate_limit")
}
