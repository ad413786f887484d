package api

import (
	"net/netip"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Paths of the fleet API.
const (
	PathFleetWorkers = "/api/fleet/workers"
)

// Fleet is the answer of GET /api/fleet/workers.
type Fleet struct {
	// Now is the collector's clock when it answered; ages in the rows are
	// relative to it.
	Now model.Millis `json:"now_ms"`
	// Workers are sorted by instance, then by id.
	Workers []Worker `json:"workers"`
}

// Worker is what the fleet knows of one worker: the coordinator's registry row
// and the collector's view of its streams.
type Worker struct {
	ID       model.WorkerID    `json:"id"`
	Instance string            `json:"instance"`
	Hostname string            `json:"hostname"`
	State    model.WorkerState `json:"state"`
	// Addresses are those it was heard from or announced, best first.
	Addresses []netip.Addr `json:"addresses"`
	Ports     []Port       `json:"ports"`
	Version   string       `json:"version,omitempty"`
	// KeepAlive is the lease the worker declared, in milliseconds.
	KeepAlive int64 `json:"keep_alive_ms"`
	// LeaseRemaining is what is left of it, in milliseconds; 0 when spent.
	LeaseRemaining int64 `json:"lease_remaining_ms"`
	// LastContact is when the coordinator last heard of it; 0 is never.
	LastContact model.Millis `json:"last_contact_ms"`
	// LastFrame is the timestamp of its newest stored frame, by the worker's
	// clock; 0 is none.
	LastFrame model.Millis `json:"last_frame_ms"`
	// LastFrameAge is how long ago the newest frame arrived, in milliseconds
	// of the collector's clock; -1 when there is none.
	LastFrameAge int64 `json:"last_frame_age_ms"`
	// Connected says whether a metric stream of it is open now.
	Connected bool `json:"connected"`
	// RetriesLeft is what remains of its registration budget.
	RetriesLeft int `json:"retries_left"`
	// Conflict says that two machines claim this id (a cloned disk).
	Conflict bool `json:"conflict"`
	// ClockOffset is how far the worker's clock is ahead of the coordinator's.
	ClockOffset int64 `json:"clock_offset_ms"`
	// Labels are the fleet's own for it.
	Labels map[string]string `json:"labels,omitempty"`
}

// Port is a port that a daemon of a host announced.
type Port struct {
	Daemon string `json:"daemon"`
	Port   uint16 `json:"port"`
}

// PortsOf turns announced ports into their wire form; never nil.
func PortsOf(ports []model.PortInfo) []Port {
	out := make([]Port, len(ports))
	for i, p := range ports {
		out[i] = Port{Daemon: p.Daemon, Port: p.Port}
	}
	return out
}
