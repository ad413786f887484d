package ctl

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

func (c *command) workers(ctx context.Context, args []string) error {
	set := c.flags("workers")
	r, form := reaching(set, model.DaemonCollector), outputFlag(set)
	if err := c.parseAll(set, args); err != nil {
		return err
	}
	client, w, err := r.queries()
	if err != nil {
		return err
	}
	fleet, err := client.Workers(ctx)
	if err != nil {
		return w.explain(err)
	}
	r.done()
	if len(fleet.Workers) == 0 && form.forPeople() {
		fmt.Fprintln(c.Err, "No workers yet. `cloudlessctl token create` makes what lets machines in; `cloudlessctl workers pending` shows those that ask without.")
		return nil
	}
	if err := form.print(c.Out, fleet, func(w io.Writer) { workerTable(w, fleet) }); err != nil {
		return err
	}
	for _, row := range fleet.Workers {
		if row.Conflict {
			fmt.Fprintf(c.Err, "%s: two machines use its identity (a cloned disk?). The newer one makes itself another; `workerd prepare-image` keeps it from happening.\n", plain(row.Instance))
		}
	}
	return nil
}

// column is one column of the table of workers.
type column struct {
	title string
	cell  func(api.Worker) string
}

func workerTable(w io.Writer, fleet api.Fleet) {
	columns := workerColumns(fleet)
	titles := make([]string, len(columns))
	for i, one := range columns {
		titles[i] = one.title
	}
	fmt.Fprintln(w, strings.Join(titles, "\t"))
	for _, row := range fleet.Workers {
		cells := make([]string, len(columns))
		for i, one := range columns {
			cells[i] = one.cell(row)
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
}

// workerColumns leaves out what no worker has.
func workerColumns(fleet api.Fleet) []column {
	columns := []column{
		{"INSTANCE", func(row api.Worker) string { return plain(row.Instance) }},
		{"STATE", workerState},
		{"STREAM", func(row api.Worker) string {
			if row.Connected {
				return "open"
			}
			return "-"
		}},
		{"LAST FRAME", func(row api.Worker) string { return age(millis(row.LastFrameAge)) }},
		{"LAST CONTACT", func(row api.Worker) string {
			if row.LastContact == 0 {
				return "-"
			}
			return age(max(0, millis(int64(fleet.Now-row.LastContact))))
		}},
		{"LEASE LEFT", func(row api.Worker) string {
			if row.LeaseRemaining <= 0 {
				return "spent"
			}
			return age(millis(row.LeaseRemaining))
		}},
	}
	if slices.ContainsFunc(fleet.Workers, func(row api.Worker) bool { return clockMatters(row.ClockOffset) }) {
		columns = append(columns, column{"CLOCK", func(row api.Worker) string { return clock(row.ClockOffset) }})
	}
	columns = append(columns,
		column{"ADDRESSES", func(row api.Worker) string { return addresses(row.Addresses) }},
		column{"VERSION", func(row api.Worker) string { return orDash(plain(row.Version)) }})
	if slices.ContainsFunc(fleet.Workers, func(row api.Worker) bool { return len(row.Labels) > 0 }) {
		columns = append(columns, column{"LABELS", func(row api.Worker) string { return orDash(plain(labelText(row.Labels))) }})
	}
	return append(columns, column{"ID", func(row api.Worker) string { return row.ID.String() }})
}

func workerState(row api.Worker) string {
	if row.Conflict {
		return row.State.String() + ", conflict"
	}
	return row.State.String()
}

// clockMatters reports whether a clock is so far off that somebody should know.
func clockMatters(offset int64) bool {
	return millis(offset).Abs() >= time.Second
}

// clock spells how far a worker's clock is ahead of the coordinator's.
func clock(offset int64) string {
	switch {
	case !clockMatters(offset):
		return "right"
	case offset < 0:
		return age(millis(offset).Abs()) + " slow"
	}
	return age(millis(offset)) + " fast"
}

func millis(n int64) time.Duration { return time.Duration(n) * time.Millisecond }

func addresses(list []netip.Addr) string {
	texts := make([]string, len(list))
	for i, addr := range list {
		texts[i] = addr.String()
	}
	return orDash(strings.Join(texts, ","))
}

// orDash keeps a column from being empty, for whoever cuts the table up.
func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}
