package demo

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"
)

// lookTimeout bounds all the requests of one refresh.
const lookTimeout = 5 * time.Second

// figure is a live value: what it is called, the query, and how the number is
// written.
type figure struct {
	name, expr string
	write      func(float64) string
}

// shown are the values of a worker that measures every interval.
func shown(interval time.Duration) []figure {
	const rounds = 4 // a rate needs two; with more it is steady
	window := fmt.Sprintf("[%dms]", max(15*time.Second, rounds*interval).Milliseconds())
	return []figure{
		{"CPU busy", `100 * (1 - avg(rate(node_cpu_seconds_total{mode="idle"}` + window + `)))`, percent},
		{"Load, 1 minute", `node_load1`, func(v float64) string { return fmt.Sprintf("%.2f", v) }},
		{"Memory available", `node_memory_MemAvailable_bytes`, size},
		{"Disk writes", `sum(rate(node_disk_written_bytes_total` + window + `))`, perSecond},
		{"Network received", `sum(rate(node_network_receive_bytes_total` + window + `))`, perSecond},
		{"Series in a frame", `count({job="node"})`, func(v float64) string { return fmt.Sprintf("%.0f", v) }},
	}
}

// look asks the daemons for everything that one screen shows.
func (s *show) look(ctx context.Context) view {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	client, interval := s.client, s.Interval
	steps := []stepRow{s.fleetStep(ctx), s.tokenStep(ctx)}
	fleet, err := client.Workers(ctx)
	if err != nil {
		return view{Steps: steps, Waiting: "waiting for collectord: " + rootCause(err)}
	}
	v := view{Steps: steps, Waiting: "waiting for the worker to be found and registered"}
	for _, w := range fleet.Workers {
		row := workerRow{Name: w.Instance, State: w.State.String(), FrameAge: -1, LeaseLeft: time.Duration(w.LeaseRemaining) * time.Millisecond}
		if len(w.Addresses) > 0 {
			row.Address = w.Addresses[0].String()
		}
		if w.LastFrameAge >= 0 {
			row.FrameAge = time.Duration(w.LastFrameAge) * time.Millisecond
		}
		v.Workers = append(v.Workers, row)
	}
	if len(v.Workers) == 0 {
		return v
	}
	for _, f := range shown(interval) {
		row := valueRow{Name: f.name, Value: "no data yet"}
		result, err := client.Query(ctx, f.expr, time.Time{})
		switch {
		case err != nil:
			row.Value = rootCause(err)
		case len(result.Vector) > 0:
			row.Value = f.write(result.Vector[0].Value.Value)
		}
		v.Values = append(v.Values, row)
	}
	return v
}

// fleetStep is coordinatord's: it makes the fleet when it starts.
func (s *show) fleetStep(ctx context.Context) stepRow {
	status, err := s.admin.Status(ctx)
	if err != nil {
		return stepRow{"Fleet", "waiting for coordinatord: " + rootCause(err)}
	}
	row := stepRow{"Fleet", fmt.Sprintf("%q made", status.Fleet)}
	if len(status.Authorities) > 0 {
		const digits = 16
		row.State += ", authority " + status.Authorities[0].Fingerprint.String()[:digits] + "..."
	}
	return row
}

// tokenStep is workerd's: it joins by the token.
func (s *show) tokenStep(ctx context.Context) stepRow {
	row := stepRow{"Join token", s.token + " made, waiting for workerd to join by it"}
	list, err := s.admin.Tokens(ctx)
	if err != nil {
		row.State = "waiting for coordinatord: " + rootCause(err)
		return row
	}
	for _, token := range list.Tokens {
		if token.ID == s.token && token.Used > 0 {
			row.State = s.token + " used: workerd is a member"
		}
	}
	return row
}

// rootCause leaves out the address that the client puts before an error.
func rootCause(err error) string {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err
	}
	return err.Error()
}

func percent(v float64) string { return fmt.Sprintf("%.1f %%", v) }

func perSecond(v float64) string { return size(v) + "/s" }

func size(v float64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	i := 0
	for ; v >= 1024 && i < len(units)-1; i++ {
		v /= 1024
	}
	if i == 0 {
		return fmt.Sprintf("%.0f %s", v, units[i])
	}
	return fmt.Sprintf("%.1f %s", v, units[i])
}
