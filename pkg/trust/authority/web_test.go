package authority

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func browserKey(t *testing.T, curve elliptic.Curve) *ecdsa.PublicKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &key.PublicKey
}

func TestWebCertificatesAreForBrowsersOnly(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	a, err := Open(dir, "lab", rand.Reader, now)
	if err != nil {
		t.Fatal(err)
	}
	text, ends, err := a.IssueWeb(browserKey(t, elliptic.P256()), []string{"Monitor.example.com", "192.0.2.7", "::1"}, rand.Reader, now)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(a.Web())
	for _, host := range []string{"monitor.example.com", "192.0.2.7", "::1"} {
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: host, CurrentTime: now}); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
	if life := ends.Sub(now); life < 24*time.Hour || life > 200*24*time.Hour || !leaf.NotAfter.Equal(ends.UTC().Truncate(time.Second)) {
		t.Errorf("it lasts %v, until %v", life, leaf.NotAfter)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err == nil {
		t.Errorf("it serves as the certificate of a client")
	}
	fleet := x509.NewCertPool()
	for _, cert := range a.Bundle().Authorities {
		fleet.AddCert(cert)
		if cert.Equal(a.Web()) {
			t.Errorf("the web authority is in the bundle of the fleet")
		}
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: fleet, CurrentTime: now}); err == nil {
		t.Errorf("members would take it for one of theirs")
	}
	if info, err := os.Stat(filepath.Join(dir, webFile)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("its file: %v, %v", info.Mode(), err)
	}
}

func TestWhatIsNoWebCertificate(t *testing.T) {
	a, err := Open(t.TempDir(), "lab", rand.Reader, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	good := browserKey(t, elliptic.P256())
	for name, ask := range map[string]struct {
		key   *ecdsa.PublicKey
		hosts []string
		late  time.Duration
	}{
		"no host":               {good, nil, 0},
		"no key":                {nil, []string{"a"}, 0},
		"another curve":         {browserKey(t, elliptic.P384()), []string{"a"}, 0},
		"a wildcard":            {good, []string{"*.example.com"}, 0},
		"a name of the fleet":   {good, []string{"collectord.lab.cloudless.internal"}, 0},
		"too many hosts":        {good, strings.Split(strings.Repeat("a ", 65), " ")[:65], 0},
		"after its own end":     {good, []string{"a"}, 11 * 365 * 24 * time.Hour},
		"a host with a newline": {good, []string{"a\nb"}, 0},
	} {
		if cert, _, err := a.IssueWeb(ask.key, ask.hosts, rand.Reader, time.Now().Add(ask.late)); err == nil {
			t.Errorf("%s: issued %s", name, cert)
		}
	}
}

func TestAHomeOfAnEarlierReleaseGetsAWebAuthorityOnce(t *testing.T) {
	dir := t.TempDir()
	open := func() *Authority {
		t.Helper()
		a, err := Open(dir, "", rand.Reader, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	first := open()
	if again := open(); !again.Web().Equal(first.Web()) {
		t.Errorf("opened again: another web authority")
	}
	path := filepath.Join(dir, webFile)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	made := open()
	if made.Web().Equal(first.Web()) || made.Fleet() != first.Fleet() {
		t.Errorf("got the fleet %s, want %s with a new web authority", made.Fleet(), first.Fleet())
	}
	if err := os.WriteFile(path, []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, "", rand.Reader, time.Now()); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("damaged: got %v, want an error that names the file", err)
	}
	if got, _ := os.ReadFile(path); string(got) != "damaged" {
		t.Errorf("the damaged file was changed")
	}
}
