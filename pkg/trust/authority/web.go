package authority

import (
	"crypto/ecdsa"
	"crypto/x509"
	"errors"
	"io"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/disk"
)

// Web is the certificate of the authority that browsers are to trust. Do not
// modify it.
func (a *Authority) Web() *x509.Certificate { return a.web.Certificate() }

// WebPEM is the same, PEM.
func (a *Authority) WebPEM() []byte { return a.web.CertPEM() }

// IssueWeb signs a certificate that browsers understand, as trust.WebCA.Sign
// does. Members of the fleet never take it for one of theirs.
func (a *Authority) IssueWeb(public *ecdsa.PublicKey, hosts []string, random io.Reader, now time.Time) (cert []byte, notAfter time.Time, err error) {
	return a.web.Sign(public, hosts, random, now)
}

// openWeb reads the authority for browsers or makes it. The folder is locked. A
// damaged one is an error: people have told their browsers to trust it.
func openWeb(dir, fleet string, random io.Reader, now time.Time) (*trust.WebCA, error) {
	path := filepath.Join(dir, webFile)
	data, err := disk.ReadPrivate(path, maxManifest)
	if err == nil {
		return trust.ParseWebCA(data, path)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	web, err := trust.NewWebCA(fleet, random, now)
	if err != nil {
		return nil, err
	}
	if data, err = web.PEM(); err != nil {
		return nil, err
	}
	return web, disk.Create(path, data, disk.Private)
}
