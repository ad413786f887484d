package api

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Paths and limits of coordinatord's control API.
const (
	PathControlWorkers  = "/v1/workers"
	PathControlContacts = "/v1/contacts"
	PathControlStats    = "/v1/stats"
	// MaxContacts is how many contacts one POST may carry; ControlClient
	// splits longer lists.
	MaxContacts = 5000
	// MaxWait is the longest a long poll is held open.
	MaxWait = 30 * time.Second
)

// WorkerChanges is the answer of GET /v1/workers?since=V: the registry rows
// that changed after version V.
type WorkerChanges struct {
	// Version is to be given as since the next time.
	Version uint64 `json:"version"`
	// Full says that Workers is the whole registry and replaces what the
	// caller had: it asked with since=0, or the coordinator does not remember
	// as far back (it restarted).
	Full bool `json:"full"`
	// Now is the coordinator's clock when it answered.
	Now     model.Millis       `json:"now_ms"`
	Workers []RegisteredWorker `json:"workers"`
	// Removed are workers that were forgotten since.
	Removed []model.WorkerID `json:"removed,omitempty"`
}

// RegisteredWorker is one row of the coordinator's registry.
type RegisteredWorker struct {
	ID       model.WorkerID    `json:"id"`
	Instance string            `json:"instance"`
	Hostname string            `json:"hostname"`
	State    model.WorkerState `json:"state"`
	// Addresses are those it was heard from or announced, best first.
	Addresses []netip.Addr `json:"addresses"`
	Ports     []Port       `json:"ports"`
	Version   string       `json:"version,omitempty"`
	// KeepAlive is its lease in milliseconds, LeaseRemaining what was left of
	// it at Now of the answer.
	KeepAlive      int64        `json:"keep_alive_ms"`
	LeaseRemaining int64        `json:"lease_remaining_ms"`
	LastContact    model.Millis `json:"last_contact_ms"`
	RetriesLeft    int          `json:"retries_left"`
	Conflict       bool         `json:"conflict"`
	// Boot is the process that has the worker's session: the only one whose
	// frames are the worker's. Zero: the coordinator does not know one yet.
	Boot model.BootID `json:"boot,omitzero"`
	// ClockOffset is how far the worker's clock is ahead of the coordinator's.
	ClockOffset int64 `json:"clock_offset_ms"`
	// Labels are the fleet's own for it.
	Labels map[string]string `json:"labels,omitempty"`
}

// Contact says that the collector heard from a worker: it accepted a frame.
type Contact struct {
	ID model.WorkerID `json:"id"`
	// At is the collector's clock.
	At model.Millis `json:"at_ms"`
}

// Contacts is the body of POST /v1/contacts.
type Contacts struct {
	// Now is the sender's clock as the request goes out: how far apart it and At
	// are is what counts, for two hosts' clocks may differ by more than a lease.
	// 0: At is taken by the receiver's clock.
	Now      model.Millis `json:"now_ms,omitempty"`
	Contacts []Contact    `json:"contacts"`
}

// ContactsResult says what became of them.
type ContactsResult struct {
	// Renewed is how many leases were renewed.
	Renewed int `json:"renewed"`
	// Unknown are ids the registry does not have, or does not admit now.
	Unknown []model.WorkerID `json:"unknown,omitempty"`
}

// Stats is the answer of GET /v1/stats: the daemon's own metrics.
type Stats struct {
	Now     model.Millis `json:"now_ms"`
	Metrics []StatMetric `json:"metrics"`
}

// StatMetric is the wire form of a model.Metric.
type StatMetric struct {
	Name   string            `json:"name"`
	Help   string            `json:"help,omitempty"`
	Type   string            `json:"type"`
	Labels map[string]string `json:"labels,omitempty"`
	Value  StatValue         `json:"value"`
}

// StatValue is a float that survives JSON: NaN and the infinities travel as text.
type StatValue float64

// MarshalJSON writes the value as Prometheus spells it, in quotes.
func (v StatValue) MarshalJSON() ([]byte, error) {
	return json.Marshal(formatValue(float64(v)))
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (v *StatValue) UnmarshalJSON(b []byte) error {
	f, err := parseValue(b)
	*v = StatValue(f)
	return err
}

// StatMetricsOf turns metrics into their wire form; never nil.
func StatMetricsOf(metrics []model.Metric) []StatMetric {
	out := make([]StatMetric, len(metrics))
	for i, m := range metrics {
		row := StatMetric{Name: m.Name, Help: m.Help, Type: m.Type.String(), Value: StatValue(m.Value)}
		if len(m.Labels) > 0 {
			row.Labels = make(map[string]string, len(m.Labels))
		}
		for _, l := range m.Labels {
			row.Labels[l.Name] = l.Value
		}
		out[i] = row
	}
	return out
}

// Metric is the inverse of StatMetricsOf for one row. An unknown type is an error.
func (m StatMetric) Metric() (model.Metric, error) {
	out := model.Metric{Name: m.Name, Help: m.Help, Value: float64(m.Value)}
	switch m.Type {
	case model.Counter.String():
		out.Type = model.Counter
	case model.Gauge.String():
		out.Type = model.Gauge
	case model.Untyped.String():
	default:
		return model.Metric{}, fmt.Errorf("metric %q: unknown type %q", m.Name, m.Type)
	}
	pairs := make([]string, 0, 2*len(m.Labels))
	for name, value := range m.Labels {
		pairs = append(pairs, name, value)
	}
	out.Labels = model.LabelsOf(pairs...)
	return out, nil
}
