package ctl

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
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
	if err := c.parseAll(set, args); err != nil {
		return err
	}
	if *fleet == "" {
		return usagef("--fleet is missing")
	}
	if err := trust.CheckFleet(*fleet); err != nil {
		return usagef("--fleet: %v", err)
	}
	ca, err := trust.InitCA(*dir, *fleet, rand.Reader, time.Now())
	if err != nil {
		return err
	}
	fmt.Fprintf(c.Out, "Authority of fleet %q made in %s, valid until %s.\n", ca.Fleet(), *dir, ca.NotAfter().Format(time.DateOnly))
	fmt.Fprintf(c.Out, "Keep this folder to yourself: who has its key can join the fleet, and without it nobody can any more.\n")
	return nil
}

func (c *command) caIssue(_ context.Context, args []string) error {
	set := c.flags("ca issue")
	name := set.String("name", "", "`name` in the certificate (default the role's; of a worker its id, default a new one)")
	hosts := set.String("host", "", "DNS `names` and addresses for browsers, with commas between; the fleet itself needs none")
	dir := set.String("dir", defaultCADir, "`folder` of the authority")
	out := set.String("out", "", "`folder` to put the files in (default the name)")
	ttl := set.Duration("ttl", trust.DefaultTTL, "`time` for which the certificate is valid; a year is 8760h")
	rest, err := c.parse(set, args)
	switch {
	case err != nil:
		return err
	case len(rest) == 0:
		return usagef("want a role: %s", trust.RoleList())
	case len(rest) > 1:
		return usagef("unexpected argument %q", rest[1])
	case *ttl <= 0:
		return usagef("--ttl %s: want more than 0s", model.FormatDuration(*ttl))
	}
	role, err := trust.ParseRole(rest[0])
	if err != nil {
		return usageError{err.Error()}
	}
	request := trust.Request{Role: role, Name: *name, TTL: *ttl}
	if request.Name == "" {
		request.Name = defaultName(role)
	}
	if _, err := model.ParseWorkerID(request.Name); role == trust.RoleWorker && err != nil {
		return usagef("--name %q: the name of a worker is its id; without --name it gets a new one, and --out names the folder", request.Name)
	}
	if *hosts != "" {
		for host := range strings.SplitSeq(*hosts, ",") {
			request.Hosts = append(request.Hosts, strings.TrimSpace(host))
		}
	}
	if *out == "" {
		*out = request.Name
	}
	return c.issue(*dir, *out, request)
}

// issue makes a certificate by the authority in dir and puts it into out.
func (c *command) issue(dir, out string, request trust.Request) error {
	ca, err := trust.LoadCA(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w\n`cloudlessctl ca init` makes an authority; --dir names the folder of one", err)
	} else if err != nil {
		return err
	}
	issued, err := ca.Issue(request, rand.Reader, time.Now())
	if err != nil {
		return err
	}
	if err := checkHolder(trust.FilesIn(out, request.Role).Cert, issued.Identity); err != nil {
		return err
	}
	files, err := trust.WriteCredentials(out, issued)
	if err != nil {
		return err
	}
	fmt.Fprintf(c.Out, "%s, valid until %s:\n", issued.Identity, issued.NotAfter.Format(time.DateOnly))
	for _, path := range []string{files.CA, files.Cert, files.Key} {
		fmt.Fprintf(c.Out, "  %s\n", filepath.Clean(path))
	}
	host, owner := "of its host", "the user that the daemon runs as"
	if request.Role == trust.RoleOperator {
		host, owner = "where cloudlessctl runs", "the operator"
	}
	fmt.Fprintf(c.Out, "Copy them to %s %s, the key readable by nobody but %s.\n", trust.DefaultDir, host, owner)
	return nil
}

// checkHolder refuses to put a certificate in the place of somebody else's: a
// worker would lose its identity, and with it its history. One's own is renewed.
func checkHolder(path string, holder trust.Identity) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil // nothing to lose; what else is wrong shows when it is written
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil
	}
	if was, err := trust.CertificateIdentity(cert); err == nil && was.Name != holder.Name {
		return fmt.Errorf("%q is the certificate of %s\n--out names another folder; --name %s renews it", path, was, was.Name)
	}
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
