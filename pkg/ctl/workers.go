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
	rest, err := c.parse(set, args)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return usagef("unexpected argument %q", rest[0])
	}
	client, err := connect()
	if err != nil {
		return err
	}
	fleet, err := client.Workers(ctx)
	if err != nil {
		return err
	}
	return form.print(c.Out, fleet, func(w io.Writer) { workerTable(w, fleet) })
}

func workerTable(w io.Writer, fleet api.Fleet) {
	if len(fleet.Workers) == 0 {
		fmt.Fprintln(w, "No workers yet. A worker appears within seconds once workerd runs on a machine of this subnet.")
		return
	}
	fmt.Fprintln(w, "INSTANCE\tSTATE\tSTREAM\tLAST FRAME\tLAST CONTACT\tLEASE LEFT\tADDRESSES\tVERSION\tID")
	for _, row := range fleet.Workers {
		state := row.State.String()
		if row.Conflict {
			state += " (two machines!)"
		}
		stream := "-"
		if row.Connected {
			stream = "open"
		}
		contact := time.Duration(-1)
		if row.LastContact != 0 {
			contact = max(0, time.Duration(fleet.Now-row.LastContact)*time.Millisecond)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", row.Instance, state, stream,
			age(millis(row.LastFrameAge)), age(contact), age(millis(row.LeaseRemaining)),
			addresses(row.Addresses), row.Version, row.ID)
	}
}

func millis(n int64) time.Duration { return time.Duration(n) * time.Millisecond }

func addresses(list []netip.Addr) string {
	texts := make([]string, len(list))
	for i, addr := range list {
		texts[i] = addr.String()
	}
	return strings.Join(texts, ",")
}
