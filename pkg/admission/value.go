package admission

import (
	"cmp"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/cloudless-fleet/cloudless/pkg/boltfile"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/pairing"
	"github.com/cloudless-fleet/cloudless/pkg/trust/token"
)

// What is wrong with a file that Open refuses.
var (
	ErrLocked      = boltfile.ErrLocked
	ErrNewerFormat = boltfile.ErrNewerFormat
	ErrDamaged     = boltfile.ErrDamaged
)

// Bounds of texts, in bytes.
const (
	maxHostname = 253
	maxBy       = 256
)

func goodText(text string, most int) bool { return len(text) <= most && utf8.ValidString(text) }

// storedMember is the JSON form of a member. Times are Unix milliseconds.
type storedMember struct {
	ID       model.WorkerID    `json:"id"`
	Key      []byte            `json:"key"`
	Hostname string            `json:"hostname"`
	Labels   map[string]string `json:"labels,omitempty"`
	At       int64             `json:"at_ms"`
	By       string            `json:"by"`
	CloneOf  model.WorkerID    `json:"clone_of,omitzero"`
	Family   model.WorkerID    `json:"family,omitzero"` // when it is another one's
	Body     trust.Body        `json:"body,omitzero"`
	Boot     model.BootID      `json:"boot,omitzero"`
	Left     bool              `json:"left,omitempty"`
	Past     []model.BootID    `json:"past,omitempty"`
	Ends     int64             `json:"certificate_ends_ms,omitempty"`
	Bundle   string            `json:"bundle,omitempty"`
}

// storedMemberOf copies what is stored of m, whose lock is held.
func storedMemberOf(m *member) storedMember {
	s := storedMember{ID: m.ID, Key: m.Key, Hostname: m.Hostname, Labels: m.Labels, At: m.At.UnixMilli(), By: m.By, CloneOf: m.CloneOf,
		Body: m.session.bound, Boot: m.session.boot, Left: m.session.left, Past: m.session.past, Bundle: m.Bundle}
	if m.family != m.ID {
		s.Family = m.family
	}
	if !m.CertificateEnds.IsZero() {
		s.Ends = m.CertificateEnds.UnixMilli()
	}
	return s
}

func appendMember(dst []byte, s *storedMember) ([]byte, error) {
	dst, err := boltfile.AppendJSON(dst, s)
	if err != nil {
		err = fmt.Errorf("encode member %v: %w", s.ID, err)
	}
	return dst, err
}

// parseMember reads the stored form. Errors wrap ErrDamaged or ErrNewerFormat.
func parseMember(b []byte) (s storedMember, err error) {
	if err := boltfile.OpenJSON(b, &s); err != nil {
		return storedMember{}, err
	}
	switch {
	case s.ID.IsZero():
		err = errors.New("no id")
	case len(s.Key) != ed25519.PublicKeySize:
		err = fmt.Errorf("key of %d bytes", len(s.Key))
	case !goodText(s.Hostname, maxHostname), !goodText(s.By, maxBy), !goodText(s.Bundle, maxBundle):
		err = errors.New("text out of bounds")
	case len(s.Past) > maxPast || slices.Contains(s.Past, model.BootID{}):
		err = fmt.Errorf("%d past processes", len(s.Past))
	default:
		err = cmp.Or(boltfile.CheckMillis(s.At, s.Ends), token.CheckLabels(s.Labels))
	}
	if err != nil {
		return storedMember{}, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return s, nil
}

// member makes a member that was just loaded.
func (s *storedMember) member() *member {
	m := &member{family: s.Family, Member: Member{ID: s.ID, Key: s.Key, Hostname: s.Hostname, Labels: s.Labels,
		At: time.UnixMilli(s.At).UTC(), By: s.By, CloneOf: s.CloneOf, Bundle: s.Bundle},
		session: session{bound: s.Body, boot: s.Boot, left: s.Left, past: s.Past}}
	if m.family.IsZero() {
		m.family = m.ID
	}
	if s.Ends != 0 {
		m.CertificateEnds = time.UnixMilli(s.Ends).UTC()
	}
	m.Fingerprint, _ = trust.FingerprintOf(m.Key) // its length was checked
	return m
}

// tokenUse is one use of a token. Uses are stored apart from the records: a token
// of thousands of uses is not to be written anew for each.
type tokenUse struct {
	token token.ID
	token.Use
}

// appendToken appends the stored form of a record without its uses.
func appendToken(dst []byte, r token.Record) ([]byte, error) {
	r.Uses = nil
	text, err := r.Marshal()
	if err != nil {
		return dst, fmt.Errorf("encode token %s: %w", r.ID, err)
	}
	return boltfile.AppendValue(dst, text), nil
}

// parseToken reads it. Errors wrap ErrDamaged or ErrNewerFormat.
func parseToken(b []byte) (token.Record, error) {
	content, err := boltfile.OpenValue(b)
	if err != nil {
		return token.Record{}, err
	}
	r, err := token.ParseRecord(content)
	if err == nil && len(r.Uses) > 0 {
		err = errors.New("uses in the record")
	}
	if err != nil {
		return token.Record{}, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return r, nil
}

// A use: the key is the token's id and the fingerprint of the machine's key, the
// value 8 bytes, big endian: Unix milliseconds.
const useKey, useContent = 8 + 32, 8

func (u tokenUse) key() []byte { return append(u.token[:], u.Key[:]...) }

func (u tokenUse) appendValue(dst []byte) []byte {
	return boltfile.AppendValue(dst, binary.BigEndian.AppendUint64(nil, uint64(u.At.UnixMilli())))
}

func parseUse(key, value []byte) (tokenUse, error) {
	content, err := boltfile.OpenValue(value)
	if err != nil {
		return tokenUse{}, err
	}
	if len(key) != useKey || len(content) != useContent {
		return tokenUse{}, fmt.Errorf("%w: %d and %d bytes are not the use of a token", ErrDamaged, len(key), len(content))
	}
	ms := int64(binary.BigEndian.Uint64(content))
	u := tokenUse{token.ID(key[:8]), token.Use{Key: trust.Fingerprint(key[8:]), At: time.UnixMilli(ms).UTC()}}
	if boltfile.CheckMillis(ms) != nil || u.token.IsZero() || u.Key.IsZero() {
		return tokenUse{}, fmt.Errorf("%w: not the use of a token", ErrDamaged)
	}
	return u, nil
}

func sortUses(uses []token.Use) {
	slices.SortStableFunc(uses, func(a, b token.Use) int { return a.At.Compare(b.At) })
}

// storedPending is the JSON form of one who waits or was rejected.
type storedPending struct {
	ID         model.WorkerID    `json:"id"`
	Key        []byte            `json:"key"`
	Code       pairing.Code      `json:"code"`
	Hostname   string            `json:"hostname"`
	From       netip.Addr        `json:"from,omitzero"`
	Labels     map[string]string `json:"labels,omitempty"`
	CloneOf    model.WorkerID    `json:"clone_of,omitzero"`
	Since      int64             `json:"since_ms"`
	Seen       int64             `json:"seen_ms"`
	Rejected   bool              `json:"rejected,omitempty"`
	RejectedBy string            `json:"rejected_by,omitempty"`
	Reason     string            `json:"reason,omitempty"`
}

func appendPending(dst []byte, p *Pending) ([]byte, error) {
	dst, err := boltfile.AppendJSON(dst, storedPending{ID: p.ID, Key: p.Key, Code: p.Code, Hostname: p.Hostname, From: p.From,
		Labels: p.Labels, CloneOf: p.CloneOf, Since: p.Since.UnixMilli(), Seen: p.Seen.UnixMilli(),
		Rejected: p.Rejected, RejectedBy: p.RejectedBy, Reason: p.Reason})
	if err != nil {
		err = fmt.Errorf("encode pending machine %v: %w", p.ID, err)
	}
	return dst, err
}

// parsePending reads it. Errors wrap ErrDamaged or ErrNewerFormat.
func parsePending(b []byte) (*applicant, error) {
	var s storedPending
	if err := boltfile.OpenJSON(b, &s); err != nil {
		return nil, err
	}
	var err error
	switch {
	case s.ID.IsZero():
		err = errors.New("no id")
	case len(s.Key) != ed25519.PublicKeySize:
		err = fmt.Errorf("key of %d bytes", len(s.Key))
	case !goodText(s.Hostname, maxHostname), !goodText(s.RejectedBy, maxBy), !goodText(s.Reason, maxBy):
		err = errors.New("text out of bounds")
	default:
		err = cmp.Or(boltfile.CheckMillis(s.Since, s.Seen), token.CheckLabels(s.Labels))
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return &applicant{key: keyBytes(s.Key), Pending: Pending{ID: s.ID, Key: s.Key, Code: s.Code, Hostname: s.Hostname,
		From: s.From.Unmap().WithZone(""), Labels: s.Labels, CloneOf: s.CloneOf, Since: time.UnixMilli(s.Since), Seen: time.UnixMilli(s.Seen),
		Rejected: s.Rejected, RejectedBy: s.RejectedBy, Reason: s.Reason}}, nil
}
