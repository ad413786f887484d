package enrol

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/token"
)

// MaxBytes is the size of the longest JSON form of a request.
const MaxBytes = 32 << 10

// wire is the JSON form of both requests.
type wire struct {
	Version   int               `json:"version"`
	Worker    model.WorkerID    `json:"worker"`
	PublicKey strict            `json:"public_key"`
	Hostname  string            `json:"hostname"`
	Body      trust.Body        `json:"body"`
	Labels    map[string]string `json:"labels,omitempty"`
	Token     *token.ID         `json:"token,omitempty"`
	Authority trust.Fingerprint `json:"authority,omitzero"`
	Proof     strict            `json:"proof,omitempty"`
	TimeMS    int64             `json:"time_ms"`
	Nonce     Nonce             `json:"nonce"`
	Signature strict            `json:"signature"`
}

// strict is bytes in base64, in canonical form only: one request, one spelling.
type strict []byte

func (s strict) MarshalText() ([]byte, error) { return base64.StdEncoding.AppendEncode(nil, s), nil }

func (s *strict) UnmarshalText(text []byte) (err error) {
	*s, err = base64.StdEncoding.Strict().DecodeString(string(text))
	return err
}

// MarshalText implements encoding.TextMarshaler: base64.
func (n Nonce) MarshalText() ([]byte, error) {
	return base64.StdEncoding.AppendEncode(nil, n[:]), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (n *Nonce) UnmarshalText(text []byte) error {
	raw, err := base64.StdEncoding.Strict().DecodeString(string(text))
	if err != nil || len(raw) != len(n) {
		return errors.New("nonce: want 16 bytes in base64")
	}
	copy(n[:], raw)
	return nil
}

// Marshal returns the JSON form.
func (r *Request) Marshal() ([]byte, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	w := wire{Version: version, Worker: r.Worker, PublicKey: strict(r.PublicKey), Hostname: r.Hostname, Body: r.Body, Labels: r.Labels,
		Authority: r.Authority, Proof: r.Proof, TimeMS: r.Time.UnixMilli(), Nonce: r.Nonce, Signature: r.Signature}
	if !r.Token.IsZero() {
		w.Token = &r.Token
	}
	return json.Marshal(w)
}

// ParseRequest reads the JSON form, at most MaxBytes. Errors wrap ErrMalformed.
// The result is not verified: see Check.
func ParseRequest(data []byte) (*Request, error) {
	w, err := parse(data)
	if err != nil {
		return nil, err
	}
	r := &Request{Worker: w.Worker, PublicKey: ed25519.PublicKey(w.PublicKey), Hostname: w.Hostname, Body: w.Body, Labels: w.Labels,
		Authority: w.Authority, Proof: w.Proof, Time: time.UnixMilli(w.TimeMS).UTC(), Nonce: w.Nonce, Signature: w.Signature}
	if w.Token != nil {
		r.Token = *w.Token
	}
	return r, r.check()
}

// Marshal returns the JSON form.
func (r *Renewal) Marshal() ([]byte, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	return json.Marshal(wire{Version: version, Worker: r.Worker, PublicKey: strict(r.PublicKey), Hostname: r.Hostname, Body: r.Body,
		Authority: r.Authority, TimeMS: r.Time.UnixMilli(), Nonce: r.Nonce, Signature: r.Signature})
}

// ParseRenewal reads the JSON form, at most MaxBytes. Errors wrap ErrMalformed.
// The result is not verified: see Check.
func ParseRenewal(data []byte) (*Renewal, error) {
	w, err := parse(data)
	if err != nil {
		return nil, err
	}
	if w.Token != nil || w.Proof != nil || w.Labels != nil {
		return nil, fmt.Errorf("%w: a renewal has no token and no labels", ErrMalformed)
	}
	r := &Renewal{Worker: w.Worker, PublicKey: ed25519.PublicKey(w.PublicKey), Hostname: w.Hostname, Body: w.Body, Authority: w.Authority,
		Time: time.UnixMilli(w.TimeMS).UTC(), Nonce: w.Nonce, Signature: w.Signature}
	return r, r.check()
}

func parse(data []byte) (*wire, error) {
	if len(data) > MaxBytes {
		return nil, fmt.Errorf("%w: larger than %d bytes", ErrMalformed, MaxBytes)
	}
	var w wire
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&w); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, fmt.Errorf("%w: something behind it", ErrMalformed)
	}
	if w.Version != version {
		return nil, fmt.Errorf("%w: version %d, want %d", ErrMalformed, w.Version, version)
	}
	return &w, nil
}
