package home

import (
	"crypto"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/disk"
)

// Home is the identity of the worker on this host. Safe for concurrent use. It
// holds a private key: printing it shows the worker's id.
type Home struct {
	dir string

	mu      sync.Mutex // held while the file is replaced: both change together
	current *identity
}

// sweepAfter is the age at which a file that is being written is nobody's.
const sweepAfter = time.Hour

// Open reads the identity in dir, or makes it at first start, in the folder
// (0700) which it makes too. facts are those of this machine.
func Open(dir string, facts Facts, random io.Reader, now time.Time) (*Home, error) {
	if err := os.MkdirAll(dir, disk.Folder); err != nil {
		return nil, fmt.Errorf("make folder of the identity: %w", err)
	}
	// A process that was killed may have left half a key; `workerd join` may be at
	// work beside a daemon.
	if err := disk.SweepOld(dir, now.Add(-sweepAfter)); err != nil {
		return nil, fmt.Errorf("open identity: %w", err)
	}
	h := &Home{dir: dir}
	err := h.read()
	if !errors.Is(err, fs.ErrNotExist) {
		return h, err
	}
	fresh, err := newIdentity(facts, random, now)
	if err != nil {
		return nil, err
	}
	data, err := fresh.marshal()
	if err != nil {
		return nil, err
	}
	err = disk.Create(h.Files().Key, data, disk.Private)
	if err == nil || errors.Is(err, fs.ErrExist) { // another process was faster: its identity counts
		err = h.read()
	}
	return h, err
}

// Look opens the identity in dir as Open does, and makes none: it is an error
// wrapping fs.ErrNotExist that there is none.
func Look(dir string) (*Home, error) {
	h := &Home{dir: dir}
	if err := h.read(); err != nil {
		return nil, err
	}
	return h, nil
}

func (h *Home) read() error {
	path := h.Files().Key
	data, err := disk.ReadPrivate(path, maxFile)
	if err != nil {
		return fmt.Errorf("open identity: %w", err)
	}
	if h.current, err = parse(data); err != nil {
		return fmt.Errorf("open identity %q: %w", path, err)
	}
	return nil
}

// Files are those that the worker's TLS credentials are loaded from. The key is
// there; certificate and authority are once Install has put them there.
func (h *Home) Files() trust.Files { return trust.FilesIn(h.dir, trust.RoleWorker) }

func (h *Home) now() *identity {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.current
}

// Worker is the id.
func (h *Home) Worker() model.WorkerID { return h.now().Worker }

// Created is when the identity was made.
func (h *Home) Created() time.Time { return h.now().Created }

// Key signs for the worker. After Rekey it is another.
func (h *Home) Key() crypto.Signer { return signer{h.now()} }

// PublicKey is the public side of Key.
func (h *Home) PublicKey() ed25519.PublicKey { return h.now().key.Public().(ed25519.PublicKey) }

// Fingerprint is that of PublicKey.
func (h *Home) Fingerprint() trust.Fingerprint {
	f, err := trust.FingerprintOf(h.PublicKey())
	if err != nil {
		panic(fmt.Sprintf("home: fingerprint of an Ed25519 key: %v", err)) // a bug: the library knows such keys
	}
	return f
}

// signer signs without showing the key to whatever prints it.
type signer struct{ i *identity }

func (s signer) Public() crypto.PublicKey { return s.i.key.Public() }

func (s signer) Sign(random io.Reader, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	return s.i.key.Sign(random, message, opts)
}

func (s signer) String() string { return "key of worker " + s.i.Worker.String() }

func (s signer) Format(f fmt.State, _ rune) { io.WriteString(f, s.String()) }

// Bound tells whether facts are of the machine that the identity was made for.
func (h *Home) Bound(facts Facts) Binding {
	i := h.now()
	return i.Facts.bound(facts.hashed(i.factsKey()))
}

// Body tells this machine apart from others that hold a copy of the identity: it
// stays while Bound says Same, whatever card was changed, and is another one on
// another machine.
func (h *Home) Body(facts Facts) trust.Body {
	i := h.now()
	key, current := i.factsKey(), i.Facts
	if found := facts.hashed(key); current.bound(found) != Same {
		current = found
	}
	text, err := json.Marshal(current)
	if err != nil {
		panic(fmt.Sprintf("home: marshal texts: %v", err)) // a bug: there are only texts in it
	}
	mac := hmac.New(sha256.New, key)
	io.WriteString(mac, "body\x00")
	mac.Write(text)
	return trust.Body(mac.Sum(nil)[:16])
}

// Rebind binds the same identity to the machine of facts: its operator, or its
// coordinator, has said that it is the same one in spite of what was changed.
// Body is another one afterwards.
func (h *Home) Rebind(facts Facts) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	next := *h.current
	next.Facts = facts.hashed(next.factsKey())
	return h.replace(&next)
}

// Rekey makes a new identity in place of the present one, which is gone for good,
// with its certificate. The authorities stay. Returned is who it was.
func (h *Home) Rekey(facts Facts, random io.Reader, now time.Time) (was model.WorkerID, err error) {
	fresh, err := newIdentity(facts, random, now)
	if err != nil {
		return model.WorkerID{}, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	was = h.current.Worker
	if err := h.replace(fresh); err != nil {
		return was, err
	}
	// A crash in between leaves a certificate that does not fit: Enrolled says so.
	return was, disk.Remove(h.Files().Cert)
}

func (h *Home) replace(next *identity) error {
	data, err := next.marshal()
	if err != nil {
		return fmt.Errorf("write identity: %w", err)
	}
	if err := disk.Replace(h.Files().Key, data, disk.Private); err != nil {
		return err
	}
	h.current = next
	return nil
}

// Wipe removes identity, certificate and authorities from dir, so that every
// machine made from an image of this one gets its own. Nothing there is fine; a
// Home that is open must not be used any more. The key goes first: what is left
// by a crash is worth nothing without it.
func Wipe(dir string) error {
	files := trust.FilesIn(dir, trust.RoleWorker)
	return disk.Remove(files.Key, files.Cert, files.CA)
}

// String says whose home it is.
func (h *Home) String() string { return "home of worker " + h.Worker().String() }

// Format implements fmt.Formatter: every verb prints String.
func (h *Home) Format(f fmt.State, _ rune) { io.WriteString(f, h.String()) }

var _ crypto.Signer = signer{}
