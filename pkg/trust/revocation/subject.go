package revocation

import (
	"fmt"
	"math/big"
	"strings"

	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

// Subject is what is revoked: an identity with all its certificates, one
// certificate by its serial number, or a key under whatever identity. Its text
// form is the only one: worker/UUID, operator/NAME and so on, serial/HEX,
// key/FINGERPRINT. Comparable; the zero value is nothing.
type Subject struct{ text string }

const (
	serialPrefix = "serial/"
	keyPrefix    = "key/"
)

// Worker revokes a worker by its id.
func Worker(id model.WorkerID) Subject { return Identity(trust.RoleWorker, id.String()) }

// Identity revokes whoever has the role and the name.
func Identity(role trust.Role, name string) Subject { return Subject{string(role) + "/" + name} }

// Serial revokes one certificate.
func Serial(number *big.Int) Subject { return Subject{serialPrefix + number.Text(16)} }

// Key revokes a public key.
func Key(f trust.Fingerprint) Subject { return Subject{keyPrefix + f.String()} }

func (s Subject) String() string { return s.text }

// WorkerID returns the worker that is revoked; ok is false for other subjects.
func (s Subject) WorkerID() (id model.WorkerID, ok bool) {
	name, found := strings.CutPrefix(s.text, string(trust.RoleWorker)+"/")
	if !found {
		return id, false
	}
	id, err := model.ParseWorkerID(name)
	return id, err == nil
}

// ParseSubject reads the text form.
func ParseSubject(text string) (Subject, error) {
	kind, value, _ := strings.Cut(text, "/")
	switch kind {
	case "serial":
		if number, ok := new(big.Int).SetString(value, 16); ok && len(value) <= 40 && number.Sign() > 0 && number.Text(16) == value {
			return Subject{text}, nil
		}
	case "key":
		if _, err := trust.ParseFingerprint(value); err == nil {
			return Subject{text}, nil
		}
	default:
		id := trust.Identity{Fleet: "x", Role: trust.Role(kind), Name: value} // any fleet does: the list is of one
		if id.Validate() == nil {
			return Subject{text}, nil
		}
	}
	return Subject{}, fmt.Errorf("revoked subject %.100q: want ROLE/NAME, serial/HEX or key/FINGERPRINT", text)
}

// MarshalText implements encoding.TextMarshaler.
func (s Subject) MarshalText() ([]byte, error) { return []byte(s.text), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Subject) UnmarshalText(text []byte) (err error) {
	*s, err = ParseSubject(string(text))
	return err
}
