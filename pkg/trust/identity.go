package trust

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Role is what a certificate's holder may act as.
type Role string

// The roles. The servers carry the names of their daemons.
const (
	RoleWorker      Role = "worker"
	RoleCollector   Role = model.DaemonCollector
	RoleCoordinator Role = model.DaemonCoordinator
	RoleOperator    Role = "operator"
)

// Roles lists every role.
func Roles() []Role {
	return []Role{RoleWorker, RoleCollector, RoleCoordinator, RoleOperator}
}

// RoleList spells every role for people: "a, b or c".
func RoleList() string {
	names := make([]string, len(Roles()))
	for i, role := range Roles() {
		names[i] = string(role)
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " or " + names[last]
}

// ParseRole reads the text form.
func ParseRole(text string) (Role, error) {
	for _, role := range Roles() {
		if string(role) == text {
			return role, nil
		}
	}
	return "", fmt.Errorf("role %.32q: want %s", text, RoleList())
}

// Server reports whether holders of the role accept connections.
func (r Role) Server() bool { return r == RoleCollector || r == RoleCoordinator }

// Identity is who a certificate speaks for. Comparable.
type Identity struct {
	Fleet string
	Role  Role
	Name  string // of a worker: its model.WorkerID in text form
}

// ErrIdentity is wrapped by every error about a missing, malformed or
// ambiguous identity in a certificate.
var ErrIdentity = errors.New("no valid fleet identity")

const (
	scheme = "cloudless"
	// serverDomain ends the fixed DNS names of servers. The top level domain
	// internal is reserved for private use and never resolves in public.
	serverDomain = ".cloudless.internal"
	longestName  = 63 // bytes, of a fleet and of a name: one DNS label
)

// CheckFleet reports what is wrong with a fleet name. It is one DNS label: 1 to
// 63 of a-z, 0-9 and hyphen, with neither end a hyphen.
func CheckFleet(fleet string) error {
	good := fleet != "" && len(fleet) <= longestName && fleet[0] != '-' && fleet[len(fleet)-1] != '-'
	for i := 0; good && i < len(fleet); i++ {
		good = lowerOrDigit(fleet[i]) || fleet[i] == '-'
	}
	if !good {
		return fmt.Errorf("fleet name %.80q: want 1 to 63 of a-z, 0-9 and -, beginning and ending with a letter or digit", fleet)
	}
	return nil
}

// Validate reports what is wrong with the identity, wrapping ErrIdentity.
func (id Identity) Validate() error {
	if err := CheckFleet(id.Fleet); err != nil {
		return fmt.Errorf("%w: %w", ErrIdentity, err)
	}
	if _, err := ParseRole(string(id.Role)); err != nil {
		return fmt.Errorf("%w: %w", ErrIdentity, err)
	}
	if id.Role == RoleWorker {
		worker, err := model.ParseWorkerID(id.Name)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrIdentity, err)
		}
		if worker.String() != id.Name {
			return fmt.Errorf("%w: worker id %q: want lower case", ErrIdentity, id.Name)
		}
		return nil
	}
	return checkName(id.Name)
}

func checkName(name string) error {
	good := name != "" && len(name) <= longestName && lowerOrDigit(name[0])
	for i := 0; good && i < len(name); i++ {
		good = lowerOrDigit(name[i]) || strings.IndexByte("._-", name[i]) >= 0
	}
	if !good {
		return fmt.Errorf("%w: name %.80q: want 1 to 63 of a-z, 0-9, '.', '_' and '-', beginning with a letter or digit", ErrIdentity, name)
	}
	return nil
}

// FitName makes a host name one that an identity of role can have: its own, with
// a hyphen for each character that is not allowed. Of a host name of which nothing
// is left, the role's.
func FitName(hostname string, role Role) string {
	name := strings.Map(func(r rune) rune {
		if r < utf8.RuneSelf && lowerOrDigit(byte(r)) || strings.ContainsRune("._-", r) {
			return r
		}
		return '-'
	}, strings.ToLower(hostname))
	if name = strings.TrimLeft(name, "._-"); name == "" {
		return string(role)
	}
	return name[:min(len(name), longestName)]
}

func lowerOrDigit(c byte) bool { return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' }

// String gives the URI form.
func (id Identity) String() string {
	return scheme + "://" + id.Fleet + "/" + string(id.Role) + "/" + id.Name
}

// WorkerID returns the worker that the identity speaks for; ok is false when
// the role is another one.
func (id Identity) WorkerID() (worker model.WorkerID, ok bool) {
	if id.Role != RoleWorker {
		return model.WorkerID{}, false
	}
	worker, err := model.ParseWorkerID(id.Name)
	return worker, err == nil
}

// IsServerName says that a DNS name is one under which clients ask for a server of
// some fleet.
func IsServerName(name string) bool { return strings.HasSuffix(strings.ToLower(name), serverDomain) }

// serverName is the DNS name under which clients ask for a server of role.
func serverName(fleet string, role Role) string {
	return string(role) + "." + fleet + serverDomain
}

// ParseIdentity reads the URI form. Only the canonical spelling is accepted, so
// that two different texts never mean the same identity. Errors wrap
// ErrIdentity.
func ParseIdentity(text string) (Identity, error) {
	rest, found := strings.CutPrefix(text, scheme+"://")
	parts := strings.Split(rest, "/")
	if !found || len(parts) != 3 {
		return Identity{}, fmt.Errorf("%w: %.200q: want cloudless://FLEET/ROLE/NAME", ErrIdentity, text)
	}
	id := Identity{Fleet: parts[0], Role: Role(parts[1]), Name: parts[2]}
	if err := id.Validate(); err != nil {
		return Identity{}, err
	}
	return id, nil
}

// CertificateIdentity reads the identity out of a certificate, without asking
// who signed it: of a peer ask PeerIdentity. Errors wrap ErrIdentity.
func CertificateIdentity(cert *x509.Certificate) (Identity, error) {
	uri, err := onlyURI(cert)
	if err != nil {
		return Identity{}, err
	}
	return ParseIdentity(uri)
}

// authorityFleet reads the fleet out of a CA certificate.
func authorityFleet(cert *x509.Certificate) (string, error) {
	if !cert.IsCA || !cert.BasicConstraintsValid {
		return "", fmt.Errorf("%w: not the certificate of an authority", ErrIdentity)
	}
	uri, err := onlyURI(cert)
	if err != nil {
		return "", err
	}
	fleet, found := strings.CutPrefix(uri, scheme+"://")
	if !found {
		return "", fmt.Errorf("%w: %.200q: want cloudless://FLEET", ErrIdentity, uri)
	}
	return fleet, CheckFleet(fleet)
}

// onlyURI returns the one cloudless URI of a certificate. Two of them would
// leave open which one was checked.
func onlyURI(cert *x509.Certificate) (string, error) {
	var own []*url.URL
	for _, uri := range cert.URIs {
		if uri.Scheme == scheme {
			own = append(own, uri)
		}
	}
	if len(own) != 1 {
		return "", fmt.Errorf("%w: %d cloudless URIs in the certificate, want one", ErrIdentity, len(own))
	}
	return own[0].String(), nil
}
