package trust

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust/disk"
)

// Errors of Load and Reload that a caller may want to tell apart. Files that
// are missing give errors wrapping fs.ErrNotExist; see also ErrIdentity and
// ErrKeyMode.
var (
	ErrKeyMismatch     = errors.New("certificate and key do not belong together")
	ErrExpired         = errors.New("certificate has expired")
	ErrNotYetValid     = errors.New("certificate is not valid yet")
	ErrNotSigned       = errors.New("certificate is not signed by this authority")
	ErrForeignFleet    = errors.New("certificate of another fleet")
	ErrRevoked         = errors.New("certificate is revoked")
	ErrIdentityChanged = errors.New("certificate speaks for somebody else than before")
)

// Files names what a daemon proves itself with. All three are PEM.
type Files struct {
	// CA holds the certificate of the fleet's authority; while a fleet moves
	// to a new authority, both.
	CA string `toml:"ca"`
	// Cert holds the daemon's own certificate.
	Cert string `toml:"cert"`
	// Key holds the private key of the certificate. Only its owner may be able
	// to read it (mode 0600). It may be the same file as Cert.
	Key string `toml:"key"`
}

// Validate names every field that is missing (model.FieldError).
func (f Files) Validate() error {
	var errs []error
	for _, field := range []struct{ key, value string }{{"ca", f.CA}, {"cert", f.Cert}, {"key", f.Key}} {
		if field.value == "" {
			errs = append(errs, model.Fieldf(field.key, "want the path of a PEM file"))
		}
	}
	return errors.Join(errs...)
}

// Credentials are a member's own certificate and the authority by which it
// judges others. All methods are safe for concurrent use.
type Credentials struct {
	now     func() time.Time
	current atomic.Pointer[material]
	refuse  atomic.Pointer[Refusal]
}

// Refusal says why a peer that has proved its identity is refused all the same;
// nil when it is welcome. It is asked in every handshake, by several goroutines
// at once, and must not block. Errors of revocation wrap ErrRevoked.
type Refusal func(leaf *x509.Certificate, peer Identity) error

// Refuse installs what is asked about every peer from now on, in configurations
// made before too. nil takes it away. Running connections are not touched: who
// keeps the list of refusals knows when to cut them.
func (c *Credentials) Refuse(ask Refusal) {
	if ask == nil {
		c.refuse.Store(nil)
		return
	}
	c.refuse.Store(&ask)
}

// material is what one reading of the files gave; immutable.
type material struct {
	files    Files
	bundle   Bundle
	pool     *x509.CertPool
	leaf     tls.Certificate
	identity Identity
}

// Load reads the files and checks that they fit together at the time that now
// gives. now is kept, for verifying peers.
func Load(files Files, now func() time.Time) (*Credentials, error) {
	c := &Credentials{now: now}
	loaded, err := c.read(files)
	if err != nil {
		return nil, err
	}
	c.current.Store(loaded)
	return c, nil
}

// NewCredentials are credentials that are in no file: a certificate that was
// issued a moment ago, with its key (Issued.Key), and the bundle by which peers
// are judged.
func NewCredentials(bundle Bundle, issued Issued, now func() time.Time) (*Credentials, error) {
	c := &Credentials{now: now}
	made, err := c.of(bundle, issued)
	if err != nil {
		return nil, err
	}
	c.current.Store(made)
	return c, nil
}

// Use is Prepare for credentials that are in no file.
func (c *Credentials) Use(bundle Bundle, issued Issued) error {
	made, err := c.of(bundle, issued)
	if err != nil {
		return err
	}
	if was := c.Identity(); made.identity != was {
		return fmt.Errorf("use certificate: %w: %s, was %s", ErrIdentityChanged, made.identity, was)
	}
	c.current.Store(made)
	return nil
}

func (c *Credentials) of(bundle Bundle, issued Issued) (*material, error) {
	const place = "issued certificate"
	chain, err := parseCerts(issued.Cert, place)
	if err != nil {
		return nil, err
	}
	key, err := parseKey(issued.Key, place)
	if err != nil {
		return nil, err
	}
	return c.assemble(Files{CA: "bundle", Cert: place, Key: place}, bundle, chain, key)
}

// Prepare reads files, which may be others than before, and changes nothing
// yet. Connections made after apply use what was read, established ones go on.
// A certificate for another identity is an error (ErrIdentityChanged).
func (c *Credentials) Prepare(files Files) (apply func(), err error) {
	loaded, err := c.read(files)
	if err != nil {
		return nil, err
	}
	if was := c.Identity(); loaded.identity != was {
		return nil, fmt.Errorf("%q: %w: %s, was %s", files.Cert, ErrIdentityChanged, loaded.identity, was)
	}
	return func() { c.current.Store(loaded) }, nil
}

// Reload reads the same files again and uses them as Prepare does. On error
// everything stays as it was.
func (c *Credentials) Reload() error {
	apply, err := c.Prepare(c.current.Load().files)
	if err != nil {
		return err
	}
	apply()
	return nil
}

// Identity is who the own certificate speaks for.
func (c *Credentials) Identity() Identity { return c.current.Load().identity }

// Bundle is the authorities by which peers are judged.
func (c *Credentials) Bundle() Bundle { return c.current.Load().bundle }

// Leaf is the own certificate. Do not modify it.
func (c *Credentials) Leaf() *x509.Certificate { return c.current.Load().leaf.Leaf }

// NotAfter is when the own certificate ends.
func (c *Credentials) NotAfter() time.Time { return c.current.Load().leaf.Leaf.NotAfter }

func (c *Credentials) read(files Files) (*material, error) {
	if err := files.Validate(); err != nil {
		return nil, fmt.Errorf("load credentials: %w", err)
	}
	bundle, err := readBundle(files.CA)
	if err != nil {
		return nil, fmt.Errorf("load authority: %w", err)
	}
	chain, err := readCerts(files.Cert)
	if err != nil {
		return nil, fmt.Errorf("load certificate: %w", err)
	}
	key, err := ReadKey(files.Key)
	if err != nil {
		return nil, fmt.Errorf("load key: %w", err)
	}
	return c.assemble(files, bundle, chain, key)
}

// assemble checks that the parts fit together. files names them in errors.
func (c *Credentials) assemble(files Files, bundle Bundle, chain []*x509.Certificate, key crypto.Signer) (*material, error) {
	authorities := bundle.Authorities
	public, ok := key.Public().(interface{ Equal(x crypto.PublicKey) bool })
	if !ok || !public.Equal(chain[0].PublicKey) {
		return nil, fmt.Errorf("load credentials: %q and %q: %w", files.Cert, files.Key, ErrKeyMismatch)
	}
	identity, err := c.check(chain, authorities, bundle.Fleet, files.CA)
	if err != nil {
		return nil, fmt.Errorf("load certificate %q: %w", files.Cert, err)
	}
	leaf := tls.Certificate{PrivateKey: key, Leaf: chain[0]}
	for _, cert := range chain {
		leaf.Certificate = append(leaf.Certificate, cert.Raw)
	}
	if identity.Role.Server() {
		// For hosts that know no more than a fingerprint, see Pinned.
		for _, cert := range authorities {
			leaf.Certificate = append(leaf.Certificate, cert.Raw)
		}
	}
	return &material{files: files, bundle: bundle, pool: poolOf(authorities), leaf: leaf, identity: identity}, nil
}

// readBundle reads a CA file: one fleet's authorities and nothing else.
func readBundle(path string) (Bundle, error) {
	data, err := disk.Read(path, largestFile)
	if err != nil {
		return Bundle{}, err
	}
	return parseBundle(data, path)
}

// check tells what an operator needs to know, the likeliest mistake first,
// where the library would only say that the chain does not verify.
func (c *Credentials) check(chain, authorities []*x509.Certificate, fleet, caPath string) (Identity, error) {
	leaf, now := chain[0], c.now()
	identity, err := CertificateIdentity(leaf)
	if err != nil {
		return Identity{}, err
	}
	if identity.Fleet != fleet {
		return Identity{}, fmt.Errorf("%w: it is of %q, %q is of %q", ErrForeignFleet, identity.Fleet, caPath, fleet)
	}
	if !now.Before(leaf.NotAfter) {
		return Identity{}, fmt.Errorf("%w on %s, now is %s", ErrExpired, stamp(leaf.NotAfter), stamp(now))
	}
	if now.Before(leaf.NotBefore) {
		return Identity{}, fmt.Errorf("%w: it begins on %s, now is %s; is the clock right?", ErrNotYetValid, stamp(leaf.NotBefore), stamp(now))
	}
	options := x509.VerifyOptions{Roots: poolOf(authorities), Intermediates: poolOf(chain[1:]), CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	if _, err := leaf.Verify(options); err != nil {
		return Identity{}, fmt.Errorf("%w, %q: %w", ErrNotSigned, caPath, err)
	}
	return identity, nil
}

func poolOf(certs []*x509.Certificate) *x509.CertPool {
	pool := x509.NewCertPool()
	for _, cert := range certs {
		pool.AddCert(cert)
	}
	return pool
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
