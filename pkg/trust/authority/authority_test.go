package authority

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/packet"
)

func noon() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

func opened(t testing.TB, dir, fleet string) *Authority {
	t.Helper()
	a, err := Open(dir, fleet, rand.Reader, noon())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func secretIn(t testing.TB, dir string) string {
	t.Helper()
	data, err := os.ReadFile(AdminSecretFile(dir))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestFirstStartMakesAFleet(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "home")
	a := opened(t, dir, "")
	if err := trust.CheckFleet(a.Fleet()); err != nil || len(a.Fleet()) != 11 {
		t.Errorf("generated name %q: %v", a.Fleet(), err)
	}
	entries, _ := os.ReadDir(dir)
	for _, entry := range entries {
		if info, _ := entry.Info(); info.Mode() != 0o600 {
			t.Errorf("%s: mode %v, want 0600", entry.Name(), info.Mode())
		}
	}
	if len(entries) != 5 {
		t.Errorf("home holds %v, want five files", entries)
	}
	secret := secretIn(t, dir)
	for text, want := range map[string]bool{secret: true, strings.TrimSpace(secret): true, "": false, secret[1:]: false, strings.ToUpper(secret): false} {
		if a.CheckAdmin(text) != want {
			t.Errorf("admin secret %q: %v, want %v", text, !want, want)
		}
	}
	if err := os.Remove(AdminSecretFile(dir)); err != nil { // shown once
		t.Fatal(err)
	}
	for _, name := range []string{"", a.Fleet()} {
		again, err := Open(dir, name, nil, noon().Add(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		if again.Fleet() != a.Fleet() || again.Fingerprint() != a.Fingerprint() || !again.CheckAdmin(secret) || !again.Created().Equal(noon()) {
			t.Errorf("opened again: %v", again)
		}
	}
	if _, err := os.Stat(AdminSecretFile(dir)); err == nil {
		t.Errorf("the admin secret was shown again")
	}
	if _, err := Open(dir, "another", nil, noon()); !errors.Is(err, ErrFleet) {
		t.Errorf("another name: %v", err)
	}
	if _, err := Open(t.TempDir(), "Bad", rand.Reader, noon()); err == nil {
		t.Errorf("bad name accepted")
	}
	if err := a.ResetAdmin(rand.Reader); err != nil {
		t.Fatal(err)
	}
	if a.CheckAdmin(secret) || !a.CheckAdmin(secretIn(t, dir)) || !opened(t, dir, "").CheckAdmin(secretIn(t, dir)) {
		t.Errorf("after the reset: the former secret is good, or the new one is not")
	}
}

// dry runs out after some bytes: a crash wherever randomness is used.
type dry struct{ left int }

func (d *dry) Read(p []byte) (int, error) {
	if d.left < len(p) {
		return 0, io.ErrUnexpectedEOF
	}
	d.left -= len(p)
	return rand.Read(p)
}

func TestInterruptedFirstStartIsCompleted(t *testing.T) {
	for bytes := range 200 {
		dir := t.TempDir()
		if _, err := Open(dir, "lab", &dry{bytes}, noon()); err == nil {
			break // enough for all
		}
		left, err := authoritiesIn(dir)
		if err != nil {
			t.Fatal(err)
		}
		a := opened(t, dir, "")
		if len(left) == 1 {
			if ca, err := trust.LoadCAFile(left[0]); err != nil || ca.Fingerprint() != a.Fingerprint() || a.Fleet() != "lab" {
				t.Fatalf("after %d bytes: authority %s of %q, %v; want the one that was made", bytes, a.Fingerprint(), a.Fleet(), err)
			}
		}
		if !opened(t, dir, "").CheckAdmin(secretIn(t, dir)) {
			t.Fatalf("after %d bytes: the secret that is shown is not in force", bytes)
		}
	}
	// The same with files: whatever set of them a crash leaves, in their order.
	whole := t.TempDir()
	made := opened(t, whole, "lab")
	for _, missing := range [][]string{{manifestFile}, {manifestFile, adminFile}, {manifestFile, adminFile, beaconFile}} {
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS(whole)); err != nil {
			t.Fatal(err)
		}
		chmodAll(t, dir)
		for _, name := range missing {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := Open(dir, "prod", rand.Reader, noon()); !errors.Is(err, ErrFleet) {
			t.Errorf("without %v, as another fleet: %v", missing, err)
		}
		if a := opened(t, dir, "lab"); a.Fingerprint() != made.Fingerprint() {
			t.Errorf("without %v: another authority", missing)
		}
	}
}

func chmodAll(t *testing.T, dir string) {
	t.Helper()
	entries, _ := os.ReadDir(dir)
	for _, entry := range entries {
		if err := os.Chmod(filepath.Join(dir, entry.Name()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestHalfMadeOrDamagedHomesAreRefusedAndLeftAlone(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(dir string) error
		want  error
	}{
		"two authorities, no manifest": {func(dir string) error {
			other := t.TempDir()
			opened(t, other, "lab")
			left, _ := authoritiesIn(other)
			return errors.Join(os.Remove(filepath.Join(dir, manifestFile)), os.Rename(left[0], filepath.Join(dir, filepath.Base(left[0]))))
		}, ErrHalfMade},
		"damaged authority, no manifest": {func(dir string) error {
			left, _ := authoritiesIn(dir)
			return errors.Join(os.Remove(filepath.Join(dir, manifestFile)), os.WriteFile(left[0], []byte("x"), 0o600))
		}, ErrHalfMade},
		"authority lost": {func(dir string) error {
			left, _ := authoritiesIn(dir)
			return os.Remove(left[0])
		}, nil},
		"authority exchanged": {func(dir string) error {
			left, _ := authoritiesIn(dir)
			ca, _ := trust.NewCA("lab", rand.Reader, noon())
			data, _ := ca.PEM()
			return os.WriteFile(left[0], data, 0o600)
		}, nil},
		"beacon lost": {func(dir string) error { return os.Remove(filepath.Join(dir, beaconFile)) }, nil},
		"beacon exchanged": {func(dir string) error {
			os.Remove(filepath.Join(dir, beaconFile))
			_, err := makeBeacon(dir, rand.Reader)
			return err
		}, nil},
		"manifest empty":     {func(dir string) error { return os.WriteFile(filepath.Join(dir, manifestFile), nil, 0o600) }, nil},
		"manifest for all":   {func(dir string) error { return os.Chmod(filepath.Join(dir, manifestFile), 0o644) }, trust.ErrKeyMode},
		"key for all":        {func(dir string) error { left, _ := authoritiesIn(dir); return os.Chmod(left[0], 0o644) }, trust.ErrKeyMode},
		"manifest a version": {func(dir string) error { return edit(dir, `"version": 1`, `"version": 2`) }, nil},
		"two issue":          {func(dir string) error { return edit(dir, `"issuing"`, `"next"`) }, nil},
	} {
		dir := t.TempDir()
		opened(t, dir, "lab")
		if err := c.spoil(dir); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		before := snapshot(t, dir)
		_, err := Open(dir, "", rand.Reader, noon())
		if err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
		if after := snapshot(t, dir); after != before {
			t.Errorf("%s: the home was changed", name)
		}
	}
}

func edit(dir, old, new string) error {
	path := filepath.Join(dir, manifestFile)
	data, err := os.ReadFile(path)
	return errors.Join(err, os.WriteFile(path, []byte(strings.Replace(string(data), old, new, 1)), 0o600))
}

func snapshot(t *testing.T, dir string) (all string) {
	entries, _ := os.ReadDir(dir)
	for _, entry := range entries {
		data, _ := os.ReadFile(filepath.Join(dir, entry.Name()))
		all += entry.Name() + string(data)
	}
	return all
}

func TestManyFirstStartsMakeOneFleet(t *testing.T) {
	dir := t.TempDir()
	var all sync.WaitGroup
	found := make([]trust.Fingerprint, 6)
	for i := range found {
		all.Go(func() {
			if a, err := Open(dir, "", rand.Reader, noon()); err != nil {
				t.Error(err)
			} else {
				found[i] = a.Fingerprint()
			}
		})
	}
	all.Wait()
	for _, f := range found {
		if f != found[0] {
			t.Errorf("several fleets: %v", found)
		}
	}
}

func TestBeaconsAreVouchedForAcrossARollOver(t *testing.T) {
	a := opened(t, t.TempDir(), "lab")
	first := a.Bundle()
	own, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	judge := func(bundle trust.Bundle) packet.Reason {
		t.Helper()
		signer, voucher, err := a.Beacon(noon().Add(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		seal, err := signer.Sign(packet.ProbeInit, []byte("x"), rand.Reader, noon())
		if err != nil {
			t.Fatal(err)
		}
		v, err := packet.NewVerifier(bundle, packet.DefaultWindowConfig())
		if err != nil {
			t.Fatal(err)
		}
		if _, by, err := a.Vouch(own, noon().Add(time.Hour)); err != nil || by.IsZero() {
			t.Errorf("vouch for another's key: %v, %v", by, err)
		}
		return v.Beacon(packet.ProbeInit, []byte("x"), seal.String(), voucher.String(), noon()).Reason
	}
	if got := judge(first); got != packet.OK {
		t.Errorf("at first: %v", got)
	}
	if err := errors.Join(a.Prepare(rand.Reader, noon()), a.Switch(0, noon())); err != nil {
		t.Fatal(err)
	}
	// Who knows the first bundle only still hears the fleet.
	if late, ready := judge(first), judge(a.Bundle()); late != packet.OK || ready != packet.OK {
		t.Errorf("in the overlap: %v and %v", late, ready)
	}
	if err := a.Drop(noon()); err != nil {
		t.Fatal(err)
	}
	if late, ready := judge(first), judge(a.Bundle()); late != packet.ForeignFleet || ready != packet.OK {
		t.Errorf("afterwards: %v and %v", late, ready)
	}
}

func TestSecretsAreNotPrintedOrStored(t *testing.T) {
	dir := t.TempDir()
	a := opened(t, dir, "lab")
	secret := strings.TrimSpace(secretIn(t, dir))
	s := a.current.Load()
	var out bytes.Buffer
	for _, logger := range []*slog.Logger{slog.New(slog.NewTextHandler(&out, nil)), slog.New(slog.NewJSONHandler(&out, nil))} {
		logger.Info("x", "home", a)
	}
	signer, voucher, err := a.Beacon(noon())
	fmt.Fprintf(&out, "%v %+v %#v %x %s %v %+v %#v %v %v", a, a, a, a, a, signer, signer, signer, voucher, err)
	manifest, _ := os.ReadFile(filepath.Join(dir, manifestFile))
	out.Write(manifest)
	_, err = Open(dir, "other", rand.Reader, noon())
	fmt.Fprintln(&out, err)
	seed := s.beacon.Seed()
	for _, planted := range []string{secret, secret[len(adminPrefix):][:12], "PRIVATE", hex.EncodeToString(seed[:8]), strings.Trim(fmt.Sprint(seed[:6]), "[]")} {
		if strings.Contains(out.String(), planted) {
			t.Errorf("printed: %q", planted)
		}
	}
}

func FuzzParseManifest(f *testing.F) {
	raw := opened(f, f.TempDir(), "lab").current.Load().raw
	f.Add(raw)
	f.Add([]byte(`{"version":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := parseManifest(data)
		if err != nil {
			return
		}
		again, err := m.marshal()
		if err != nil {
			t.Skip() // a year that JSON cannot spell does not parse either
		}
		if same, err := parseManifest(again); err != nil || same.Fleet != m.Fleet || len(same.Authorities) != len(m.Authorities) {
			t.Errorf("%q: read again: %v", data, err)
		}
	})
}
