package authority

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/disk"
	"github.com/cloudless-fleet/cloudless/pkg/trust/pairing"
)

// Open opens the home of a fleet in dir (0700). At first start it makes one,
// named fleet, or by a name that can be said aloud when fleet is empty. Later
// fleet may be empty or the same; another one is ErrFleet.
//
// A first start that was interrupted is completed: the authority that it had made
// is used. What cannot be completed for sure (two authorities, a damaged one) is
// ErrHalfMade and left alone, since it could as well be a home whose fleet.json
// was lost.
func Open(dir, fleet string, random io.Reader, now time.Time) (*Authority, error) {
	if fleet != "" {
		if err := trust.CheckFleet(fleet); err != nil {
			return nil, err
		}
	}
	if err := os.MkdirAll(dir, disk.Folder); err != nil {
		return nil, fmt.Errorf("make home of the fleet: %w", err)
	}
	unlock, err := disk.Lock(dir)
	if err != nil {
		return nil, err
	}
	defer unlock()
	a := &Authority{dir: dir}
	s, err := load(dir)
	if errors.Is(err, errNoManifest) {
		if err = create(dir, fleet, random, now); err == nil {
			s, err = load(dir)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open home of the fleet: %w", err)
	}
	if fleet != "" && fleet != s.manifest.Fleet {
		return nil, fmt.Errorf("open home of the fleet: %q: %w: %q, want %q", dir, ErrFleet, s.manifest.Fleet, fleet)
	}
	if a.web, err = openWeb(dir, s.manifest.Fleet, random, now); err != nil {
		return nil, fmt.Errorf("open home of the fleet: %w", err)
	}
	if err := disk.Sweep(dir); err != nil { // a start or a step that was killed leaves keys
		return nil, fmt.Errorf("open home of the fleet: %w", err)
	}
	a.current.Store(s)
	return a, nil
}

// Exists reports whether there is the home of a fleet in dir, finished or damaged,
// that Open would open rather than make.
func Exists(dir string) (bool, error) {
	_, err := os.Lstat(filepath.Join(dir, manifestFile))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// errNoManifest tells a home that is not there from one that lacks a file.
var errNoManifest = errors.New("no " + manifestFile)

func load(dir string) (*state, error) {
	path := filepath.Join(dir, manifestFile)
	raw, err := disk.ReadPrivate(path, maxManifest)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errNoManifest
	}
	if err != nil {
		return nil, err
	}
	s := &state{raw: raw}
	if s.manifest, err = parseManifest(raw); err != nil {
		return nil, fmt.Errorf("%q: %w", path, err)
	}
	for _, g := range s.manifest.Authorities {
		path := filepath.Join(dir, authorityFile(g.Fingerprint))
		ca, err := trust.LoadCAFile(path)
		if err != nil {
			return nil, err
		}
		if ca.Fleet() != s.manifest.Fleet || ca.Fingerprint() != g.Fingerprint {
			return nil, fmt.Errorf("%q: authority %s of fleet %q, want %s of %q", path, ca.Fingerprint(), ca.Fleet(), g.Fingerprint, s.manifest.Fleet)
		}
		s.cas = append(s.cas, ca)
	}
	if s.beacon, err = loadBeacon(dir); err != nil {
		return nil, err
	}
	if f, err := trust.FingerprintOf(s.beacon.Public()); err != nil || f != s.manifest.Beacon {
		return nil, fmt.Errorf("%q: key %s, want %s", filepath.Join(dir, beaconFile), f, s.manifest.Beacon)
	}
	s.bundle = bundleOf(s.manifest.Fleet, s.cas)
	return s, nil
}

// create makes whatever is missing and the manifest last. The folder is locked.
func create(dir, fleet string, random io.Reader, now time.Time) error {
	ca, err := firstAuthority(dir, fleet, random, now)
	if err != nil {
		return err
	}
	beacon, err := loadBeacon(dir)
	if errors.Is(err, fs.ErrNotExist) {
		beacon, err = makeBeacon(dir, random)
	}
	if err != nil {
		return err
	}
	m := manifest{Version: manifestVersion, Fleet: ca.Fleet(), Created: now.UTC().Truncate(time.Second),
		Authorities: []Generation{{Fingerprint: ca.Fingerprint(), Phase: Issuing, Since: now.UTC().Truncate(time.Second)}}}
	if m.Beacon, err = trust.FingerprintOf(beacon.Public()); err != nil {
		return err
	}
	secret, hash, err := newAdmin(random)
	if err != nil {
		return err
	}
	m.Admin = hash
	if err := disk.Replace(AdminSecretFile(dir), []byte(secret+"\n"), disk.Private); err != nil {
		return err
	}
	raw, err := m.marshal()
	if err != nil {
		return err
	}
	return disk.Create(filepath.Join(dir, manifestFile), raw, disk.Private)
}

// firstAuthority returns the authority that an interrupted start has left, or
// makes one.
func firstAuthority(dir, fleet string, random io.Reader, now time.Time) (*trust.CA, error) {
	left, err := authoritiesIn(dir)
	if err != nil {
		return nil, err
	}
	if len(left) > 1 {
		return nil, fmt.Errorf("%w: %q has %d authorities and no %s: restore it from a backup, or move all files away to begin anew",
			ErrHalfMade, dir, len(left), manifestFile)
	}
	if len(left) == 1 {
		found, err := trust.LoadCAFile(left[0])
		if err != nil {
			return nil, fmt.Errorf("%w: no %s, and %w", ErrHalfMade, manifestFile, err)
		}
		if fleet != "" && found.Fleet() != fleet {
			return nil, fmt.Errorf("%q: %w: %q, want %q", left[0], ErrFleet, found.Fleet(), fleet)
		}
		return found, nil
	}
	if fleet == "" {
		if fleet, err = generateName(random); err != nil {
			return nil, err
		}
	}
	ca, err := trust.NewCA(fleet, random, now)
	if err != nil {
		return nil, err
	}
	data, err := ca.PEM()
	if err != nil {
		return nil, err
	}
	return ca, disk.Create(filepath.Join(dir, authorityFile(ca.Fingerprint())), data, disk.Private)
}

func authoritiesIn(dir string) (paths []string, err error) {
	entries, err := os.ReadDir(dir)
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), authorityPrefix) && strings.HasSuffix(entry.Name(), authoritySuffix) {
			paths = append(paths, filepath.Join(dir, entry.Name()))
		}
	}
	return paths, err
}

// generateName makes a name of two words of 16 random bits each.
func generateName(random io.Reader) (string, error) {
	var raw [4]byte
	if _, err := io.ReadFull(random, raw[:]); err != nil {
		return "", fmt.Errorf("make name of the fleet: %w", err)
	}
	return pairing.Word(uint16(raw[0])<<8|uint16(raw[1])) + "-" + pairing.Word(uint16(raw[2])<<8|uint16(raw[3])), nil
}

func makeBeacon(dir string, random io.Reader) (ed25519.PrivateKey, error) {
	var seed [ed25519.SeedSize]byte
	if _, err := io.ReadFull(random, seed[:]); err != nil {
		return nil, fmt.Errorf("make beacon key: %w", err)
	}
	key := ed25519.NewKeyFromSeed(seed[:])
	data, err := trust.EncodeKey(key)
	if err != nil {
		return nil, fmt.Errorf("make beacon key: %w", err)
	}
	return key, disk.Create(filepath.Join(dir, beaconFile), data, disk.Private)
}

func loadBeacon(dir string) (ed25519.PrivateKey, error) {
	path := filepath.Join(dir, beaconFile)
	key, err := trust.ReadKey(path)
	if err != nil {
		return nil, fmt.Errorf("read beacon key: %w", err)
	}
	private, ok := key.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("beacon key %q: not an Ed25519 key", path)
	}
	return private, nil
}
