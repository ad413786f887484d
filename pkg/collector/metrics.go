package collector

import (
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/discovery"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/selfmetrics"
	"github.com/cloudless-fleet/cloudless/pkg/store"
	"github.com/cloudless-fleet/cloudless/pkg/store/volume"
	"github.com/cloudless-fleet/cloudless/pkg/stream"
)

// metrics lists what the collector tells of itself.
func (c *collector) metrics() model.Metrics {
	m := selfmetrics.Process(c.build.Version)
	fleetMetrics(&m, c.view.stats())
	contactMetrics(&m, c.contacts.stats())
	endingMetrics(&m, c.endings.stats())
	trustMetrics(&m, c.credentials.NotAfter(), c.web.notAfter(), c.renewal.stats(), c.beacon.stats())
	streams := c.streams.Stats()
	c.revoked.metrics(&m, streams.Cut)
	c.people.metrics(&m)
	proberMetrics(&m, c.prober.Stats())
	portMetrics(&m, c.port.Stats())
	streamMetrics(&m, streams)
	storeMetrics(&m, c.store.Stats())
	queries := c.queries.Stats()
	m.Gauge("cloudless_query_running", "Queries being evaluated.", float64(queries.Running))
	m.Gauge("cloudless_query_waiting", "Queries waiting for their turn.", float64(queries.Waiting))
	return append(m, c.http.Stats().Metrics()...)
}

func fleetMetrics(m *model.Metrics, s viewStats) {
	for state := model.Probed; state <= model.Left; state++ {
		m.Gauge("cloudless_fleet_workers", "Workers of the fleet, by state.", float64(s.Workers[state]), "state", state.String())
	}
	m.Count("cloudless_collector_coordinator_polls_total", "Requests for the register of the fleet.", s.Polls)
	m.Count("cloudless_collector_coordinator_errors_total", "Requests that failed.", s.Errors)
	reachable := 1.0
	if s.Failing {
		reachable = 0
	}
	m.Gauge("cloudless_collector_coordinator_reachable", "1 while the coordinator answers.", reachable)
}

// trustMetrics tells of the certificates; web is zero when browsers have none of
// their own yet.
func trustMetrics(m *model.Metrics, fleet, web time.Time, renewals certificateStats, hellos beaconStats) {
	const ends, endsHelp = "cloudless_certificate_not_after_seconds", "When the certificate ends, Unix time."
	m.Gauge(ends, endsHelp, float64(fleet.Unix()), "for", "fleet")
	browsers := model.Absent()
	if !web.IsZero() {
		browsers = float64(web.Unix())
	}
	m.Gauge(ends, endsHelp, browsers, "for", "browsers")
	m.Count("cloudless_certificate_renewals_total", "Certificates of the fleet got while running.", renewals.Renewals)
	m.Count("cloudless_certificate_renewal_errors_total", "Attempts to get one that failed.", renewals.Failures)
	m.Count("cloudless_collector_hellos_total", "Times that the coordinator was told of this collector.", hellos.Hellos)
	m.Count("cloudless_collector_hello_errors_total", "Times that it did not answer.", hellos.Errors)
}

func contactMetrics(m *model.Metrics, s contactStats) {
	m.Count("cloudless_collector_contacts_total", "Contacts of workers told to the coordinator.", s.Sent)
	m.Count("cloudless_collector_contacts_failed_total", "Times that the coordinator did not take them; they are told again.", s.Failed)
	m.Count("cloudless_collector_contacts_missed_total", "Contacts not told because too many waited.", s.Missed)
}

func endingMetrics(m *model.Metrics, s endingStats) {
	m.Count("cloudless_collector_ended_workers_total", "Workers that are gone and whose series were ended.", s.Ended)
	m.Count("cloudless_collector_endings_lost_total", "Workers that are gone and whose series could not be ended in time.", s.Lost)
	m.Gauge("cloudless_collector_endings_waiting", "Workers that are gone and whose series wait to be ended.", float64(s.Waiting))
}

func proberMetrics(m *model.Metrics, s discovery.ProberStats) {
	m.Count("cloudless_prober_rounds_total", "Rounds of ProbeInit.", s.Rounds)
	m.Count("cloudless_prober_look_errors_total", "Rounds in which the interfaces could not be listed.", s.LookErrors)
	const sent, sentHelp = "cloudless_prober_sent_total", "ProbeInit sent, by kind of destination."
	m.Count(sent, sentHelp, s.Sent, "to", "interface")
	m.Count(sent, sentHelp, s.Targets.Sent, "to", "target")
	const failed, failedHelp = "cloudless_prober_errors_total", "ProbeInit that could not be sent, by kind of destination."
	m.Count(failed, failedHelp, s.Errors, "to", "interface")
	m.Count(failed, failedHelp, s.Targets.Errors, "to", "target")
	m.Count("cloudless_prober_lookup_errors_total", "Names of targets that could not be looked up.", s.Targets.LookupErrors)
	for _, one := range s.Interfaces {
		m.Count("cloudless_prober_interface_sent_total", "ProbeInit sent by an interface.", one.Sent, "interface", one.Name)
	}
	for _, one := range s.Interfaces {
		m.Count("cloudless_prober_interface_errors_total", "ProbeInit that an interface could not send.", one.Errors, "interface", one.Name)
	}
	skipped := map[discovery.Skip]int{}
	for _, one := range s.Skipped {
		skipped[one.Why]++
	}
	for _, why := range skips() {
		m.Gauge("cloudless_prober_interfaces_skipped", "Interfaces that are not probed, by reason.", float64(skipped[why]), "reason", string(why))
	}
}

// skips lists the reasons not to probe an interface. Interfaces themselves are
// no labels: every container that starts brings one of a new name.
func skips() []discovery.Skip {
	return []discovery.Skip{discovery.SkipDown, discovery.SkipExcluded, discovery.SkipLoopback, discovery.SkipBridge,
		discovery.SkipVeth, discovery.SkipTunnel, discovery.SkipPointToPoint, discovery.SkipNotListed}
}

func portMetrics(m *model.Metrics, s stream.PortStats) {
	const open, openHelp = "cloudless_port_connections", "Connections open now, by what they are."
	m.Gauge(open, openHelp, float64(s.Handshakes), "kind", "handshake")
	m.Gauge(open, openHelp, float64(s.Streams), "kind", "stream")
	m.Gauge(open, openHelp, float64(s.HTTP), "kind", "http")
	m.Gauge(open, openHelp, float64(s.Lingering), "kind", "lingering")
	m.Count("cloudless_port_accepted_total", "Connections accepted.", s.Accepted)
	m.Count("cloudless_port_accept_errors_total", "Failures to accept one.", s.AcceptErrors)
	for failure, count := range s.Failed {
		m.Count("cloudless_port_failed_total", "Connections that came to nothing, by reason.", count, "reason", stream.Failure(failure).String())
	}
}

func streamMetrics(m *model.Metrics, s stream.ServerStats) {
	m.Gauge("cloudless_stream_connections", "Connections of workers, those without a hello included.", float64(s.Connections))
	m.Gauge("cloudless_stream_streams", "Streams of workers open now.", float64(s.Streams))
	m.Gauge("cloudless_stream_backfills", "Of the streams those that deliver a backlog.", float64(s.Backfills))
	m.Count("cloudless_stream_opened_total", "Streams opened.", s.Opened)
	for end, count := range s.Ended {
		m.Count("cloudless_stream_ended_total", "Connections that ended, by reason.", count, "reason", stream.End(end).String())
	}
	for cause, count := range s.Refused {
		m.Count("cloudless_stream_refused_total", "Connections refused, by the cause that the worker was told.", count, "cause", stream.Cause(cause).String())
	}
	for cause, count := range s.Rejected {
		m.Count("cloudless_stream_rejected_records_total", "Records refused, by cause.", count, "cause", stream.Cause(cause).String())
	}
	m.Count("cloudless_stream_records_total", "Records received, context included.", s.Records)
	m.Count("cloudless_stream_bytes_total", "Bytes of them.", s.Bytes)
	m.Count("cloudless_stream_missing_records_total", "Records that workers had dropped before they could be sent.", s.Missing)
	m.Gauge("cloudless_stream_in_flight_bytes", "Bytes of records received and not acknowledged.", float64(s.InFlight))
	m.Gauge("cloudless_stream_window_bytes", "Bytes that may be, of all streams together.", float64(s.Window))
	m.Gauge("cloudless_stream_oldest_unacked_seconds", "For how long the oldest record received waits to be acknowledged.", s.OldestUnacked.Seconds())
	m.Count("cloudless_stream_acks_total", "Acknowledgements of records.", s.Acks)
	m.Total("cloudless_stream_ack_delay_seconds_total", "Time from receiving the oldest record of an acknowledgement to sending it, summed up.", s.AckDelay.Seconds())
}

func storeMetrics(m *model.Metrics, s store.Stats) {
	m.Count("cloudless_store_records_total", "Records accepted.", s.Records)
	m.Count("cloudless_store_frames_total", "Frames stored.", s.Frames)
	m.Count("cloudless_store_samples_total", "Samples stored.", s.Samples)
	m.Count("cloudless_store_ends_total", "Workers whose series were ended.", s.Ends)
	m.Count("cloudless_store_bytes_total", "Bytes of accepted records as they came.", s.Bytes)
	m.Count("cloudless_store_events_total", "Event records accepted.", s.Events)
	m.Count("cloudless_store_duplicates_total", "Records that had been received before.", s.Duplicates)
	m.Count("cloudless_store_missing_total", "Sequence numbers that workers passed over: parts that were known, and what they had lost.", s.Missing)
	for _, cause := range store.Causes() {
		m.Count("cloudless_store_refused_total", "Records and frames refused, by cause.", s.Refused[cause], "cause", cause.String())
	}
	m.Count("cloudless_store_syncs_total", "Group commits.", s.Syncs)
	m.Count("cloudless_store_sync_errors_total", "Group commits that failed.", s.SyncErrors)
	m.Total("cloudless_store_sync_seconds_total", "Time they took.", s.SyncTime.Seconds())
	m.Gauge("cloudless_store_sync_worst_seconds", "Time that the slowest took.", s.WorstSync.Seconds())
	m.Gauge("cloudless_store_sync_failing", "1 while group commits fail: nothing is acknowledged.", oneIf(s.Failing))
	m.Gauge("cloudless_store_workers", "Workers with state in memory.", float64(s.Workers))
	m.Gauge("cloudless_store_sessions", "Sessions of workers open now.", float64(s.Sessions))
	m.Gauge("cloudless_store_lanes", "Streams of workers with state in memory.", float64(s.Lanes))
	m.Gauge("cloudless_store_series", "Series of streams that go on.", float64(s.Series))
	m.Gauge("cloudless_store_open_rows", "Frames that are not sealed yet.", float64(s.Rows))
	m.Gauge("cloudless_store_open_bytes", "Memory that they and the newest rows take.", float64(s.OpenBytes))
	m.Gauge("cloudless_store_parts", "Parts of schemas known.", float64(s.Schemas.Parts))
	m.Gauge("cloudless_store_schemas", "Schemas known.", float64(s.Schemas.Schemas))
	m.Gauge("cloudless_store_schema_bytes", "Memory that names and labels of series take.", float64(s.Schemas.Bytes))
	m.Gauge("cloudless_store_journal_bytes", "Size of the journal.", float64(s.Journal.Bytes))
	m.Count("cloudless_store_passes_total", "Times that the journal was sealed into a volume.", s.Passes)
	m.Count("cloudless_store_pass_errors_total", "Passes and removals that failed.", s.PassErrors)
	m.Total("cloudless_store_pass_seconds_total", "Time that passes took.", s.PassTime.Seconds())
	m.Count("cloudless_store_sealed_rows_total", "Frames sealed.", s.SealedRows)
	m.Count("cloudless_store_rolls_total", "Volumes of rollups that were made.", s.Rolls)
	m.Count("cloudless_store_roll_errors_total", "Rollups that could not be made; they are tried again.", s.RollErrors)
	m.Total("cloudless_store_roll_seconds_total", "Time that rollups took, pauses for other work included.", s.RollTime.Seconds())
	tiers := func(name, help string, of func(volume.TierStats) float64) {
		for tier, t := range s.Volumes.Tiers {
			m.Gauge(name, help, of(t), "tier", volume.Tier(tier).String())
		}
	}
	tiers("cloudless_store_volumes", "Volumes, by tier.", func(t volume.TierStats) float64 { return float64(t.Files) })
	tiers("cloudless_store_volume_bytes", "Size of the volumes, by tier.", func(t volume.TierStats) float64 { return float64(t.Bytes) })
	tiers("cloudless_store_volume_rows", "Rows in the volumes, by tier.", func(t volume.TierStats) float64 { return float64(t.Rows) })
	m.Count("cloudless_store_damage_total", "Pieces of the store's files that were not what was written.", s.Damage)
	m.Gauge("cloudless_store_disk_bytes", "Size of the store's folder.", float64(s.DiskBytes))
	m.Gauge("cloudless_store_disk_free_bytes", "Space that is free on its disk.", float64(s.FreeBytes))
	m.Gauge("cloudless_store_disk_full", "1 while new data is refused for want of space.", oneIf(s.DiskFull))
	gapMetrics(m, s.Ledger)
}

func oneIf(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
