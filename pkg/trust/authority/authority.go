// Package authority keeps the home of a fleet: its name, its certificate
// authority, the key that signs its discovery packets, a second authority for
// browsers, and what is needed to recognise the administrator. It promises that a fleet is there as a whole or
// not at all: fleet.json is written last and names the files that count.
//
// An authority lasts ten years, and can be replaced at any time without anybody
// losing contact: Prepare makes the next one and puts it into the bundle beside
// the present one; when all members have renewed, Switch lets the next one issue;
// when no certificate of the former is left, Drop takes it away. Each step is one
// rename.
package authority

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/disk"
	"github.com/cloudless-fleet/cloudless/pkg/trust/packet"
)

// Errors that a caller decides on.
var (
	// ErrFleet says that the home is of a fleet with another name.
	ErrFleet = errors.New("home of another fleet")
	// ErrHalfMade says that a first start was interrupted and left what cannot
	// be completed without an operator.
	ErrHalfMade = errors.New("fleet is half made")
	// ErrChanged says that another process has changed the home since Open.
	ErrChanged = errors.New("home of the fleet was changed by another process: restart")
	// ErrPhase says that a step of the roll-over is not due.
	ErrPhase = errors.New("roll-over of the authority is not there yet")
)

// Authority is the open home of a fleet. Safe for concurrent use. It holds
// private keys: printing it shows the fleet's name.
type Authority struct {
	dir      string
	web      *trust.WebCA
	changing sync.Mutex // one change at a time, disk included
	current  atomic.Pointer[state]
}

// state is what the files say; immutable.
type state struct {
	manifest manifest
	raw      []byte      // the manifest as it is on disk
	cas      []*trust.CA // in the order of the manifest
	beacon   ed25519.PrivateKey
	bundle   trust.Bundle
}

func (s *state) in(phase Phase) *trust.CA {
	if i := s.manifest.find(phase); i >= 0 {
		return s.cas[i]
	}
	return nil
}

// Fleet is the fleet's name.
func (a *Authority) Fleet() string { return a.current.Load().manifest.Fleet }

// Created is when the fleet was made.
func (a *Authority) Created() time.Time { return a.current.Load().manifest.Created }

// Bundle is by which authorities members judge each other now.
func (a *Authority) Bundle() trust.Bundle { return a.current.Load().bundle }

// Fingerprint is that of the authority that issues: for join tokens.
func (a *Authority) Fingerprint() trust.Fingerprint {
	return a.current.Load().in(Issuing).Fingerprint()
}

// Issuer is the certificate of the authority that issues. Do not modify it.
func (a *Authority) Issuer() *x509.Certificate {
	return a.current.Load().in(Issuing).Certificate()
}

// Generations are the fleet's authorities, for status and audit.
func (a *Authority) Generations() []Generation {
	return slices.Clone(a.current.Load().manifest.Authorities)
}

// NotAfter is when the issuing authority ends.
func (a *Authority) NotAfter() time.Time { return a.current.Load().in(Issuing).NotAfter() }

// Sign signs a certificate for somebody else's key, as trust.CA.Sign does.
func (a *Authority) Sign(req trust.Request, public crypto.PublicKey, random io.Reader, now time.Time) (trust.Issued, error) {
	return a.current.Load().in(Issuing).Sign(req, public, random, now)
}

// Issue makes a key and signs a certificate for it, as trust.CA.Issue does.
func (a *Authority) Issue(req trust.Request, random io.Reader, now time.Time) (trust.Issued, error) {
	return a.current.Load().in(Issuing).Issue(req, random, now)
}

// Beacon returns the signer of the fleet's discovery packets and the voucher that
// goes with them, which is good until the given time. Ask again before that, and
// after every step of a roll-over.
func (a *Authority) Beacon(until time.Time) (*packet.Signer, packet.Voucher, error) {
	s := a.current.Load()
	voucher, by, err := s.vouch(s.beacon.Public().(ed25519.PublicKey), until)
	if err != nil {
		return nil, packet.Voucher{}, err
	}
	signer, err := packet.NewBeacon(s.manifest.Fleet, by, s.beacon)
	return signer, voucher, err
}

// Vouch lets the fleet's authority vouch for the beacon key of another daemon,
// which never leaves it, and tells the authority for packet.NewBeacon.
func (a *Authority) Vouch(beacon ed25519.PublicKey, until time.Time) (packet.Voucher, trust.Fingerprint, error) {
	return a.current.Load().vouch(beacon, until)
}

// vouch uses the former authority while there is one: who has missed the
// beginning of the roll-over knows that one only, everybody else both.
func (s *state) vouch(beacon ed25519.PublicKey, until time.Time) (packet.Voucher, trust.Fingerprint, error) {
	ca := s.in(Issuing)
	if former := s.in(Former); former != nil && until.Before(former.NotAfter()) {
		ca = former
	}
	voucher, err := packet.Vouch(ca, beacon, until)
	return voucher, ca.Fingerprint(), err
}

// CheckAdmin reports whether secret is the admin secret, in a time that does not
// depend on how much of it is right.
func (a *Authority) CheckAdmin(secret string) bool {
	return a.current.Load().manifest.Admin.matches(secret)
}

// AdminGeneration tells one admin secret from another, to who knows neither: it is
// made of the salt, and changes with every ResetAdmin.
func (a *Authority) AdminGeneration() string {
	return hex.EncodeToString(a.current.Load().manifest.Admin.Salt[:8])
}

// ResetAdmin makes another admin secret, shown in AdminSecretFile. The former one
// is void. After a crash in between the file may show one that is not in force:
// reset again.
func (a *Authority) ResetAdmin(random io.Reader) error {
	secret, hash, err := newAdmin(random)
	if err != nil {
		return err
	}
	return a.change(func(next *state) error {
		next.manifest.Admin = hash
		return disk.Replace(AdminSecretFile(a.dir), []byte(secret+"\n"), disk.Private)
	})
}

// change lets edit prepare a new state, writes its manifest, and puts it in
// force.
func (a *Authority) change(edit func(next *state) error) error {
	a.changing.Lock()
	defer a.changing.Unlock()
	unlock, err := disk.Lock(a.dir)
	if err != nil {
		return err
	}
	defer unlock()
	was, path := a.current.Load(), filepath.Join(a.dir, manifestFile)
	if raw, err := disk.ReadPrivate(path, maxManifest); err != nil || !bytes.Equal(raw, was.raw) {
		return errors.Join(ErrChanged, err)
	}
	next := *was
	next.manifest.Authorities = slices.Clone(was.manifest.Authorities)
	next.cas = slices.Clone(was.cas)
	if err := edit(&next); err != nil {
		return err
	}
	if err := next.manifest.check(); err != nil {
		return fmt.Errorf("home of fleet %q: %w", next.manifest.Fleet, err)
	}
	if next.raw, err = next.manifest.marshal(); err != nil {
		return err
	}
	if err := disk.Replace(path, next.raw, disk.Private); err != nil {
		return err
	}
	next.bundle = bundleOf(next.manifest.Fleet, next.cas)
	a.current.Store(&next)
	return nil
}

func bundleOf(fleet string, cas []*trust.CA) trust.Bundle {
	bundle := trust.Bundle{Fleet: fleet}
	for _, ca := range cas {
		bundle.Authorities = append(bundle.Authorities, ca.Certificate())
	}
	return bundle
}

// String says whose home it is.
func (a *Authority) String() string { return "home of fleet " + a.Fleet() }

// Format implements fmt.Formatter: every verb prints String.
func (a *Authority) Format(f fmt.State, _ rune) { io.WriteString(f, a.String()) }

// LogValue implements slog.LogValuer.
func (a *Authority) LogValue() slog.Value { return slog.StringValue(a.String()) }
