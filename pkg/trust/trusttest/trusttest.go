// Package trusttest makes the certificates of fleets for tests.
package trusttest

import (
	"crypto/rand"
	"crypto/x509"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

// Fleet is a fleet with an authority of its own.
type Fleet struct {
	t  testing.TB
	ca *trust.CA
}

// New makes a fleet.
func New(t testing.TB, name string) *Fleet {
	t.Helper()
	ca, err := trust.NewCA(name, rand.Reader, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return &Fleet{t: t, ca: ca}
}

// Files issues a certificate to a member and names its files.
func (f *Fleet) Files(role trust.Role, name string) trust.Files {
	f.t.Helper()
	issued, err := f.ca.Issue(trust.Request{Role: role, Name: name}, rand.Reader, time.Now())
	if err != nil {
		f.t.Fatal(err)
	}
	files, err := trust.WriteCredentials(f.t.TempDir(), issued)
	if err != nil {
		f.t.Fatal(err)
	}
	return files
}

// CA is the fleet's authority.
func (f *Fleet) CA() *trust.CA { return f.ca }

// Bundle is what its members judge others by.
func (f *Fleet) Bundle() trust.Bundle {
	return trust.Bundle{Fleet: f.ca.Fleet(), Authorities: []*x509.Certificate{f.ca.Certificate()}}
}

// Worker issues a certificate to a worker.
func (f *Fleet) Worker(id model.WorkerID) trust.Files {
	f.t.Helper()
	return f.Files(trust.RoleWorker, id.String())
}

// Member issues a certificate to a member and loads it.
func (f *Fleet) Member(role trust.Role, name string) *trust.Credentials {
	f.t.Helper()
	credentials, err := trust.Load(f.Files(role, name), time.Now)
	if err != nil {
		f.t.Fatal(err)
	}
	return credentials
}
