package people

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestTokenStandsForItsOwner(t *testing.T) {
	f := newFixture(t)
	reading, id := f.token(TokenSpec{Owner: "alice", TTL: time.Hour})
	all, _ := f.token(TokenSpec{Owner: "alice", Admin: true})
	for text, want := range map[string]Principal{
		reading:            {Name: "alice", By: ByToken, Expires: f.Now().Add(time.Hour), TokenID: id},
		" " + all + "\r\n": {Name: "alice", Admin: true, By: ByToken},
	} {
		got, ok := f.Token(text)
		if want.TokenID == "" {
			want.TokenID = got.TokenID
		}
		if !ok || got != want || len(got.TokenID) != 16 {
			t.Errorf("got %+v, %v; want %+v", got, ok, want)
		}
	}
	if _, _, err := f.CreateToken(TokenSpec{Owner: "bob", Label: "x", Admin: true}); !errors.Is(err, ErrScope) {
		t.Errorf("bob has made a token for more than he may: %v", err)
	}
	f.pass(time.Hour)
	if _, err := f.CheckToken(reading); !errors.Is(err, ErrTokenExpired) {
		t.Errorf("after its time: %v", err)
	}
	if _, err := f.RevokeToken(id, "bob"); !errors.Is(err, ErrNoToken) {
		t.Errorf("bob has revoked alice's: %v", err)
	}
	if row, err := f.RevokeToken(id, "alice"); err != nil || row.ID != id || row.Label != "grafana" {
		t.Errorf("revoke: %+v, %v", row, err)
	}
	for _, id := range []string{id, "", "x", strings.ToUpper(id), strings.Repeat("0", 16)} {
		if _, err := f.RevokeToken(id, ""); !errors.Is(err, ErrNoToken) {
			t.Errorf("revoke %q: %v", id, err)
		}
	}
	if _, err := f.CheckToken(reading); !errors.Is(err, ErrTokenUnknown) {
		t.Errorf("revoked: %v", err)
	}
}

func TestTokenEndsWithItsOwner(t *testing.T) {
	f := newFixture(t)
	bobs, _ := f.token(TokenSpec{Owner: "bob"})
	root, _ := f.token(TokenSpec{Owner: "root", Outside: true, Admin: true})
	outside, _ := f.token(TokenSpec{Owner: "bob", Outside: true, Admin: true}) // a bob of the host
	f.must(f.RemoveUser("bob"))
	f.must(f.SetUser(t.Context(), "bob", bobsPassword, true))
	for _, g := range []fixture{f, f.reopen()} {
		if _, err := g.CheckToken(bobs); !errors.Is(err, ErrTokenUnknown) {
			t.Errorf("the token of a removed user: %v", err)
		}
		for _, text := range []string{root, outside} {
			if p, ok := g.Token(text); !ok || !p.Admin {
				t.Errorf("a token of somebody from outside: %+v, %v", p, ok)
			}
		}
	}
}

func TestCrashWhileAUserIsRemovedRevivesNoToken(t *testing.T) {
	f := newFixture(t)
	text, _ := f.token(TokenSpec{Owner: "bob"})
	tokens, err := os.ReadFile(f.tokensPath())
	f.must(err)
	f.must(f.RemoveUser("bob"))
	f.must(os.WriteFile(f.tokensPath(), tokens, 0o600)) // as if it had not been written
	g := f.reopen()
	f.must(g.SetUser(t.Context(), "bob", bobsPassword, false))
	if _, ok := g.Token(text); ok || len(g.Tokens("")) != 0 {
		t.Errorf("it is alive")
	}
}

func TestTokensAreListedAndBounded(t *testing.T) {
	f := newFixture(t)
	for i := range MaxTokensPerOwner {
		f.token(TokenSpec{Owner: "bob", Label: fmt.Sprint(i)})
		f.pass(time.Second)
	}
	if _, _, err := f.CreateToken(TokenSpec{Owner: "bob", Label: "x"}); !errors.Is(err, ErrFull) {
		t.Errorf("got %v, want ErrFull", err)
	}
	f.token(TokenSpec{Owner: "alice", Label: "short", TTL: time.Minute})
	rows := f.Tokens("")
	if len(rows) != MaxTokensPerOwner+1 || rows[0].Label != "short" || rows[1].Label != "99" || len(f.Tokens("alice")) != 1 || len(f.Tokens("eve")) != 0 {
		t.Errorf("%d rows: %+v", len(rows), rows[:2])
	}
	if !slices.Equal(rows, f.reopen().Tokens("")) {
		t.Errorf("others after a restart")
	}
	f.pass(keepExpired + time.Hour)
	f.token(TokenSpec{Owner: "alice", Label: "next"})
	if rows := f.Tokens("alice"); len(rows) != 1 || rows[0].Label != "next" {
		t.Errorf("long expired ones are kept: %+v", rows)
	}
	for name, spec := range map[string]TokenSpec{
		"no label": {Owner: "bob"}, "long label": {Owner: "bob", Label: strings.Repeat("x", 101)}, "line": {Owner: "bob", Label: "a\nb"},
		"no owner": {Label: "x"}, "negative": {Owner: "bob", Label: "x", TTL: -1}, "too long": {Owner: "bob", Label: "x", TTL: 1 << 62},
	} {
		if _, _, err := f.CreateToken(spec); !errors.Is(err, ErrInput) {
			t.Errorf("%s: got %v, want ErrInput", name, err)
		}
	}
}

func TestLastUseIsWrittenLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.Directory.now = time.Now
		text, _ := f.token(TokenSpec{Owner: "bob"})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- f.Run(ctx) }()
		used := func() time.Time { return f.reopen().Tokens("")[0].Used }

		time.Sleep(time.Second)
		f.Token(text)
		first := time.Now().UTC().Truncate(time.Minute)
		if got := f.Tokens("")[0].Used; !got.Equal(first) || !used().IsZero() {
			t.Errorf("got %v, on disk %v; want %v and nothing", got, used(), first)
		}
		time.Sleep(flushEvery)
		synctest.Wait()
		if got := used(); !got.Equal(first) {
			t.Errorf("after a minute: %v, want %v", got, first)
		}
		f.Token(text)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if got := used(); !got.After(first) {
			t.Errorf("at the end: %v", got)
		}
	})
}

func TestEveryTypoIsNoticed(t *testing.T) {
	f := newFixture(t)
	text, _ := f.token(TokenSpec{Owner: "bob"})
	for i := range text {
		for _, c := range []byte("aA0_-\n=") {
			typo := text[:i] + string(c) + text[i+1:]
			if typo == text {
				continue
			}
			if _, err := f.CheckToken(typo); err == nil || errors.Is(err, ErrTokenUnknown) {
				t.Errorf("character %d as %q: %v", i, c, err)
			}
		}
		if _, err := f.CheckToken(text[:i]); err == nil || errors.Is(err, ErrTokenUnknown) {
			t.Errorf("cut off at %d: %v", i, err)
		}
	}
	unknown, _ := newAPIToken(&counting{})
	for text, want := range map[string]error{
		"": ErrNotToken, "cloudless_join1_AAAA": ErrNotToken, "cloudless_api2_AAAA": ErrTokenVersion, TokenPrefix: ErrTokenDamaged,
		TokenPrefix + strings.Repeat("A", 1<<20): ErrTokenDamaged, unknown.Reveal(): ErrTokenUnknown,
	} {
		if _, err := f.CheckToken(text); !errors.Is(err, want) {
			t.Errorf("%.40q: got %v, want %v", text, err, want)
		}
	}
}

// TestTokenOfAnotherSecret: an id that is known does not help.
func TestTokenOfAnotherSecret(t *testing.T) {
	f := newFixture(t)
	text, _ := f.token(TokenSpec{Owner: "bob"})
	real, err := parseAPIToken(text)
	f.must(err)
	forged := APIToken{real.id, func() [secretSize]byte { return [secretSize]byte{1} }}
	if _, err := f.CheckToken(forged.Reveal()); !errors.Is(err, ErrTokenUnknown) {
		t.Errorf("got %v", err)
	}
}

func TestTextForm(t *testing.T) {
	made, err := newAPIToken(&counting{})
	if err != nil {
		t.Fatal(err)
	}
	const want = TokenPrefix + "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyAhIiMkJSYnKKoxyLo"
	if got := made.Reveal(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestSecretsAreNeverPrintedOrStored(t *testing.T) {
	f := newFixture(t)
	session := f.session("alice", alicesPassword)
	made, row, err := f.CreateToken(TokenSpec{Owner: "alice", Label: "x"})
	f.must(err)
	_, _, wrong := f.login("alice", "planted-password", home)
	_, damaged := f.CheckToken(made.Reveal()[:50])
	_, unknown := f.CheckToken(made.Reveal() + "A")
	short := f.SetUser(t.Context(), "alice", "planted", true)

	var out strings.Builder
	values := []any{made, &made, []APIToken{made}, struct{ hidden APIToken }{made}, struct{ deep *APIToken }{&made}, row, f.Directory,
		f.Users(), f.Tokens(""), f.Stats(), wrong, damaged, unknown, short, struct{ d *Directory }{f.Directory}}
	for _, value := range values {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&out, verb, value)
		}
		for _, logger := range []*slog.Logger{slog.New(slog.NewTextHandler(&out, nil)), slog.New(slog.NewJSONHandler(&out, nil))} {
			logger.Info("x", "value", value)
		}
		text, _ := json.Marshal(value)
		out.Write(text)
	}
	for _, name := range []string{UsersFile, TokensFile} {
		data, err := os.ReadFile(filepath.Join(f.dir, name))
		f.must(err)
		out.Write(data)
	}
	secret := made.secret()
	sessionBytes, _ := base64.RawURLEncoding.DecodeString(session)
	printed := strings.ToLower(out.String())
	for what, planted := range map[string]string{
		"token": made.Reveal()[len(TokenPrefix)+12:], "token's secret in hex": hex.EncodeToString(secret[:])[:16],
		"token's secret in decimals": strings.Trim(fmt.Sprint(secret[:6]), "[]"), "session": session, "session in hex": hex.EncodeToString(sessionBytes)[:16],
		"password": alicesPassword, "a wrong password": "planted",
	} {
		if strings.Contains(printed, strings.ToLower(planted)) {
			t.Errorf("printed: %s", what)
		}
	}
	var dump bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v"} {
		fmt.Fprintf(&dump, verb, f.Directory)
		fmt.Fprintf(&dump, verb, *f.users["alice"].password)
	}
	if strings.Contains(dump.String(), "argon2id") {
		t.Errorf("printed: a hash")
	}
}

func FuzzParseToken(f *testing.F) {
	made, _ := newAPIToken(&counting{})
	f.Add(made.Reveal())
	f.Add(TokenPrefix + "AAAA")
	f.Fuzz(func(t *testing.T, text string) {
		read, err := parseAPIToken(text)
		if err == nil && read.Reveal() != strings.Trim(text, " \t\r\n") {
			t.Errorf("%q reads as the token of %q", text, read.Reveal())
		}
	})
}
