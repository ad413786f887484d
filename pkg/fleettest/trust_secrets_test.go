package fleettest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust/local"
	"github.com/cloudless-fleet/cloudless/pkg/trust/token"
)

// secret is something that must not be found, in all the forms in which it could
// be, but in the one file that is made to hold it, if there is one.
type secret struct {
	name  string
	forms []string
	file  string // its path ends so; "": it is in none
}

// inAllForms are the ways in which bytes may be written down.
func inAllForms(raw []byte) []string {
	return []string{string(raw), hex.EncodeToString(raw), strings.ToUpper(hex.EncodeToString(raw)), base64.RawStdEncoding.EncodeToString(raw),
		base64.RawURLEncoding.EncodeToString(raw), strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(raw)),
		strings.Trim(fmt.Sprint(raw), "[]")}
}

// secrets are those that were planted.
type secrets struct {
	t   *testing.T
	all []secret
}

// text plants a secret that is a text. Without what it begins with, which tells
// what it is, it is as secret.
func (s *secrets) text(name, text, prefix, file string) {
	s.all = append(s.all, secret{name, []string{strings.TrimPrefix(text, prefix)}, file})
}

func (s *secrets) bytes(name string, raw []byte, file string) {
	if len(raw) < 16 {
		s.t.Fatalf("%s: %d bytes: found by accident everywhere", name, len(raw))
	}
	s.all = append(s.all, secret{name, inAllForms(raw), file})
}

// coded plants a secret that is in a text as PREFIX and base64url: the text, and the
// n bytes of it from a place on.
func (s *secrets) coded(name, text, prefix, file string, from, n int) []byte {
	s.t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(text, prefix))
	if err != nil || len(raw) < from+n {
		s.t.Fatalf("%s: %d bytes, %v", name, len(raw), err)
	}
	s.text(name, text, prefix, file)
	s.bytes("the secret in "+name, raw[from:from+n], file)
	return raw[from : from+n]
}

// keysIn plants every private key below a folder. None may be anywhere but in its
// file.
func (s *secrets) keysIn(dir string) {
	s.t.Helper()
	for path, text := range filesIn(s.t, dir) {
		for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
			if block.Type != "PRIVATE KEY" {
				continue
			}
			key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
			if err != nil {
				s.t.Fatalf("%s: %v", path, err)
			}
			name := "the key in " + path
			for line := range strings.Lines(string(pem.EncodeToMemory(block))) {
				if line = strings.TrimSpace(line); !strings.HasPrefix(line, "-") && len(line) > 40 {
					s.text(name, line, "", path)
				}
			}
			s.bytes(name, block.Bytes, path)
			switch key := key.(type) {
			case ed25519.PrivateKey:
				s.bytes(name, key.Seed(), path)
			case *ecdsa.PrivateKey:
				raw, err := key.Bytes()
				if err != nil {
					s.t.Fatal(err)
				}
				s.bytes(name, raw, path)
			default:
				s.t.Fatalf("%s: a %T", path, key)
			}
		}
	}
}

// filesIn reads all files below a folder, by their whole path. Sockets are passed
// over, and so is what a running daemon takes away meanwhile.
func filesIn(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			files[path], err = os.ReadFile(path)
		}
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// look fails the test for every secret that is in a text from somewhere.
func (s *secrets) look(where string, text []byte) {
	s.t.Helper()
	for _, one := range s.all {
		if one.file != "" && strings.HasSuffix(where, one.file) {
			continue
		}
		for _, form := range one.forms {
			if i := bytes.Index(text, []byte(form)); i >= 0 {
				s.t.Errorf("%s: holds %s as %.12q...: %.300q", where, one.name, form, text[max(0, i-100):])
				break
			}
		}
	}
}

// heard is every answer that a client was given, but those that are made to hold a
// secret.
type heard struct {
	http.RoundTripper
	text bytes.Buffer
}

// RoundTrip implements http.RoundTripper.
func (h *heard) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := h.RoundTripper.RoundTrip(r)
	if err != nil {
		fmt.Fprintln(&h.text, err)
		return response, err
	}
	body, err := io.ReadAll(response.Body)
	response.Body.Close()
	response.Body = io.NopCloser(bytes.NewReader(body))
	made := r.Method == http.MethodPost && response.StatusCode == http.StatusOK
	if !made || !strings.HasSuffix(r.URL.Path, api.PathAdminTokens) && r.URL.Path != api.PathAPITokens {
		fmt.Fprintf(&h.text, "%s %s\n%s\n", r.Method, r.URL, body)
	}
	if header := response.Header.Clone(); !made || r.URL.Path != api.PathLogin {
		_ = header.Write(&h.text)
	}
	return response, err
}

// listen lets a client's answers be heard.
func listen(client *http.Client) *heard {
	h := &heard{RoundTripper: client.Transport}
	client.Transport = h
	return h
}

// CloseIdleConnections is for http.Client.
func (h *heard) CloseIdleConnections() { h.RoundTripper.(*http.Transport).CloseIdleConnections() }

// TestSecretsStayWhereTheyBelong plants all kinds of secrets in a fleet that logs
// everything, has them used as they are meant to be and as people use them wrongly,
// and then looks for them everywhere.
func TestSecretsStayWhereTheyBelong(t *testing.T) {
	t.Parallel()
	f := newInProcess(t, "w1", "typo", "mixed")
	f.level = slog.LevelDebug
	f.startServers()
	planted := &secrets{t: t}
	const password, guess = "planted horse battery", "planted-wrong-guess"
	planted.text("the password", password, "", "")
	planted.text("a wrong password", guess, "", "")
	join := f.plantToken(planted)
	admin := f.plantAdmin(planted)

	w1, typo, mixed := f.machines["w1"], f.machines["typo"], f.machines["mixed"]
	w1.hold(join)
	w1.start()
	f.eventually("it works", w1.working)

	// As they are meant to be used.
	b := f.browser()
	ours := f.socket(f.coordinator.Control.Socket)
	answers := []*heard{listen(b.http), listen(ours)}
	if _, err := f.client.CreateUser(t.Context(), api.UserRequest{Name: "alice", Password: password, Scope: api.ScopeAdmin}); err != nil {
		t.Fatal(err)
	}
	const get, post = http.MethodGet, http.MethodPost
	b.want(200, post, api.PathLogin, api.Login{Name: "admin", Password: admin})
	planted.coded("a session of the administrator's", b.cookie.Value, "", "", 0, 32)
	b.want(200, post, api.PathLogin, api.Login{Name: "alice", Password: password})
	planted.coded("a session", b.cookie.Value, "", "", 0, 32)
	made, err := f.client.CreateAPIToken(t.Context(), api.APITokenRequest{Name: "grafana", Scope: api.ScopeAdmin})
	if err != nil {
		t.Fatal(err)
	}
	planted.coded("the API token", made.Token, api.APITokenPrefix, ".token", 8, 32)
	b.with("Authorization", "Bearer "+made.Token).want(200, get, api.PathMe, nil)

	// As they are not.
	typo.hold(join[:60] + strings.Map(func(r rune) rune { return r ^ 1 }, join[60:61]) + join[61:])
	mixed.hold(made.Token)
	typo.start()
	mixed.start()
	stranger := func(header, value string) *browser {
		other := b.with(header, value)
		other.cookie = nil
		return other
	}
	stranger("Authorization", "Bearer "+made.Token[:len(made.Token)-1]).want(401, get, api.PathMe, nil)
	stranger("Authorization", "Bearer "+join).want(401, get, api.PathMe, nil)
	stranger("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("alice:"+password))).want(401, get, api.PathMe, nil)
	stranger("Cookie", api.SessionCookie+"="+b.cookie.Value+"x").want(401, get, api.PathMe, nil)
	for _, login := range []api.Login{{Name: "alice", Password: guess}, {Name: password, Password: "alice"}, {Name: admin, Password: "admin"}, {Name: "admin", Password: guess}} {
		stranger("Accept", "*/*").want(401, post, api.PathLogin, login)
	}
	for _, path := range append(peoplePaths(), api.PathLogin) {
		if path == api.PathLogout {
			continue
		}
		_, _ = b.send(get, path, nil)
		for _, body := range []any{password, map[string]string{join: password}, map[string]string{"who": join}, map[string]string{"worker": made.Token, "reason": ""},
			map[string]any{"name": made.Token, "password": guess, "scope": guess}} {
			_, _ = b.send(post, path, body)
		}
	}
	for _, path := range controlPaths() {
		if path != api.PrefixAdminCoordinator+api.PathAdminAuthority+"/prepare" { // the test knows of one authority
			_, _ = ask(t, ours, get, local.BaseURL+path, "")
			_, _ = ask(t, ours, post, local.BaseURL+path, fmt.Sprintf(`{"who":%q,"worker":%q,"secret":%q}`, join, made.Token, guess))
		}
	}
	b.want(200, get, api.PathQuery+"?query="+url.QueryEscape(`{__name__=~".+"}`), nil)
	b.want(200, get, api.PathSeries+"?match[]="+url.QueryEscape(`{__name__=~".+"}`), nil)
	for _, m := range []*machine{typo, mixed} {
		f.eventually(m.name+" says that its token is none", func() error { return f.said("of="+m.name, "the join token cannot be used") })
	}
	f.eventually("the state of w1 is written down", w1.stands("member", ""))

	for _, key := range []string{"w1", "typo", "mixed", model.DaemonCollector, model.DaemonCoordinator} {
		f.stop(key)
	}
	planted.keysIn(f.dir)
	if n := len(planted.all); n < 40 {
		t.Errorf("only %d secrets were looked for", n)
	}
	texts := filesIn(t, f.dir)
	texts["the log"], texts["answers of collectord"], texts["answers of coordinatord"] = []byte(f.log.String()), answers[0].text.Bytes(), answers[1].text.Bytes()
	for where, text := range texts {
		planted.look(where, text)
	}
	// What is no secret is found: the test looks at the right places.
	for _, where := range []string{"the log", "answers of collectord", "answers of coordinatord", f.path(model.DaemonCoordinator, "audit.jsonl"),
		f.path(model.DaemonCoordinator, "admission.db"), f.path("state-w1", "status.json")} {
		if !bytes.Contains(texts[where], []byte(w1.id().String())) {
			t.Errorf("%s: %d bytes, and nothing of w1 in it", where, len(texts[where]))
		}
	}
	for name, text := range map[string]string{"alice": f.path(model.DaemonCollector, "audit.jsonl"), "argon2id": f.path(model.DaemonCollector, "users.json"), made.ID: f.path(model.DaemonCollector, "api-tokens.json")} {
		if !bytes.Contains(texts[text], []byte(name)) {
			t.Errorf("%s: %d bytes, and no %s in it", text, len(texts[text]), name)
		}
	}
}

// plantToken makes a join token, which may be in the token files of machines only.
func (f *inProcess) plantToken(planted *secrets) string {
	f.t.Helper()
	text := f.token(api.TokenRequest{Uses: 5})
	parsed, err := token.Parse(text)
	if err != nil {
		f.t.Fatal(err)
	}
	seed := planted.coded("the join token", text, token.Prefix, ".token", 1+len(parsed.Fleet)+sha256.Size+len(parsed.ID), 20)
	proof, err := hkdf.Key(sha256.New, seed, parsed.ID[:], "cloudless join proof v1 "+parsed.Fleet, ed25519.SeedSize)
	if err != nil {
		f.t.Fatal(err)
	}
	if got := parsed.Verifier(); !bytes.Equal(got[:], ed25519.NewKeyFromSeed(proof).Public().(ed25519.PublicKey)) {
		f.t.Fatal("the key of the join token is another one: the test would look for the wrong thing")
	}
	planted.bytes("the key of the join token", proof, "")
	return text
}

// plantAdmin returns the admin secret, which may be in its file only.
func (f *inProcess) plantAdmin(planted *secrets) string {
	f.t.Helper()
	const prefix = "cloudless-admin-"
	path := f.path(model.DaemonCoordinator, "fleet", "admin.secret")
	text, err := os.ReadFile(path)
	if err != nil {
		f.t.Fatal(err)
	}
	admin := strings.TrimSpace(string(text))
	raw, err := base32.StdEncoding.DecodeString(strings.ToUpper(strings.TrimPrefix(admin, prefix)))
	if err != nil {
		f.t.Fatal(err)
	}
	planted.text("the admin secret", admin, prefix, path)
	planted.bytes("the bytes of the admin secret", raw, path)
	return admin
}
