package ctl

import (
	"context"
	"crypto/rand"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

// defaultCADir is where `ca init` puts the authority: on the administrator's
// machine, not on one of the fleet.
const defaultCADir = "cloudless-ca"

func (c *command) caInit(_ context.Context, args []string) error {
	set := c.flags("ca init")
	fleet := set.String("fleet", "", "`name` of the fleet: a-z, 0-9 and -")
	dir := set.String("dir", defaultCADir, "`folder` to make the authority in")
	rest, err := c.parse(set, args)
	switch {
	case err != nil:
		return err
	case len(rest) > 0:
		return usagef("unexpected argument %q", rest[0])
	case *fleet == "":
		return usagef("--fleet is missing")
	}
	ca, err := trust.InitCA(*dir, *fleet, rand.Reader, time.Now())
	if err != nil {
		return err
	}
	fmt.Fprintf(c.Out, "Authority of fleet %q made in %s, valid until %s.\n", ca.Fleet(), *dir, ca.NotAfter().Format(time.DateOnly))
	fmt.Fprintf(c.Out, "Keep this folder to yourself: who has its key can join the fleet.\n")
	return nil
}

func (c *command) caIssue(_ context.Context, args []string) error {
	set := c.flags("ca issue")
	name := set.String("name", "", "`name` in the certificate; of a worker: its id (default: a new id, or the role's name)")
	hosts := set.String("host", "", "DNS names and addresses under which people reach the server, separated by commas")
	dir := set.String("dir", defaultCADir, "`folder` of the authority")
	out := set.String("out", "", "`folder` to put the files in (default: the name)")
	ttl := set.Duration("ttl", trust.DefaultTTL, "how long the certificate is valid")
	rest, err := c.parse(set, args)
	if err != nil {
		return err
	}
	roles := make([]string, len(trust.Roles()))
	for i, role := range trust.Roles() {
		roles[i] = string(role)
	}
	if len(rest) != 1 {
		return usagef("want one role: %s", strings.Join(roles, ", "))
	}
	role, err := trust.ParseRole(rest[0])
	if err != nil {
		return usageError{err.Error()}
	}
	request := trust.Request{Role: role, Name: *name, TTL: *ttl}
	if request.Name == "" {
		request.Name = defaultName(role)
	}
	if *hosts != "" {
		request.Hosts = strings.Split(*hosts, ",")
	}
	if *out == "" {
		*out = request.Name
	}
	ca, err := trust.LoadCA(*dir)
	if err != nil {
		return fmt.Errorf("%w (`cloudlessctl ca init` makes an authority)", err)
	}
	issued, err := ca.Issue(request, rand.Reader, time.Now())
	if err != nil {
		return err
	}
	files, err := trust.WriteCredentials(*out, issued)
	if err != nil {
		return err
	}
	fmt.Fprintf(c.Out, "%s, valid until %s:\n", issued.Identity, issued.NotAfter.Format(time.DateOnly))
	for _, path := range []string{files.CA, files.Cert, files.Key} {
		fmt.Fprintf(c.Out, "  %s\n", filepath.Clean(path))
	}
	fmt.Fprintf(c.Out, "Copy them to %s of the host.\n", trust.DefaultDir)
	return nil
}

// defaultName is the name of a certificate when none is asked for.
func defaultName(role trust.Role) string {
	if role != trust.RoleWorker {
		return string(role)
	}
	var random [16]byte
	rand.Read(random[:]) // never fails
	return model.WorkerIDFrom(random).String()
}
