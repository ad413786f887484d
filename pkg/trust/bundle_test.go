package trust

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestUpdateBundleNeverMovesAHostToStrangers(t *testing.T) {
	old, next, third := newFleet(t, "lab"), newFleet(t, "lab"), newFleet(t, "lab")
	prod := newFleet(t, "prod")
	join := func(cas ...*CA) (pem []byte) {
		for _, ca := range cas {
			pem = append(pem, ca.CertPEM()...)
		}
		return pem
	}
	for name, c := range map[string]struct {
		present, fresh []byte
		changed        bool
		want           error
	}{
		"first":             {nil, join(old), true, nil},
		"the same":          {join(old), join(old), false, nil},
		"overlap begins":    {join(old), join(old, next), true, nil},
		"overlap ends":      {join(old, next), join(next), true, nil},
		"overlap missed":    {join(old), join(next), false, ErrUnrelatedBundle},
		"two overlaps late": {join(old, next), join(third), false, ErrUnrelatedBundle},
		"another fleet":     {join(old), join(prod), false, ErrForeignFleet},
		"mixed fleets":      {join(old), join(old, prod), false, nil},
		"nothing":           {join(old), nil, false, nil},
		"a leaf":            {join(old), issue(t, old, worker()).Cert, false, ErrIdentity},
	} {
		path := filepath.Join(t.TempDir(), "ca.crt")
		if c.present != nil {
			if err := os.WriteFile(path, c.present, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		changed, err := UpdateBundle(path, c.fresh)
		good := c.changed || name == "the same"
		if good != (err == nil) || changed != c.changed || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: got changed %v, %v; want %v, %v", name, changed, err, c.changed, c.want)
		}
		want := c.present
		if c.changed {
			want = c.fresh
		}
		if data, _ := os.ReadFile(path); !bytes.Equal(data, want) {
			t.Errorf("%s: file holds something else", name)
		}
	}
}

func FuzzParseBundle(f *testing.F) {
	ca, err := NewCA("lab", zeros{}, noon())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(ca.CertPEM())
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		bundle, err := ParseBundle(data)
		if err != nil {
			return
		}
		again, err := ParseBundle(bundle.PEM())
		if err != nil || again.Fleet != bundle.Fleet || len(again.Authorities) != len(bundle.Authorities) {
			t.Errorf("%q: read again: %v, %v", data, again, err)
		}
	})
}

// zeros is a source of randomness for keys that protect nothing.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func TestFingerprintText(t *testing.T) {
	ca := newFleet(t, "lab")
	f := ca.Fingerprint()
	if got, err := FingerprintOf(ca.cert.PublicKey); err != nil || got != f {
		t.Errorf("of the key: %v, %v; want %v", got, err, f)
	}
	if got, err := ParseFingerprint(f.String()); err != nil || got != f {
		t.Errorf("read again: %v, %v; want %v", got, err, f)
	}
	for _, text := range []string{"", "00", strings.Repeat("0", 64), strings.ToUpper(f.String()) + " ", f.String()[:63], "g" + f.String()[1:], strings.Repeat("AB", 32)} {
		if _, err := ParseFingerprint(text); err == nil {
			t.Errorf("%q: accepted", text)
		}
	}
}

// The private key of what is printed must appear in no spelling.
func TestKeysAreNotPrinted(t *testing.T) {
	ca := newFleet(t, "lab")
	issued := issue(t, ca, worker())
	var out strings.Builder
	for _, logger := range []*slog.Logger{slog.New(slog.NewTextHandler(&out, nil)), slog.New(slog.NewJSONHandler(&out, nil))} {
		logger.Info("x", "ca", ca, "issued", issued, "pointer", &issued)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%q"} {
		fmt.Fprintf(&out, verb+verb+verb, ca, issued, struct{ C any }{ca})
	}
	key := ca.key
	for _, planted := range []string{string(issued.Key), "BEGIN PRIVATE", fmt.Sprintf("%x", key[:8]), fmt.Sprint([]byte(key[:6]))[1:18]} {
		if strings.Contains(strings.ToLower(out.String()), strings.ToLower(planted)) {
			t.Errorf("printed: %q", planted)
		}
	}
	if !strings.Contains(out.String(), "authority of fleet lab") {
		t.Errorf("nothing useful was printed: %s", out.String())
	}
}
