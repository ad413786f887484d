package admission

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/trust/token"
)

// Errors of operators' wishes about tokens.
var (
	// ErrUnknownToken says that there is no token with the id.
	ErrUnknownToken = errors.New("no such join token")
	// ErrManyTokens says that MaxTokens could still be used: revoke some.
	ErrManyTokens = errors.New("too many join tokens are valid: revoke some")
)

// MaxTokens is how many join tokens are kept. Those that serve no more make room.
const MaxTokens = 1000

// keepTokens is for how long after its end a token stays on the list, so that
// operators see what became of it.
const keepTokens = 7 * 24 * time.Hour

// TokenSpec says what a join token is to be.
type TokenSpec struct {
	TTL  time.Duration // 0: Config.TokenTTL
	Uses int           // 0: one
	// Labels are given to those who come in by it.
	Labels map[string]string
	// Addresses are those of coordinators, host:port; none: discovery.
	Addresses []string
}

// CreateToken makes a join token. Its text, Token.Reveal, is a secret that is
// kept nowhere: only its record is.
func (d *Desk) CreateToken(spec TokenSpec) (token.Token, token.Record, error) {
	if spec.TTL == 0 {
		spec.TTL = d.cfg.TokenTTL
	}
	if spec.Uses == 0 {
		spec.Uses = 1
	}
	if spec.TTL > year {
		return token.Token{}, token.Record{}, fmt.Errorf("token: ttl %s: want at most a year", spec.TTL)
	}
	now := d.now()
	made, err := token.New(d.authority.Fleet(), d.authority.Fingerprint(), spec.Addresses, d.random)
	if err != nil {
		return token.Token{}, token.Record{}, err
	}
	record, err := token.NewRecord(made, spec.TTL, spec.Uses, spec.Labels, now)
	if err != nil {
		return token.Token{}, token.Record{}, err
	}
	if err := d.addToken(record, now); err != nil {
		return token.Token{}, token.Record{}, err
	}
	if err := d.save(false); err != nil {
		return token.Token{}, token.Record{}, err
	}
	return made, record, nil
}

func (d *Desk) addToken(record token.Record, now time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, taken := d.tokens[record.ID]; taken {
		return fmt.Errorf("make join token: id %s is taken", record.ID) // 64 random bits: a broken source
	}
	if len(d.tokens) >= MaxTokens && !d.dropOldestTokenLocked(now) {
		return ErrManyTokens
	}
	d.tokens[record.ID] = record
	d.dirty.tokens[record.ID] = struct{}{}
	return nil
}

// spent reports whether a token admits nobody any more.
func spent(r token.Record, now time.Time) bool {
	return r.Revoked != nil || r.UsesLeft == 0 || !now.Before(r.Expires)
}

// dropOldestTokenLocked makes room for another one.
func (d *Desk) dropOldestTokenLocked(now time.Time) bool {
	var oldest *token.Record
	for _, record := range d.tokens {
		if spent(record, now) && (oldest == nil || record.Created.Before(oldest.Created)) {
			oldest = &record
		}
	}
	if oldest == nil {
		return false
	}
	d.dropTokenLocked(oldest.ID)
	return true
}

func (d *Desk) dropTokenLocked(id token.ID) {
	delete(d.tokens, id)
	delete(d.dirty.tokens, id)
	d.dirty.goneTokens[id] = struct{}{}
}

// redeemedLocked takes over the record of a token that has let somebody in.
func (d *Desk) redeemedLocked(record token.Record, verdict token.Verdict) {
	if verdict != token.Admitted {
		return
	}
	d.tokens[record.ID] = record
	d.dirty.tokens[record.ID] = struct{}{}
	d.dirty.uses = append(d.dirty.uses, tokenUse{record.ID, record.Uses[len(record.Uses)-1]})
}

// Tokens returns the records of all join tokens, the newest first, those that
// serve no more included. What their fields refer to must not be changed.
func (d *Desk) Tokens() []token.Record {
	d.mu.Lock()
	all := make([]token.Record, 0, len(d.tokens))
	for _, record := range d.tokens {
		all = append(all, record)
	}
	d.mu.Unlock()
	slices.SortFunc(all, func(a, b token.Record) int {
		if order := b.Created.Compare(a.Created); order != 0 {
			return order
		}
		return bytes.Compare(a.ID[:], b.ID[:])
	})
	return all
}

// RevokeToken lets a token admit nobody any more. Who has come in by it stays.
// The error is ErrUnknownToken, or that of the disk: then it is in force, but may
// not outlive a restart.
func (d *Desk) RevokeToken(id token.ID) error {
	d.mu.Lock()
	record, known := d.tokens[id]
	if known {
		d.tokens[id] = record.Revoke(d.now())
		d.dirty.tokens[id] = struct{}{}
	}
	d.mu.Unlock()
	if !known {
		return fmt.Errorf("%w: %s", ErrUnknownToken, id)
	}
	return d.save(false)
}
