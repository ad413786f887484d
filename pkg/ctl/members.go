package ctl

import (
	"context"
	"fmt"
	"io"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

func (c *command) workersMembers(ctx context.Context, args []string) error {
	return overview[*api.AdminClient, api.MemberList]{
		verb: "workers members", from: coordinator(), ask: (*api.AdminClient).Members, table: memberTable,
		rows: func(list api.MemberList) int { return len(list.Members) },
		none: "No members yet. `cloudlessctl token create` makes what lets machines in; `cloudlessctl workers pending` shows those that ask.",
	}.run(ctx, c, args)
}

func memberTable(w io.Writer, list api.MemberList) {
	fmt.Fprintln(w, "NAME\tSTATE\tADMITTED\tBY\tCERTIFICATE ENDS\tCLONE OF\tLABELS\tID")
	for _, row := range list.Members {
		state, clone := "member", "-"
		if row.Revoked {
			state = "revoked"
		}
		if !row.CloneOf.IsZero() {
			clone = row.CloneOf.String()
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", memberName(row), state, when(row.At), orDash(plain(row.By)),
			when(row.CertificateEnds), clone, orDash(plain(labelText(row.Labels))), row.ID)
	}
}

// memberName is how people know a member.
func memberName(m api.Member) string {
	if m.Instance != "" {
		return plain(m.Instance)
	}
	return orDash(plain(m.Hostname))
}

// orMember is what the verbs take that work with one member.
const orMember = "the id or the name of a worker, as `cloudlessctl workers members` shows them"

func (c *command) workersRevoke(ctx context.Context, args []string) error {
	set := c.flags("workers revoke")
	r, form := reaching(set, model.DaemonCoordinator), outputFlag(set)
	reason := set.String("reason", "", "`text` for the list of those who are out, and for the audit log")
	clones := set.Bool("clones", false, "shut out, too, whoever came with a copy of its state folder")
	worker, err := c.parseOne(set, args, orMember)
	if err != nil {
		return err
	}
	client, w, err := r.administration()
	if err != nil {
		return err
	}
	out, err := client.Revoke(ctx, api.Revocation{Worker: worker, Reason: *reason, Clones: *clones})
	if err != nil {
		return w.explain(err)
	}
	r.done()
	err = form.print(c.Out, out, func(w io.Writer) {
		for _, id := range out.Revoked {
			fmt.Fprintf(w, "Revoked %s: its connections are cut, and it is let in no more.\n", id)
		}
	})
	for _, id := range out.Clones {
		fmt.Fprintf(c.Err, "%s came with a copy of its state folder and is still in; --clones shuts those out, too.\n", id)
	}
	return err
}

func (c *command) workersReadmit(ctx context.Context, args []string) error {
	return toMember("workers readmit", (*api.AdminClient).Readmit,
		"%s is off the list of those who are out. It comes back by itself within two minutes.").run(ctx, c, args)
}

func (c *command) workersForget(ctx context.Context, args []string) error {
	return toMember("workers forget", (*api.AdminClient).Forget,
		"%s is forgotten. What it has measured stays until the store's retention takes it.").run(ctx, c, args)
}

func toMember(verb string, do func(*api.AdminClient, context.Context, api.WorkerRef) error, said string) deed[*api.AdminClient] {
	return deed[*api.AdminClient]{verb: verb, from: coordinator(), want: orMember, said: said,
		do: func(client *api.AdminClient, ctx context.Context, worker string) error {
			return do(client, ctx, api.WorkerRef{Worker: worker})
		}}
}
