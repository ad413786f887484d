package ctl

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

func (c *command) tokenCreate(ctx context.Context, args []string) error {
	set := c.flags("token create")
	r, form := reaching(set, model.DaemonCoordinator), outputFlag(set)
	ttl := set.Duration("ttl", 0, "`time` for which it is good (default: what coordinatord says, usually 1h)")
	uses := set.Int("uses", 1, "`number` of machines that may join by it")
	given, addresses := labels{}, hostPorts{}
	set.Var(given, "label", "`key=value` that the machines get; may be given more than once")
	set.Var(&addresses, "address", "`host:port` of coordinatord as the machines reach it; may be given more than once (default: what coordinatord knows)")
	if err := c.parseAll(set, args); err != nil {
		return err
	}
	if *ttl < 0 {
		return usagef("--ttl %s: want more than 0s", model.FormatDuration(*ttl))
	}
	if *uses < 1 {
		return usagef("--uses %d: want 1 or more", *uses)
	}
	if err := given.check(); err != nil {
		return err
	}
	client, w, err := r.administration()
	if err != nil {
		return err
	}
	made, err := client.CreateToken(ctx, api.TokenRequest{TTL: ttl.Milliseconds(), Uses: *uses, Labels: given, Addresses: addresses})
	if err != nil {
		return w.explain(err)
	}
	r.done()
	if err := form.print(c.Out, made, func(w io.Writer) { fmt.Fprintln(w, made.Token) }); err != nil {
		return err
	}
	machines := "one machine"
	if made.UsesLeft != 1 {
		machines = fmt.Sprintf("%d machines", made.UsesLeft)
	}
	fmt.Fprintf(c.Err, "`workerd join TOKEN` on a machine lets it in: %s, until %s. Keep it secret; `cloudlessctl token revoke %s` ends it.\n",
		machines, when(made.Expires), made.ID)
	return nil
}

func (c *command) tokenList(ctx context.Context, args []string) error {
	return overview[*api.AdminClient, api.TokenList]{
		verb: "token list", from: coordinator(), ask: (*api.AdminClient).Tokens,
		rows: func(list api.TokenList) int { return len(list.Tokens) },
		none: "No join tokens. `cloudlessctl token create` makes one.",
		table: func(w io.Writer, list api.TokenList) {
			fmt.Fprintln(w, "ID\tSTATE\tUSED\tLEFT\tCREATED\tEXPIRES\tLABELS")
			for _, row := range list.Tokens {
				fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%s\t%s\t%s\n", row.ID, strings.ReplaceAll(row.State, "_", " "), row.Used, row.UsesLeft,
					when(row.Created), when(row.Expires), orDash(labelText(row.Labels)))
			}
		},
	}.run(ctx, c, args)
}

func (c *command) tokenRevoke(ctx context.Context, args []string) error {
	return deed[*api.AdminClient]{verb: "token revoke", from: coordinator(), do: (*api.AdminClient).RevokeToken,
		want: "the id of a join token, as `cloudlessctl token list` shows it",
		check: func(id string) error {
			if strings.HasPrefix(id, "cloudless_join") {
				return usagef("want the id of the token, not the token itself; `cloudlessctl token list` shows it")
			}
			return nil
		},
		said: "Revoked join token %s. Machines that have joined by it stay; `cloudlessctl workers revoke` shuts them out."}.run(ctx, c, args)
}
