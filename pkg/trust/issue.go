package trust

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/trust/disk"
)

// DefaultTTL is how long a certificate made by hand lasts: nobody renews it.
const DefaultTTL = 365 * 24 * time.Hour

// Request is what a certificate shall say.
type Request struct {
	Role Role
	Name string // of a worker: its model.WorkerID in text form
	// Hosts are DNS names and IP addresses under which browsers and other
	// clients outside the fleet reach a server. Fleet members do not use them;
	// for roles that accept no connections there must be none.
	Hosts []string
	// TTL is how long the certificate lasts; 0 means DefaultTTL. It never
	// lasts longer than the authority.
	TTL time.Duration
}

// Issued is a new certificate and, if it was made here, its key.
type Issued struct {
	Identity Identity
	NotAfter time.Time
	CA       []byte // PEM, the authority's certificate
	Cert     []byte // PEM
	Key      []byte // PEM, PKCS #8; nil when the holder keeps it to himself
}

// Issue makes a key and signs a certificate for it.
func (ca *CA) Issue(req Request, random io.Reader, now time.Time) (Issued, error) {
	public, private, err := ed25519.GenerateKey(random)
	if err != nil {
		return Issued{}, fmt.Errorf("issue certificate: make key: %w", err)
	}
	issued, err := ca.Sign(req, public, random, now)
	if err != nil {
		return Issued{}, err
	}
	issued.Key, err = EncodeKey(private)
	return issued, err
}

// Sign signs a certificate for somebody else's key.
func (ca *CA) Sign(req Request, public crypto.PublicKey, random io.Reader, now time.Time) (Issued, error) {
	identity := Identity{Fleet: ca.fleet, Role: req.Role, Name: req.Name}
	if err := identity.Validate(); err != nil {
		return Issued{}, fmt.Errorf("issue certificate: %w", err)
	}
	if now.Before(ca.cert.NotBefore) || !now.Before(ca.cert.NotAfter) {
		return Issued{}, fmt.Errorf("issue certificate: the authority is valid from %s to %s, now is %s",
			stamp(ca.cert.NotBefore), stamp(ca.cert.NotAfter), stamp(now))
	}
	template, err := leafTemplate(identity, req, now)
	if err != nil {
		return Issued{}, fmt.Errorf("issue certificate for %s: %w", identity, err)
	}
	if template.NotAfter.After(ca.cert.NotAfter) {
		template.NotAfter = ca.cert.NotAfter
	}
	if template.SerialNumber, err = newSerial(random); err != nil {
		return Issued{}, fmt.Errorf("issue certificate for %s: %w", identity, err)
	}
	der, err := x509.CreateCertificate(random, template, ca.cert, public, ca.key)
	if err != nil {
		return Issued{}, fmt.Errorf("issue certificate for %s: %w", identity, err)
	}
	return Issued{Identity: identity, NotAfter: template.NotAfter, CA: ca.certPEM, Cert: encodeCert(der)}, nil
}

func leafTemplate(identity Identity, req Request, now time.Time) (*x509.Certificate, error) {
	uri, err := url.Parse(identity.String())
	if err != nil {
		return nil, err
	}
	ttl := req.TTL
	if ttl == 0 {
		ttl = DefaultTTL
	}
	if ttl < 0 {
		return nil, fmt.Errorf("ttl %s: want a positive duration", ttl)
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{Organization: []string{"Cloudless"}, CommonName: identity.Name},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(ttl),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
		URIs:                  []*url.URL{uri},
	}
	if !identity.Role.Server() {
		if len(req.Hosts) > 0 {
			return nil, fmt.Errorf("hosts %q: a %s accepts no connections", req.Hosts, identity.Role)
		}
		return template, nil
	}
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	template.DNSNames = []string{serverName(identity.Fleet, identity.Role)}
	return template, addHosts(template, req.Hosts)
}

func addHosts(template *x509.Certificate, hosts []string) error {
	for _, host := range hosts {
		if addr, err := netip.ParseAddr(host); err == nil {
			template.IPAddresses = append(template.IPAddresses, addr.Unmap().WithZone("").AsSlice())
			continue
		}
		if err := CheckHost(host); err != nil {
			return fmt.Errorf("host %w", err)
		}
		template.DNSNames = append(template.DNSNames, strings.ToLower(host))
	}
	return nil
}

// CheckHost reports what is wrong with a host for a certificate: it is an IP
// address or a DNS name. Names below our own domain are ours to give: one of them
// here would make a server pass for another role.
func CheckHost(host string) error {
	if addr, err := netip.ParseAddr(host); err == nil && addr.Zone() == "" {
		return nil
	}
	good := host != "" && len(host) <= 253 && !IsServerName(host)
	for label := range strings.SplitSeq(strings.ToLower(host), ".") {
		good = good && CheckFleet(label) == nil // the same grammar: one DNS label
	}
	if !good {
		return fmt.Errorf("%.80q: want a DNS name or an IP address", host)
	}
	return nil
}

// CertificateHosts lists the hosts that a certificate names besides the fleet's own
// names: what Request.Hosts was when it was issued.
func CertificateHosts(leaf *x509.Certificate) (hosts []string) {
	for _, name := range leaf.DNSNames {
		if !IsServerName(name) {
			hosts = append(hosts, name)
		}
	}
	for _, ip := range leaf.IPAddresses {
		if addr, ok := netip.AddrFromSlice(ip); ok {
			hosts = append(hosts, addr.Unmap().String())
		}
	}
	return hosts
}

// WriteCredentials puts an issued certificate, its key (0600) and the
// authority's certificate into dir, under the names that FilesIn gives, each
// replaced atomically. A folder that holds another fleet's authority is left
// alone.
func WriteCredentials(dir string, issued Issued) (Files, error) {
	if len(issued.Key) == 0 {
		return Files{}, fmt.Errorf("write credentials of %s: no key", issued.Identity)
	}
	if err := os.MkdirAll(dir, disk.Folder); err != nil {
		return Files{}, fmt.Errorf("make folder for credentials: %w", err)
	}
	files := FilesIn(dir, issued.Identity.Role)
	old, err := os.ReadFile(files.CA)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := disk.Replace(files.CA, issued.CA, disk.Public); err != nil {
			return Files{}, err
		}
	case err != nil:
		return Files{}, fmt.Errorf("write credentials: %w", err)
	case !bytes.Contains(old, issued.CA): // during a roll-over there are two
		return Files{}, fmt.Errorf("write credentials of %s: %q is the certificate of another authority", issued.Identity, files.CA)
	}
	if err := disk.Replace(files.Key, issued.Key, disk.Private); err != nil {
		return Files{}, err
	}
	return files, disk.Replace(files.Cert, issued.Cert, disk.Public)
}
