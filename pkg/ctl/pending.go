package ctl

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

func (c *command) workersPending(ctx context.Context, args []string) error {
	return overview[*api.AdminClient, api.PendingList]{
		verb: "workers pending", from: coordinator(), ask: (*api.AdminClient).Pending, table: pendingTable,
		rows: func(list api.PendingList) int { return len(list.Pending) },
		none: "No machine waits for approval.",
		hint: func(api.PendingList) string {
			return "Compare the code with the one that `workerd status` shows on the machine; then `cloudlessctl workers approve CODE`. Host names, addresses and labels are the machine's own words."
		},
	}.run(ctx, c, args)
}

func pendingTable(w io.Writer, list api.PendingList) {
	fmt.Fprintln(w, "CODE\tHOSTNAME\tADDRESS\tSTATE\tSINCE\tSEEN\tLABELS\tID")
	for _, row := range list.Pending {
		state := "waiting"
		if row.Rejected {
			state = "rejected"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", row.Code, plain(row.Hostname), row.Address, state,
			when(instant(row.Since)), when(instant(row.Seen)), orDash(plain(labelText(row.Labels))), row.ID)
	}
}

func instant(at model.Millis) time.Time {
	if at == 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(at))
}

// orPending is what approve and reject take.
const orPending = "the code or id of a machine, as `cloudlessctl workers pending` shows them"

func (c *command) workersApprove(ctx context.Context, args []string) error {
	set := c.flags("workers approve")
	r, form := reaching(set, model.DaemonCoordinator), outputFlag(set)
	given := labels{}
	set.Var(given, "label", "`key=value` that the machine gets; may be given more than once")
	who, err := c.parseCode(set, args)
	if err != nil {
		return err
	}
	if err := given.check(); err != nil {
		return err
	}
	client, w, err := r.administration()
	if err != nil {
		return err
	}
	member, err := client.Approve(ctx, api.Approval{Who: who, Labels: given})
	if err != nil {
		return w.explain(err)
	}
	r.done()
	return form.print(c.Out, member, func(w io.Writer) {
		fmt.Fprintf(w, "Admitted %s (%s). It joins within a minute.\n", plain(member.Hostname), member.ID)
	})
}

func (c *command) workersReject(ctx context.Context, args []string) error {
	set := c.flags("workers reject")
	r := reaching(set, model.DaemonCoordinator)
	reason := set.String("reason", "", "`text` that the machine is told")
	who, err := c.parseCode(set, args)
	if err != nil {
		return err
	}
	client, w, err := r.administration()
	if err != nil {
		return err
	}
	if err := client.Reject(ctx, api.Rejection{Who: who, Reason: *reason}); err != nil {
		return w.explain(err)
	}
	r.done()
	fmt.Fprintf(c.Out, "Rejected %s. `cloudlessctl workers approve` lets it in all the same.\n", who)
	return nil
}
