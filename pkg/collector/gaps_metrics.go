package collector

import (
	"github.com/cloudless-fleet/cloudless/pkg/event"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/ledger"
)

// gapMetrics tells of the ledger of what is missing.
func gapMetrics(m *model.Metrics, s ledger.Stats) {
	noted := func(name, help string, of func(ledger.Count) uint64) {
		for _, cause := range event.Causes() {
			if cause != event.Unreachable { // never noted
				m.Count(name, help, of(s.Noted[cause]), "cause", string(cause))
			}
		}
	}
	noted("cloudless_gaps_noted_total", "Records noted in the gap ledger, by cause.", func(c ledger.Count) uint64 { return c.Records })
	noted("cloudless_gaps_frames_total", "Frames noted as made and missing, by cause.", func(c ledger.Count) uint64 { return c.Frames })
	noted("cloudless_gaps_samples_total", "Samples noted as made and missing, by cause.", func(c ledger.Count) uint64 { return c.Samples })
	m.Gauge("cloudless_gaps_entries", "Entries of the gap ledger; merged ones are not counted.", float64(s.Entries))
	m.Gauge("cloudless_gaps_bytes", "Size of the gap ledger's log.", float64(s.Log.Bytes))
	m.Count("cloudless_gaps_merged_total", "Entries of the gap ledger that became part of a sum.", s.Merged)
	m.Count("cloudless_gaps_repeated_total", "Records that came again and were recognised by the gap ledger.", s.Repeated)
	m.Count("cloudless_gaps_malformed_events_total", "Events of workers that could not be read.", s.Malformed)
	m.Count("cloudless_gaps_sync_errors_total", "Syncs of the gap ledger that failed.", s.SyncErrors)
}
