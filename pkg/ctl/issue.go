package ctl

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

// caIssue makes a certificate for those that do not get one by themselves: a
// collectord on another host, and operators. The key is made here and stays.
func (c *command) caIssue(ctx context.Context, args []string) error {
	set := c.flags("ca issue")
	r := reaching(set, model.DaemonCoordinator)
	name := set.String("name", "", "`name` in the certificate (default the role's)")
	hosts := set.String("host", "", "DNS `names` and addresses of a collectord, with commas between; the fleet itself needs none")
	out := set.String("out", "", "`folder` to put the files in (default the name)")
	ttl := set.Duration("ttl", 0, "`time` for which the certificate is valid, as in 720h (default: what coordinatord says)")
	text, err := c.parseOne(set, args, "a role: collectord or operator")
	if err != nil {
		return err
	}
	role, err := trust.ParseRole(text)
	switch {
	case role == trust.RoleWorker:
		return usagef("workers make their own: `cloudlessctl token create`, then `workerd join TOKEN`")
	case role == trust.RoleCoordinator:
		return usagef("coordinatord makes its own when it starts")
	case err != nil:
		return usagef("role %q: want collectord or operator", text)
	case *ttl < 0:
		return usagef("--ttl %s: want more than 0s", model.FormatDuration(*ttl))
	}
	request := api.IssueRequest{Role: role, Name: *name, TTL: ttl.Milliseconds()}
	if request.Name == "" {
		request.Name = string(role)
	}
	if *hosts != "" {
		for host := range strings.SplitSeq(*hosts, ",") {
			request.Hosts = append(request.Hosts, strings.TrimSpace(host))
		}
	}
	if *out == "" {
		*out = request.Name
	}
	if err := checkHolder(trust.FilesIn(*out, role).Cert, request.Name); err != nil {
		return err
	}
	client, w, err := r.administration()
	if err != nil {
		return err
	}
	issued, err := issue(ctx, client, request)
	if err != nil {
		return w.explain(err)
	}
	r.done()
	return c.keep(*out, issued)
}

// issue makes a key and has it certified.
func issue(ctx context.Context, client *api.AdminClient, request api.IssueRequest) (trust.Issued, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return trust.Issued{}, err
	}
	if request.PublicKey, err = x509.MarshalPKIXPublicKey(public); err != nil {
		return trust.Issued{}, err
	}
	answer, err := client.Issue(ctx, request)
	if err != nil {
		return trust.Issued{}, err
	}
	if answer.Outcome != api.Admitted {
		return trust.Issued{}, errors.New(answer.Text)
	}
	cert, err := parseCertificate([]byte(answer.Certificate))
	if err != nil {
		return trust.Issued{}, fmt.Errorf("answer of coordinatord: %w", err)
	}
	if !public.Equal(cert.PublicKey) {
		return trust.Issued{}, errors.New("answer of coordinatord: a certificate for another key")
	}
	identity, err := trust.CertificateIdentity(cert)
	if err != nil {
		return trust.Issued{}, fmt.Errorf("answer of coordinatord: %w", err)
	}
	key, err := trust.EncodeKey(private)
	if err != nil {
		return trust.Issued{}, err
	}
	return trust.Issued{Identity: identity, NotAfter: cert.NotAfter, CA: []byte(answer.Bundle), Cert: []byte(answer.Certificate), Key: key}, nil
}

// keep puts what was issued into the folder out.
func (c *command) keep(out string, issued trust.Issued) error {
	names := trust.FilesIn(out, issued.Identity.Role)
	if err := os.MkdirAll(out, 0o700); err != nil {
		return err
	}
	// The authorities may have changed since the folder was made.
	if _, err := trust.UpdateBundle(names.CA, issued.CA); err != nil {
		return err
	}
	files, err := trust.WriteCredentials(out, issued)
	if err != nil {
		return err
	}
	fmt.Fprintf(c.Out, "%s, valid until %s:\n", issued.Identity, when(issued.NotAfter))
	for _, path := range []string{files.CA, files.Cert, files.Key} {
		fmt.Fprintf(c.Out, "  %s\n", filepath.Clean(path))
	}
	what := "Copy them into the folder tls of collectord's state_directory on its host, owned by the user that collectord runs as, " +
		"and set coordinator.socket = \"\" in its collectord.toml.\n"
	if issued.Identity.Role == trust.RoleOperator {
		what = "Copy them to where cloudlessctl runs, the key readable by nobody but the operator; [tls] in cloudlessctl.toml names them.\n"
	}
	_, err = io.WriteString(c.Err, what)
	return err
}

// checkHolder refuses to put a certificate in the place of somebody else's. One's
// own is renewed.
func checkHolder(path, holder string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil // nothing to lose; what else is wrong shows when it is written
	}
	cert, err := parseCertificate(data)
	if err != nil {
		return nil
	}
	if was, err := trust.CertificateIdentity(cert); err == nil && was.Name != holder {
		return fmt.Errorf("%q is the certificate of %s\n--out names another folder; --name %s renews it", path, was, was.Name)
	}
	return nil
}

func parseCertificate(data []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("no certificate in PEM")
	}
	return x509.ParseCertificate(block.Bytes)
}
