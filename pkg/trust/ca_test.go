package trust

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudless-fleet/cloudless/pkg/trust/disk"
)

func TestAnAuthorityLoadsAgain(t *testing.T) {
	made := newFleet(t, "lab")
	loaded, err := LoadCAFile(authorityFile(t, made, made))
	if err != nil {
		t.Fatal(err)
	}
	if loaded.Fleet() != "lab" || !bytes.Equal(loaded.CertPEM(), made.CertPEM()) || !loaded.key.Equal(made.key) {
		t.Errorf("loaded authority of %q differs from the one made", loaded.Fleet())
	}
	if _, ok := loaded.cert.PublicKey.(ed25519.PublicKey); !ok {
		t.Errorf("public key is a %T, want Ed25519", loaded.cert.PublicKey)
	}
}

// authorityFile has the certificate of one authority and the key of another.
func authorityFile(t *testing.T, cert, key *CA) (path string) {
	t.Helper()
	text, err := EncodeKey(key.key)
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "authority.pem")
	if err := os.WriteFile(path, append(bytes.Clone(cert.CertPEM()), text...), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestNewCARefusesBadFleetNames(t *testing.T) {
	for _, fleet := range []string{"", "Lab", "a b", "-a", "a.b", strings.Repeat("a", 64)} {
		if _, err := NewCA(fleet, rand.Reader, noon()); err == nil {
			t.Errorf("fleet %q: accepted", fleet)
		}
	}
}

func TestLoadCAFileChecksKeyAndCertificate(t *testing.T) {
	ca, other := newFleet(t, "lab"), newFleet(t, "lab")
	if _, err := LoadCAFile(authorityFile(t, ca, other)); !errors.Is(err, ErrKeyMismatch) {
		t.Errorf("certificate of another key: got %v, want ErrKeyMismatch", err)
	}
	path := authorityFile(t, ca, ca)
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadCAFile(path); !errors.Is(err, ErrKeyMode) || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("key readable by all: got %v, want ErrKeyMode with the cure", err)
	}
	if _, err := LoadCAFile(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: got %v, want fs.ErrNotExist", err)
	}
}

func leafOf(t *testing.T, issued Issued) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode(issued.Cert)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func TestIssuedCertificatesSayWhatTheirRoleMay(t *testing.T) {
	ca := newFleet(t, "lab")
	client := []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	both := []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	for _, c := range []struct {
		req   Request
		usage []x509.ExtKeyUsage
		dns   []string
		ips   []string
	}{
		{worker(), client, nil, nil},
		{Request{Role: RoleOperator, Name: "alice"}, client, nil, nil},
		{collector(), both, []string{"collectord.lab.cloudless.internal"}, nil},
		{Request{Role: RoleCoordinator, Name: "m", Hosts: []string{"Monitor.example.org", "192.0.2.1", "2001:db8::1", "localhost"}},
			both, []string{"coordinatord.lab.cloudless.internal", "monitor.example.org", "localhost"}, []string{"192.0.2.1", "2001:db8::1"}},
	} {
		issued := issue(t, ca, c.req)
		leaf := leafOf(t, issued)
		want := Identity{"lab", c.req.Role, c.req.Name}
		if got, err := CertificateIdentity(leaf); err != nil || got != want || issued.Identity != want {
			t.Errorf("%v: certificate says %v, %v; want %v", c.req, got, err, want)
		}
		var ips []string
		for _, ip := range leaf.IPAddresses {
			ips = append(ips, ip.String())
		}
		if leaf.IsCA || leaf.KeyUsage != x509.KeyUsageDigitalSignature || !slices.Equal(leaf.ExtKeyUsage, c.usage) {
			t.Errorf("%v: authority %v, usage %v, %v; want extended usage %v only", c.req, leaf.IsCA, leaf.KeyUsage, leaf.ExtKeyUsage, c.usage)
		}
		if diff := cmp.Diff(c.dns, leaf.DNSNames); diff != "" {
			t.Errorf("%v: DNS names (-want +got):\n%s", c.req, diff)
		}
		if diff := cmp.Diff(c.ips, ips); diff != "" {
			t.Errorf("%v: addresses (-want +got):\n%s", c.req, diff)
		}
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: poolOf([]*x509.Certificate{ca.cert}), CurrentTime: noon(), KeyUsages: c.usage}); err != nil {
			t.Errorf("%v: %v", c.req, err)
		}
	}
}

func TestIssueRefusesWhatNoCertificateMaySay(t *testing.T) {
	ca := newFleet(t, "lab")
	for name, req := range map[string]Request{
		"no role":                  {Name: "a"},
		"unknown role":             {Role: "root", Name: "a"},
		"no name":                  {Role: RoleOperator},
		"name with slash":          {Role: RoleOperator, Name: "a/b"},
		"worker without id":        {Role: RoleWorker, Name: "host-1"},
		"host of a worker":         {Role: RoleWorker, Name: someWorker, Hosts: []string{"a"}},
		"empty host":               {Role: RoleCollector, Name: "m", Hosts: []string{""}},
		"host with wildcard":       {Role: RoleCollector, Name: "m", Hosts: []string{"*.example.org"}},
		"host with port":           {Role: RoleCollector, Name: "m", Hosts: []string{"a:1"}},
		"fixed name of a server":   {Role: RoleCollector, Name: "m", Hosts: []string{"coordinatord.lab.cloudless.internal"}},
		"the same in upper case":   {Role: RoleCollector, Name: "m", Hosts: []string{"Coordinatord.Lab.Cloudless.INTERNAL"}},
		"a duration that is spent": {Role: RoleOperator, Name: "a", TTL: -time.Second},
	} {
		if _, err := ca.Issue(req, rand.Reader, noon()); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestCertificatesDoNotOutliveTheirAuthority(t *testing.T) {
	ca := newFleet(t, "lab")
	for ttl, want := range map[time.Duration]time.Time{
		0:                noon().Add(DefaultTTL),
		time.Hour:        noon().Add(time.Hour),
		2 * authorityTTL: noon().Add(authorityTTL),
	} {
		issued := issue(t, ca, Request{Role: RoleOperator, Name: "a", TTL: ttl})
		if got := leafOf(t, issued).NotAfter; !got.Equal(want) || !issued.NotAfter.Equal(want) {
			t.Errorf("ttl %v: ends %v, said %v; want %v", ttl, got, issued.NotAfter, want)
		}
	}
	for _, now := range []time.Time{noon().Add(-time.Hour), noon().Add(authorityTTL)} {
		if _, err := ca.Issue(worker(), rand.Reader, now); err == nil {
			t.Errorf("issued at %v, when the authority is not valid", now)
		}
	}
}

func TestSerialsDiffer(t *testing.T) {
	ca := newFleet(t, "lab")
	seen := map[string]bool{}
	for range 50 {
		serial := leafOf(t, issue(t, ca, worker())).SerialNumber
		if serial.Sign() <= 0 || seen[serial.String()] {
			t.Fatalf("serial %v: want positive and new", serial)
		}
		seen[serial.String()] = true
	}
}

func TestWriteCredentialsKeepsFleetsApart(t *testing.T) {
	dir, lab := t.TempDir(), newFleet(t, "lab")
	first := issue(t, lab, worker())
	if _, err := WriteCredentials(dir, first); err != nil {
		t.Fatal(err)
	}
	files, err := WriteCredentials(dir, issue(t, lab, worker())) // replacing the own ones is renewal
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(files.Key); err != nil || info.Mode() != disk.Private {
		t.Errorf("key: mode %v, %v; want 0600", info.Mode(), err)
	}
	if _, err := Load(files, noon); err != nil {
		t.Errorf("after renewal: %v", err)
	}
	if _, err := WriteCredentials(dir, issue(t, newFleet(t, "lab"), collector())); err == nil {
		t.Errorf("credentials of another authority written into the same folder")
	}
	if _, err := os.Stat(FilesIn(dir, RoleCollector).Cert); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the refused certificate was written")
	}
}
