package ctl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Steps of moving the fleet to a new authority, as the API spells them.
const (
	stepPrepare = "prepare"
	stepSwitch  = "switch"
	stepDrop    = "drop"
	stepAbandon = "abandon"
)

// Phases of an authority.
const (
	phaseNext    = "next"
	phaseIssuing = "issuing"
	phaseFormer  = "former"
)

func (c *command) caStatus(ctx context.Context, args []string) error {
	return authorities().run(ctx, c, args)
}

func authorities() overview[*api.AdminClient, api.FleetStatus] {
	return overview[*api.AdminClient, api.FleetStatus]{
		verb: "ca status", from: coordinator(), ask: (*api.AdminClient).Status, hint: nextStep,
		table: func(w io.Writer, s api.FleetStatus) {
			fmt.Fprintln(w, "AUTHORITY\tPHASE\tSINCE\tENDS\tDROP AFTER")
			for _, a := range s.Authorities {
				drop := "-"
				if !a.DropAfter.IsZero() {
					drop = when(a.DropAfter)
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", a.Fingerprint, a.Phase, when(a.Since), when(a.NotAfter), drop)
			}
		},
	}
}

// nextStep says what is to be done about the authorities.
func nextStep(s api.FleetStatus) string {
	switch {
	case inPhase(s, phaseNext):
		text := fmt.Sprintf("%d of %d members trust the next authority.", s.Updated, s.Members)
		if s.Updated < s.Members {
			return text + " The others will when they are next connected; then `cloudlessctl ca switch`."
		}
		return text + " `cloudlessctl ca switch` lets it issue, `cloudlessctl ca abandon` takes it away."
	case inPhase(s, phaseFormer):
		return "Certificates of the former authority are still good; `cloudlessctl ca drop` ends it when its time has come."
	}
	return "`cloudlessctl ca prepare` begins to move the fleet to a new authority."
}

func inPhase(s api.FleetStatus, phase string) bool {
	for _, a := range s.Authorities {
		if a.Phase == phase {
			return true
		}
	}
	return false
}

func (c *command) caPrepare(ctx context.Context, args []string) error {
	return c.caStep(ctx, stepPrepare, args, false)
}

func (c *command) caDrop(ctx context.Context, args []string) error {
	return c.caStep(ctx, stepDrop, args, false)
}

func (c *command) caAbandon(ctx context.Context, args []string) error {
	return c.caStep(ctx, stepAbandon, args, false)
}

// caSwitch leaves nobody behind by mistake: coordinatord refuses while somebody who
// is at work does not trust the next authority, for he could not talk to renewed
// members.
func (c *command) caSwitch(ctx context.Context, args []string) error {
	return c.caStep(ctx, stepSwitch, args, true)
}

func (c *command) caStep(ctx context.Context, step string, args []string, careful bool) error {
	set := c.flags("ca " + step)
	r, form := reaching(set, model.DaemonCoordinator), outputFlag(set)
	force := new(bool)
	if careful {
		force = set.Bool("force", false, "switch although not all members trust the next authority: those that stay away for longer than the overlap must be admitted anew")
	}
	if err := c.parseAll(set, args); err != nil {
		return err
	}
	client, w, err := r.administration()
	if err != nil {
		return err
	}
	if *force {
		if w.socket == "" {
			return fmt.Errorf("--force works on the servers' host only, through coordinatord's socket")
		}
		w.client.Transport = insistent{w.client.Transport}
		if client, err = api.NewAdminClient(w.base, api.PrefixAdminCoordinator, w.client); err != nil {
			return err
		}
	}
	status, err := client.Authority(ctx, step)
	if refused, ok := errors.AsType[*api.Error](err); ok && refused.Status == http.StatusConflict && careful && !*force {
		return fmt.Errorf("%w\n--force switches all the same, on the servers' host", err)
	}
	if err != nil {
		return w.explain(err)
	}
	r.done()
	if step == stepSwitch {
		fmt.Fprintln(c.Err, "Join tokens made before name the former authority: make new ones.")
	}
	return authorities().print(c, form, status)
}

// insistent has coordinatord take a step against its own advice.
type insistent struct{ next http.RoundTripper }

func (i insistent) RoundTrip(request *http.Request) (*http.Response, error) {
	request = request.Clone(request.Context())
	request.URL.RawQuery = "force=1"
	return i.next.RoundTrip(request)
}
