package ctl

import (
	"context"
	"fmt"
	"io"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

func (c *command) fleet(ctx context.Context, args []string) error {
	return overview[*api.AdminClient, api.FleetStatus]{verb: "fleet", from: coordinator(), ask: (*api.AdminClient).Status, table: fleetTable}.run(ctx, c, args)
}

func fleetTable(w io.Writer, s api.FleetStatus) {
	fmt.Fprintf(w, "Fleet\t%s\n", s.Fleet)
	fmt.Fprintf(w, "Made\t%s\n", when(s.Created))
	for i, a := range s.Authorities {
		name := ""
		if i == 0 {
			name = "Authority"
		}
		fmt.Fprintf(w, "%s\t%s (%s, until %s)\n", name, a.Fingerprint, a.Phase, when(a.NotAfter))
	}
	fmt.Fprintf(w, "Members\t%d\n", s.Members)
	pending := fmt.Sprint(s.Pending)
	if s.Pending > 0 {
		pending += "; `cloudlessctl workers pending` lists them"
	}
	fmt.Fprintf(w, "Waiting for approval\t%s\n", pending)
	fmt.Fprintf(w, "Revoked\t%d\n", s.Revoked)
	if s.WebFingerprint != "" {
		fmt.Fprintf(w, "Authority for browsers\t%s (SHA-256)\n", s.WebFingerprint)
	}
	fmt.Fprintf(w, "Admin secret\t%s\n", orDash(s.AdminSecretFile))
}

func (c *command) fleetResetSecret(ctx context.Context, args []string) error {
	set := c.flags("fleet reset-secret")
	r := reaching(set, model.DaemonCoordinator)
	if err := c.parseAll(set, args); err != nil {
		return err
	}
	client, w, err := r.administration()
	if err != nil {
		return err
	}
	if w.socket == "" {
		return fmt.Errorf("the admin secret is made anew on the servers' host only, through coordinatord's socket")
	}
	if err := client.ResetSecret(ctx); err != nil {
		return w.explain(err)
	}
	where := "a file beside coordinatord's state"
	if status, err := client.Status(ctx); err == nil {
		where = status.AdminSecretFile
	}
	fmt.Fprintf(c.Out, "There is a new admin secret in %s; the former one is void.\n", where)
	return nil
}

// plain keeps what strangers have named from moving the cursor or breaking the
// table.
func plain(text string) string { return model.Line(text, len(text)) }
