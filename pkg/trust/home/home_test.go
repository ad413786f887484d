package home

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

func noon() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

func facts() Facts {
	return Facts{MachineID: "0f1e2d3c4b5a69788796a5b4c3d2e1f0", ProductUUID: "4c4c4544-0042-3510-8051-b7c04f4e3732", MACs: []string{"52:54:00:ab:cd:01", "52:54:00:ab:cd:02"}}
}

func open(t testing.TB, dir string) *Home {
	t.Helper()
	h, err := Open(dir, facts(), rand.Reader, noon())
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestIdentityIsMadeOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	first := open(t, dir)
	again, err := Open(dir, Facts{}, nil, noon().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if first.Worker() != again.Worker() || first.Worker().IsZero() || first.Fingerprint() != again.Fingerprint() || !again.Created().Equal(noon()) {
		t.Errorf("opened again: %v, was %v", again, first)
	}
	if info, err := os.Stat(first.Files().Key); err != nil || info.Mode() != 0o600 {
		t.Errorf("key: %v, %v; want 0600", info.Mode(), err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("folder holds %v, want one file", entries)
	}
	message := []byte("m")
	signature, err := again.Key().Sign(nil, message, crypto.Hash(0))
	if err != nil || !ed25519.Verify(first.PublicKey(), message, signature) {
		t.Errorf("signature: %v", err)
	}
	if other := open(t, t.TempDir()); other.Worker() == first.Worker() || other.Fingerprint() == first.Fingerprint() {
		t.Errorf("two hosts, one identity")
	}
}

func TestFactsAreReadWhereTheyAre(t *testing.T) {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	root := fstest.MapFS{
		"etc/machine-id":                         file("0F1E2D3C4B5A69788796A5B4C3D2E1F0\n"),
		"sys/class/dmi/id/product_uuid":          file("4C4C4544-0042-3510-8051-B7C04F4E3732\n"),
		"sys/class/net/eth1/address":             file("52:54:00:ab:cd:02\n"),
		"sys/class/net/eth1/device/x":            file(""),
		"sys/class/net/eth0/address":             file("52:54:00:ab:cd:01\n"),
		"sys/class/net/eth0/addr_assign_type":    file("0\n"),
		"sys/class/net/eth0/device/x":            file(""),
		"sys/class/net/random/address":           file("52:54:00:ab:cd:03\n"),
		"sys/class/net/random/addr_assign_type":  file("1\n"),
		"sys/class/net/random/device/x":          file(""),
		"sys/class/net/docker0/address":          file("02:42:00:ab:cd:03\n"),
		"sys/class/net/docker0/addr_assign_type": file("0\n"),
		"sys/class/net/ib0/address":              file("00:00:00:00:00:00\n"),
		"sys/class/net/ib0/device/x":             file(""),
	}
	if diff := cmp.Diff(facts(), ReadFacts(root)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(Facts{}, ReadFacts(fstest.MapFS{})); diff != "" {
		t.Errorf("empty machine (-want +got):\n%s", diff)
	}
	for _, filler := range []string{"", "uninitialized", "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff",
		"03000200-0400-0500-0006-000700080009", "not settable", "12345678", strings.Repeat("ab", 4000)} {
		root["sys/class/dmi/id/product_uuid"] = file(filler)
		root["etc/machine-id"] = file(filler)
		if got := ReadFacts(root); got.ProductUUID != "" && len(filler) < 1000 || got.MachineID != got.ProductUUID || len(got.MachineID) > 256 {
			t.Errorf("%.40q: taken for a value", filler)
		}
	}
}

func TestBinding(t *testing.T) {
	with := func(edit func(*Facts)) Facts {
		f := facts()
		edit(&f)
		return f
	}
	for name, c := range map[string]struct {
		stored, now Facts
		want        Binding
	}{
		"nothing changed":            {facts(), facts(), Same},
		"a card more, one less":      {facts(), with(func(f *Facts) { f.MACs = []string{"52:54:00:ab:cd:02", "52:54:00:00:00:09"} }), Same},
		"all cards changed":          {facts(), with(func(f *Facts) { f.MACs = []string{"52:54:00:00:00:09"} }), Same},
		"installed anew":             {facts(), with(func(f *Facts) { f.MachineID = "11112222333344445555666677778888" }), Same},
		"cloned disk":                {facts(), Facts{facts().MachineID, "564d0000-0000-0000-0000-000000000001", []string{"52:54:00:00:00:09"}}, Copied},
		"copied folder":              {facts(), Facts{"11112222333344445555666677778888", "564d0000-0000-0000-0000-000000000001", []string{"52:54:00:00:00:09"}}, Copied},
		"clone, uuid not readable":   {with(func(f *Facts) { f.ProductUUID = "" }), Facts{facts().MachineID, "", []string{"52:54:00:00:00:09"}}, Doubtful},
		"uuid became readable":       {with(func(f *Facts) { f.ProductUUID = "" }), facts(), Same},
		"only the machine id":        {Facts{MachineID: "a"}, Facts{MachineID: "a"}, Same},
		"only a machine id, another": {Facts{MachineID: "a"}, Facts{MachineID: "b"}, Copied},
		"nothing to compare":         {Facts{MachineID: "a"}, Facts{ProductUUID: "b"}, Doubtful},
		"nothing at all":             {Facts{}, Facts{}, Doubtful},
	} {
		h, err := Open(t.TempDir(), c.stored, rand.Reader, noon())
		if err != nil {
			t.Fatal(err)
		}
		if got := h.Bound(c.now); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
		if same := h.Body(c.now) == h.Body(c.stored); same != (c.want == Same || cmp.Equal(c.now, c.stored)) {
			t.Errorf("%s: same body %v although %v", name, same, c.want)
		}
	}
}

// copyFolder is what cp -a does.
func copyFolder(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(to, "worker.key"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestCopiedFolderGetsItsOwnIdentity(t *testing.T) {
	ca := newCA(t, "lab")
	dir, elsewhere := t.TempDir(), filepath.Join(t.TempDir(), "copy")
	original := open(t, dir)
	enrolled(t, original, ca)
	copyFolder(t, dir, elsewhere)
	there := Facts{MachineID: "11112222333344445555666677778888", MACs: []string{"52:54:00:00:00:09"}}
	copied, err := Open(elsewhere, there, rand.Reader, noon())
	if err != nil {
		t.Fatal(err)
	}
	if copied.Worker() != original.Worker() || copied.Bound(there) != Copied || original.Bound(facts()) != Same {
		t.Fatalf("copy %v is %v, original %v", copied, copied.Bound(there), original.Bound(facts()))
	}
	if copied.Body(there) == original.Body(facts()) {
		t.Errorf("two machines, one body")
	}
	was, err := copied.Rekey(there, rand.Reader, noon())
	if err != nil || was != original.Worker() || copied.Worker() == was || copied.Fingerprint() == original.Fingerprint() {
		t.Errorf("rekeyed: %v, was %v, %v", copied, was, err)
	}
	if copied.Bound(there) != Same {
		t.Errorf("rekeyed: %v", copied.Bound(there))
	}
	if fleet, ok := copied.Enrolled(); ok {
		t.Errorf("rekeyed: still enrolled in %q", fleet)
	}
	again, err := Open(elsewhere, there, nil, noon())
	if err != nil || again.Worker() != copied.Worker() || again.Bound(there) != Same {
		t.Errorf("after a restart: %v, %v", again, err)
	}
	if _, ok := original.Enrolled(); !ok {
		t.Errorf("the original lost its certificate")
	}
	if err := again.Rebind(facts()); err != nil || again.Bound(facts()) != Same || again.Worker() != copied.Worker() {
		t.Errorf("rebound: %v, %v", again.Bound(facts()), err)
	}
}

func newCA(t testing.TB, fleet string) *trust.CA {
	t.Helper()
	ca, err := trust.NewCA(fleet, rand.Reader, noon())
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func certificate(t testing.TB, h *Home, ca *trust.CA) []byte {
	t.Helper()
	issued, err := ca.Sign(trust.Request{Role: trust.RoleWorker, Name: h.Worker().String()}, h.PublicKey(), rand.Reader, noon())
	if err != nil {
		t.Fatal(err)
	}
	return issued.Cert
}

func enrolled(t testing.TB, h *Home, ca *trust.CA) {
	t.Helper()
	if err := h.Install(ca.CertPEM(), certificate(t, h, ca)); err != nil {
		t.Fatal(err)
	}
}

func TestInstalledCertificateLoads(t *testing.T) {
	lab, next, prod := newCA(t, "lab"), newCA(t, "lab"), newCA(t, "prod")
	h, other := open(t, t.TempDir()), open(t, t.TempDir())
	both := append(bytes.Clone(lab.CertPEM()), next.CertPEM()...)
	for name, c := range map[string]struct{ bundle, cert []byte }{
		"no certificate":                 {lab.CertPEM(), nil},
		"somebody else's":                {lab.CertPEM(), certificate(t, other, lab)},
		"authority as certificate":       {lab.CertPEM(), lab.CertPEM()},
		"signed by none of the bundle":   {lab.CertPEM(), certificate(t, h, next)},
		"another fleet's bundle":         {prod.CertPEM(), certificate(t, h, lab)},
		"no bundle":                      {nil, certificate(t, h, lab)},
		"certificate without PEM around": {lab.CertPEM(), []byte("x")},
	} {
		if err := h.Install(c.bundle, c.cert); err == nil {
			t.Errorf("%s: installed", name)
		}
	}
	if _, ok := h.Enrolled(); ok {
		t.Fatalf("enrolled by what was refused")
	}
	enrolled(t, h, lab)
	load := func() *trust.Credentials {
		credentials, err := trust.Load(h.Files(), noon)
		if err != nil {
			t.Fatal(err)
		}
		return credentials
	}
	if worker, ok := load().Identity().WorkerID(); !ok || worker != h.Worker() {
		t.Errorf("credentials of %v", worker)
	}
	if err := h.Install(both, certificate(t, h, next)); err != nil { // a roll-over
		t.Fatal(err)
	}
	if got := len(load().Bundle().Authorities); got != 2 {
		t.Errorf("%d authorities, want two", got)
	}
	if err := h.Install(prod.CertPEM(), certificate(t, h, prod)); !errors.Is(err, trust.ErrForeignFleet) {
		t.Errorf("moved to another fleet: %v", err)
	}
	if fleet, ok := h.Enrolled(); !ok || fleet != "lab" {
		t.Errorf("enrolled in %q, %v", fleet, ok)
	}
	if err := h.Leave(); err != nil {
		t.Fatal(err)
	}
	enrolled(t, h, prod)
	if fleet, _ := h.Enrolled(); fleet != "prod" {
		t.Errorf("enrolled in %q, want prod", fleet)
	}
	dir := filepath.Dir(h.Files().Key)
	for range 2 {
		if err := Wipe(dir); err != nil {
			t.Error(err)
		}
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 0 {
		t.Errorf("after wiping: %v", entries)
	}
	if err := Wipe(filepath.Join(dir, "never", "was")); err != nil {
		t.Error(err)
	}
}

func TestDamagedIdentityIsNeverReplaced(t *testing.T) {
	dir := t.TempDir()
	h := open(t, dir)
	path := h.Files().Key
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(whole)-1; i++ {
		if err := os.WriteFile(path, whole[:i], 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dir, facts(), rand.Reader, noon()); !errors.Is(err, ErrDamaged) {
			t.Fatalf("cut off at %d: %v", i, err)
		} else if strings.Contains(err.Error(), string(whole[len(whole)-60:len(whole)-40])) {
			t.Fatalf("cut off at %d: the error holds the key", i)
		}
		if left, _ := os.ReadFile(path); !bytes.Equal(left, whole[:i]) {
			t.Fatalf("cut off at %d: replaced", i)
		}
	}
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, facts(), rand.Reader, noon()); !errors.Is(err, trust.ErrKeyMode) {
		t.Errorf("readable by all: %v", err)
	}
}

func TestNothingSecretIsPrintedOrStored(t *testing.T) {
	h := open(t, t.TempDir())
	printed := fmt.Sprintf("%v %+v %#v %s %x %v %+v", h, h, h, h, h, h.Key(), struct{ K crypto.Signer }{h.Key()})
	seed := h.current.key.Seed()
	for _, planted := range []string{hex.EncodeToString(seed[:8]), strings.Trim(fmt.Sprint(seed[:6]), "[]")} {
		if strings.Contains(printed, planted) {
			t.Errorf("printed: %q", planted)
		}
	}
	stored, err := os.ReadFile(h.Files().Key)
	if err != nil {
		t.Fatal(err)
	}
	i, err := parse(stored)
	if err != nil {
		t.Fatal(err)
	}
	clear, _ := i.marshal()
	text := string(clear) + fmt.Sprintf("%+v", i.Facts)
	for _, planted := range append(facts().MACs, facts().MachineID, facts().ProductUUID) {
		if strings.Contains(text, planted) || strings.Contains(text, strings.ReplaceAll(planted, ":", "")) {
			t.Errorf("stored in the clear: %q", planted)
		}
	}
}

func FuzzParse(f *testing.F) {
	data, err := os.ReadFile(open(f, f.TempDir()).Files().Key)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		i, err := parse(data)
		if err != nil {
			return
		}
		again, err := i.marshal()
		if err != nil {
			t.Fatal(err)
		}
		if same, err := parse(again); err != nil || same.Worker != i.Worker || !same.key.Equal(i.key) {
			t.Errorf("%q: read again: %v", data, err)
		}
	})
}

func FuzzReadFacts(f *testing.F) {
	f.Add("0f1e2d3c4b5a69788796a5b4c3d2e1f0\n")
	f.Add("\x00")
	f.Fuzz(func(t *testing.T, text string) {
		root := fstest.MapFS{"etc/machine-id": {Data: []byte(text)}, "sys/class/net/a/address": {Data: []byte(text)}, "sys/class/net/a/device/x": {}}
		if got := ReadFacts(root); len(got.MachineID) > 256 || len(got.MACs) > 1 {
			t.Errorf("%q: %v", text, got)
		}
	})
}
