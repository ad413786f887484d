package ctl

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
)

func (c *command) workers(ctx context.Context, args []string) error {
	set := c.flags("workers")
	connect, form := connection(set), outputFlag(set)
	if err := c.parseAll(set, args); err != nil {
		return err
	}
	client, err := connect()
	if err != nil {
		return err
	}
	fleet, err := client.Workers(ctx)
	if err != nil {
		return explain(err)
	}
	if len(fleet.Workers) == 0 && form.forPeople() {
		fmt.Fprintln(c.Err, "No workers yet. One appears within seconds once workerd runs on a machine of the collector's subnet.")
		return nil
	}
	if err := form.print(c.Out, fleet, func(w io.Writer) { workerTable(w, fleet) }); err != nil {
		return err
	}
	for _, row := range fleet.Workers {
		if row.Conflict {
			fmt.Fprintf(c.Err, "%s: two machines use its certificate (a cloned disk?); `cloudlessctl ca issue worker` makes one for the other\n", row.Instance)
		}
	}
	return nil
}

func workerTable(w io.Writer, fleet api.Fleet) {
	fmt.Fprintln(w, "INSTANCE\tSTATE\tSTREAM\tLAST FRAME\tLAST CONTACT\tLEASE LEFT\tADDRESSES\tVERSION\tID")
	for _, row := range fleet.Workers {
		state := row.State.String()
		if row.Conflict {
			state += ", conflict"
		}
		stream := "-"
		if row.Connected {
			stream = "open"
		}
		contact, lease := "-", "spent"
		if row.LastContact != 0 {
			contact = age(max(0, millis(int64(fleet.Now-row.LastContact))))
		}
		if row.LeaseRemaining > 0 {
			lease = age(millis(row.LeaseRemaining))
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", row.Instance, state, stream,
			age(millis(row.LastFrameAge)), contact, lease, addresses(row.Addresses), orDash(row.Version), row.ID)
	}
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
