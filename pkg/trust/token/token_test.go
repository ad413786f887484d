package token

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

func authority() trust.Fingerprint { return trust.Fingerprint{1, 2, 3} }

func newToken(t testing.TB, addresses ...string) Token {
	t.Helper()
	made, err := New("lab", authority(), addresses, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// counting is a reproducible source of bytes.
type counting struct{ next byte }

func (c *counting) Read(p []byte) (int, error) {
	for i := range p {
		c.next++
		p[i] = c.next
	}
	return len(p), nil
}

func TestTextForm(t *testing.T) {
	made, err := New("lab", authority(), []string{"192.0.2.1:10100"}, &counting{})
	if err != nil {
		t.Fatal(err)
	}
	const want = "036c6162" + "0102030000000000000000000000000000000000000000000000000000000000" +
		"0102030405060708" + "090a0b0c0d0e0f101112131415161718191a1b1c" + "010f3139322e302e322e313a3130313030"
	raw, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(made.Reveal(), Prefix))
	if err != nil || hex.EncodeToString(raw[:len(raw)-checkSize]) != want {
		t.Errorf("got %x, %v\nwant %s and a checksum", raw, err, want)
	}
}

func TestEveryTokenReadsBack(t *testing.T) {
	for _, addresses := range [][]string{nil, {"a:1"}, {"collector.example.org:10100", "192.0.2.1:65535", "[2001:db8::1]:1", "a:1", "b:1", "c:1", "d:1", "e:1"}} {
		made := newToken(t, addresses...)
		for _, text := range []string{made.Reveal(), " " + made.Reveal() + "\r\n"} {
			read, err := Parse(text)
			if err != nil {
				t.Fatalf("%v: %v", addresses, err)
			}
			if read.Reveal() != made.Reveal() || read.ID != made.ID || read.Verifier() != made.Verifier() {
				t.Errorf("%v: another token", addresses)
			}
			if diff := cmp.Diff(made.Addresses, read.Addresses); diff != "" || read.Fleet != "lab" || read.Authority != authority() {
				t.Errorf("%v: fleet %q, addresses (-want +got)\n%s", addresses, read.Fleet, diff)
			}
		}
	}
}

func TestNewRefusesWhatNoTokenMaySay(t *testing.T) {
	many := make([]string, MaxAddresses+1)
	for i := range many {
		many[i] = "a:1"
	}
	for name, c := range map[string]struct {
		fleet     string
		authority trust.Fingerprint
		addresses []string
	}{
		"fleet":          {"Lab", authority(), nil},
		"authority":      {"lab", trust.Fingerprint{}, nil},
		"many addresses": {"lab", authority(), many},
		"no port":        {"lab", authority(), []string{"a"}},
		"port 0":         {"lab", authority(), []string{"a:0"}},
		"port 010":       {"lab", authority(), []string{"a:010"}},
		"service name":   {"lab", authority(), []string{"a:http"}},
		"no host":        {"lab", authority(), []string{":1"}},
		"space":          {"lab", authority(), []string{"a b:1"}},
		"long":           {"lab", authority(), []string{strings.Repeat("a", 254) + ":1"}},
	} {
		if _, err := New(c.fleet, c.authority, c.addresses, rand.Reader); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := New("lab", authority(), nil, bytes.NewReader(nil)); err == nil {
		t.Errorf("made without randomness")
	}
}

func TestEveryTypoIsNoticed(t *testing.T) {
	text := newToken(t, "a:1").Reveal()
	for i := range text {
		for _, c := range []byte("aA0_-\n=") {
			typo := text[:i] + string(c) + text[i+1:]
			if typo == text {
				continue
			}
			if _, err := Parse(typo); err == nil {
				t.Errorf("character %d as %q: accepted", i, c)
			} else if strings.Contains(err.Error(), text[len(Prefix)+20:len(Prefix)+30]) {
				t.Errorf("character %d: the error holds some of it: %v", i, err)
			}
		}
		if _, err := Parse(text[:i]); err == nil {
			t.Errorf("cut off at %d: accepted", i)
		}
		if i > 0 {
			if _, err := Parse(text[:i] + text[i-1:]); err == nil {
				t.Errorf("character %d doubled: accepted", i)
			}
		}
	}
	for text, want := range map[string]error{
		"":                                  ErrNotToken,
		"hello":                             ErrNotToken,
		"cloudless_join2_AAAA":              ErrVersion,
		Prefix:                              ErrDamaged,
		Prefix + strings.Repeat("A", 1<<20): ErrDamaged,
		text + "=":                          ErrDamaged,
		text[:40] + "\n" + text[40:]:        ErrDamaged,
	} {
		if _, err := Parse(text); !errors.Is(err, want) {
			t.Errorf("%.60q: got %v, want %v", text, err, want)
		}
	}
}

func TestSecretIsNeverPrinted(t *testing.T) {
	made := newToken(t)
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb, made)
		fmt.Fprintf(&out, verb, &made)
		fmt.Fprintf(&out, verb, []Token{made})
		fmt.Fprintf(&out, verb, struct{ hidden Token }{made})
		fmt.Fprintf(&out, verb, struct{ deep *struct{ t Token } }{&struct{ t Token }{made}})
	}
	for _, logger := range []*slog.Logger{slog.New(slog.NewTextHandler(&out, nil)), slog.New(slog.NewJSONHandler(&out, nil))} {
		logger.Info("x", "token", made, "list", []Token{made}, "hidden", struct{ T Token }{made})
	}
	text, err := json.Marshal(map[string]any{"a": made, "b": &made, "c": []any{made}})
	out.Write(text)
	record, recordErr := NewRecord(made, 1, 1, nil, noon())
	stored, storeErr := record.Marshal()
	out.Write(stored)
	if err := errors.Join(err, recordErr, storeErr); err != nil {
		t.Fatal(err)
	}
	bytes := made.secret()
	raw := bytes[:]
	printed := strings.ToLower(out.String())
	for _, planted := range []string{made.Reveal(), made.Reveal()[len(Prefix)+65:], hex.EncodeToString(raw)[:16],
		strings.Trim(fmt.Sprint(raw[:6]), "[]"), base64.StdEncoding.EncodeToString(raw)[:12], fmt.Sprintf("%#v", raw)[8:30]} {
		if strings.Contains(printed, strings.ToLower(planted)) {
			t.Errorf("printed: %q in\n%s", planted, out.String())
		}
	}
	if !strings.Contains(printed, made.ID.String()) {
		t.Errorf("the id was not printed")
	}
}

func FuzzParse(f *testing.F) {
	made := newToken(f, "a:1", "b:2")
	f.Add(made.Reveal())
	f.Add(made.Reveal()[:60])
	f.Add(Prefix + "AAAA")
	f.Add("cloudless_join9_")
	f.Fuzz(func(t *testing.T, text string) {
		read, err := Parse(text)
		if err == nil && read.Reveal() != strings.Trim(text, " \t\r\n") {
			t.Errorf("%q reads as the token of %q", text, read.Reveal())
		}
	})
}

// FuzzBody goes around the checksum, which keeps a fuzzer out.
func FuzzBody(f *testing.F) {
	raw, _ := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(newToken(f, "a:1", "b:2").Reveal(), Prefix))
	f.Add(raw[:len(raw)-checkSize])
	f.Fuzz(func(t *testing.T, raw []byte) {
		read, err := parse(raw)
		if err != nil {
			return
		}
		again, err := Parse(read.Reveal())
		if err != nil || again.Reveal() != read.Reveal() {
			t.Errorf("%x: %v", raw, err)
		}
	})
}
