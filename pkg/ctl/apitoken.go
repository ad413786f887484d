package ctl

import (
	"context"
	"fmt"
	"io"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

func (c *command) apiTokenCreate(ctx context.Context, args []string) error {
	set := c.flags("api-token create")
	r, form := reaching(set, model.DaemonCollector), outputFlag(set)
	may := scopeFlag(set, "`scope` of the token: read may look, admin may do everything")
	ttl := set.Duration("ttl", 0, "`time` after which it ends (default: never)")
	name, err := c.parseOne(set, args, "a name that says what the token is for")
	if err != nil {
		return err
	}
	if *ttl < 0 {
		return usagef("--ttl %s: want more than 0s", model.FormatDuration(*ttl))
	}
	client, w, err := r.queries()
	if err != nil {
		return err
	}
	made, err := client.CreateAPIToken(ctx, api.APITokenRequest{Name: name, Scope: api.Scope(*may), TTL: ttl.Milliseconds()})
	if err != nil {
		return w.explain(err)
	}
	r.done()
	if err := form.print(c.Out, made, func(w io.Writer) { fmt.Fprintln(w, made.Token) }); err != nil {
		return err
	}
	fmt.Fprintf(c.Err, "Send it as \"Authorization: Bearer TOKEN\". It is shown this once; `cloudlessctl api-token revoke %s` ends it.\n", made.ID)
	return nil
}

func (c *command) apiTokenList(ctx context.Context, args []string) error {
	return overview[*api.Client, api.APITokenList]{
		verb: "api-token list", from: collector(), ask: (*api.Client).APITokens,
		rows: func(list api.APITokenList) int { return len(list.Tokens) },
		none: "No API tokens. `cloudlessctl api-token create NAME` makes one.",
		table: func(w io.Writer, list api.APITokenList) {
			fmt.Fprintln(w, "ID\tNAME\tOWNER\tSCOPE\tCREATED\tUSED\tEXPIRES")
			for _, row := range list.Tokens {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", row.ID, row.Name, row.Owner, row.Scope, when(row.Created), when(row.Used), when(row.Expires))
			}
		},
	}.run(ctx, c, args)
}

func (c *command) apiTokenRevoke(ctx context.Context, args []string) error {
	return deed[*api.Client]{verb: "api-token revoke", from: collector(), do: (*api.Client).RevokeAPIToken,
		want: "the id of an API token, as `cloudlessctl api-token list` shows it", said: "Revoked API token %s."}.run(ctx, c, args)
}
