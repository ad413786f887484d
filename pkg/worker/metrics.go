package worker

import (
	"slices"

	"github.com/cloudless-fleet/cloudless/pkg/discovery"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/sampler"
	"github.com/cloudless-fleet/cloudless/pkg/selfmetrics"
	"github.com/cloudless-fleet/cloudless/pkg/spool"
	"github.com/cloudless-fleet/cloudless/pkg/stream"
)

// metrics lists what the worker tells of itself; they are one part of the frames
// of a life. The set of series never changes, so that the schema does not.
func (w *worker) metrics(l *life) model.Metrics {
	m := selfmetrics.Process(w.build.Version)
	samplerMetrics(&m, l.sampler.Stats())
	spoolMetrics(&m, l.spool.Stats())
	streamMetrics(&m, l.client.Stats())
	discoveryMetrics(&m, w.responder.Stats())
	l.registration.metrics(&m)
	w.trustMetrics(&m)
	return m
}

// trustMetrics lists where the worker stands with its fleet.
func (w *worker) trustMetrics(m *model.Metrics) {
	s := w.status.plain()
	for _, one := range standings() {
		m.Gauge("cloudless_worker_standing", "1 for where the worker stands with its fleet.", truth(s.Standing == one), "state", string(one))
	}
	for _, one := range sessionStates() {
		m.Gauge("cloudless_worker_session", "1 for the state of the session with the coordinator.", truth(s.Session == one), "state", string(one))
	}
	ends := model.Absent()
	if s.CertificateEnds != nil {
		ends = float64(s.CertificateEnds.Unix())
	}
	m.Gauge("cloudless_certificate_not_after_seconds", "When the worker's certificate ends, Unix time.", ends, "for", "fleet")
	m.Count("cloudless_certificate_renewals_total", "Renewals of the certificate.", w.renewals.ok.Load())
	m.Count("cloudless_certificate_renewal_errors_total", "Renewals that failed; they are tried again.", w.renewals.failed.Load())
	offset := model.Absent()
	if d, known := w.clock.view(); known {
		offset = d.Seconds()
	}
	m.Gauge("cloudless_worker_clock_offset_seconds", "This host's clock minus the coordinator's, from packets and answers that are proved.", offset)
}

func samplerMetrics(m *model.Metrics, s sampler.Stats) {
	m.Count("cloudless_sampler_rounds_total", "Rounds of measurements.", s.Rounds)
	m.Count("cloudless_sampler_rounds_skipped_total", "Rounds that fell due while another was under way.", s.Skipped)
	m.Count("cloudless_sampler_schema_changes_total", "Changes of the set of series.", s.SchemaChanges)
	m.Count("cloudless_sampler_schema_errors_total", "Rounds lost because their parts did not fit together.", s.SchemaErrors)
	m.Count("cloudless_sampler_output_errors_total", "Rounds that the spool did not take.", s.OutputFails)
	m.Gauge("cloudless_sampler_series", "Series of the newest round.", float64(s.Series))
	m.Gauge("cloudless_sampler_stat_threads", "Threads that ask filesystems for their size, hung ones included.", float64(s.StatThreads))
	for _, c := range s.Collectors {
		m.Count("cloudless_sampler_collector_errors_total", "Rounds in which a collector could not read something.", c.Errors, "collector", c.Name)
	}
	for _, c := range s.Collectors {
		m.Count("cloudless_sampler_collector_refused_total", "Rounds in which a collector's series were left out for being too many.", c.Refused, "collector", c.Name)
	}
	for _, c := range s.Collectors {
		m.Total("cloudless_sampler_collector_seconds_total", "Time a collector has taken.", c.Took.Seconds(), "collector", c.Name)
	}
	for _, c := range s.Collectors {
		m.Count("cloudless_sampler_collector_read_bytes_total", "Bytes a collector has read from the kernel.", c.Bytes, "collector", c.Name)
	}
}

func spoolMetrics(m *model.Metrics, s spool.Stats) {
	m.Gauge("cloudless_spool_bytes", "Disk space of the records that are kept.", float64(s.Bytes))
	m.Gauge("cloudless_spool_max_bytes", "Disk space that they may take.", float64(s.MaxBytes))
	m.Gauge("cloudless_spool_definition_bytes", "Bytes of the parts and schemas that they need.", float64(s.DefinitionBytes))
	m.Gauge("cloudless_spool_memory_bytes", "Memory of the records that the disk has not taken.", float64(s.MemoryBytes))
	m.Gauge("cloudless_spool_unsynced_bytes", "Bytes that a power cut may take.", float64(s.Unsynced))
	m.Gauge("cloudless_spool_unacked_records", "Records that the collector does not have yet.", float64(s.Unacked))
	m.Gauge("cloudless_spool_unacked_bytes", "Bytes of them, about.", float64(s.UnackedBytes))
	m.Gauge("cloudless_spool_unacked_age_seconds", "Age of the oldest of them.", s.UnackedAge.Seconds())
	m.Gauge("cloudless_spool_unacked_stretches", "In how many stretches they are.", float64(s.Stretches))
	m.Count("cloudless_spool_appended_records_total", "Records taken.", s.Appended)
	m.Count("cloudless_spool_appended_bytes_total", "Bytes of them.", s.AppendedBytes)
	m.Count("cloudless_spool_refused_total", "Records not taken.", s.Refused)
	m.Count("cloudless_spool_damaged_total", "Times that records could not be read back.", s.Damaged)
	m.Count("cloudless_spool_disk_errors_total", "Times that the disk did not do what it should.", s.DiskErrors)
	m.Count("cloudless_spool_rejected_records_total", "Records that the collector gave up.", s.Rejected)
	m.Count("cloudless_spool_syncs_total", "Syncs of the disk.", s.Syncs)
	m.Count("cloudless_spool_sync_errors_total", "Syncs that failed.", s.SyncErrors)
	for _, cause := range spool.DropCauses() {
		m.Count("cloudless_spool_dropped_frames_total", "Frames lost before the collector had them, by cause.", s.Dropped[cause].Frames, "cause", string(cause))
	}
	for _, cause := range spool.DropCauses() {
		m.Count("cloudless_spool_dropped_samples_total", "Values in them.", s.Dropped[cause].Samples, "cause", string(cause))
	}
}

func streamMetrics(m *model.Metrics, s stream.ClientStats) {
	linkMetrics(m, "cloudless_stream", "stream", s.LinkStats)
	for end, count := range s.Ended {
		m.Count("cloudless_stream_ended_total", "Connections and attempts that ended, by reason.", count, "reason", stream.End(end).String())
	}
	causes(m, "cloudless_stream_refused_total", "Connections that the collector refused, by cause.", s.Refused)
	causes(m, "cloudless_stream_rejected_records_total", "Records of the stream that the collector gave up, by cause.", s.Rejected)
	linkMetrics(m, "cloudless_backfill", "backlog", s.Backfill)
	offset, trip := model.Absent(), model.Absent()
	if s.ClockKnown {
		offset, trip = s.ClockOffset.Seconds(), s.RoundTrip.Seconds()
	}
	m.Gauge("cloudless_clock_offset_seconds", "This host's clock minus the collector's, right to half the round trip.", offset)
	m.Gauge("cloudless_clock_round_trip_seconds", "Round trip of the best measurement of the clock.", trip)
}

// linkMetrics lists the figures of one of the two connections.
func linkMetrics(m *model.Metrics, name, what string, s stream.LinkStats) {
	m.Gauge(name+"_connected", "1 while the connection for the "+what+" is open.", truth(s.State == stream.Connected))
	m.Count(name+"_connects_total", "Connections made.", s.Connects)
	m.Count(name+"_sent_bytes_total", "Bytes of records sent, repetitions included.", s.SentBytes)
	m.Count(name+"_acked_bytes_total", "Bytes of records that the collector has on disk.", s.AckedBytes)
	m.Gauge(name+"_in_flight_bytes", "Bytes sent and not acknowledged.", float64(s.InFlight))
	m.Gauge(name+"_window_bytes", "Bytes that may be.", float64(s.Window))
	m.Count(name+"_blocked_total", "How often sending waited for the window.", s.Blocked)
	m.Gauge(name+"_ack_delay_seconds", "How long the newest acknowledgement was in coming.", s.AckDelay.Seconds())
}

func causes(m *model.Metrics, name, help string, counts [stream.NumCauses]uint64) {
	for cause, count := range counts {
		m.Count(name, help, count, "cause", stream.Cause(cause).String())
	}
}

func discoveryMetrics(m *model.Metrics, s discovery.ResponderStats) {
	selfmetrics.Listen(m, s.Listen)
	selfmetrics.Send(m, s.Send)
	m.Count("cloudless_discovery_probes_total", "ProbeInit received.", s.Probes)
	m.Count("cloudless_discovery_register_acks_total", "RegisterAck received.", s.RegisterAcks)
	m.Count("cloudless_discovery_answers_replaced_total", "Answers that took the place of one still waiting.", s.Replaced)
	m.Count("cloudless_discovery_answers_overflow_total", "Answers dropped because too many collectors wait for one.", s.Overflow)
	m.Gauge("cloudless_discovery_multicast_interfaces", "Interfaces on which the multicast group is joined.", float64(s.Groups))
}

// metrics adds the state of the registration.
func (r *registration) metrics(m *model.Metrics) {
	agent, ignored := r.view()
	for state := model.Initialized; state <= model.RegisterFailed; state++ {
		m.Gauge("cloudless_registration_state", "1 for the state that the registration is in.", truth(agent.State == state), "state", state.String())
	}
	m.Gauge("cloudless_registration_retries_left", "Attempts left, as the coordinator said last.", float64(agent.Retries))
	reasons := make([]string, 0, len(ignored))
	for reason := range ignored {
		reasons = append(reasons, reason)
	}
	slices.Sort(reasons)
	for _, reason := range reasons {
		m.Count("cloudless_registration_ignored_total", "Well-formed packets that were ignored, by reason.", ignored[reason], "reason", reason)
	}
}

func truth(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
