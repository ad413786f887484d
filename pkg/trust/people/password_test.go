package people

import (
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// counting is a reproducible source of bytes.
type counting struct{ next byte }

func (c *counting) Read(p []byte) (int, error) {
	for i := range p {
		c.next++
		p[i] = c.next
	}
	return len(p), nil
}

func TestHashOfToday(t *testing.T) {
	h, err := newHashed("correct horse", present(), &counting{})
	if err != nil {
		t.Fatal(err)
	}
	const want = "$argon2id$v=19$m=65536,t=3,p=1$AQIDBAUGBwgJCgsMDQ4PEA$wVfFD58ZiECGjBgOPMiYFbfQqrh4X9TPKA6CrEQPujk"
	if got := h.phc(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	read, err := parsePHC(want)
	if err != nil || !read.matches("correct horse") || read.matches("correct horsf") {
		t.Errorf("it does not read back: %v", err)
	}
}

func TestHashesThatAreNotOurs(t *testing.T) {
	h, err := newHashed("x", cheap(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := h.phc()
	if _, err := parsePHC(good); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"empty":            "",
		"plain":            "secret",
		"argon2i":          strings.Replace(good, "argon2id", "argon2i", 1),
		"version 16":       strings.Replace(good, "v=19", "v=16", 1),
		"order":            strings.Replace(good, "m=64,t=1", "t=1,m=64", 1),
		"leading zero":     strings.Replace(good, "m=64", "m=064", 1),
		"plus":             strings.Replace(good, "m=64", "m=+64", 1),
		"too little":       strings.Replace(good, "m=64", "m=7", 1),
		"a gigabyte":       strings.Replace(good, "m=64", "m=1048576", 1),
		"beyond 32 bits":   strings.Replace(good, "m=64", "m=4294967360", 1),
		"no passes":        strings.Replace(good, "t=1", "t=0", 1),
		"too many passes":  strings.Replace(good, "t=1", "t=17", 1),
		"no threads":       strings.Replace(good, "p=1", "p=0", 1),
		"too many threads": strings.Replace(good, "p=1", "p=255", 1),
		"more parameters":  strings.Replace(good, "p=1", "p=1,x=2", 1),
		"padding":          good + "=",
		"short":            good[:len(good)-2],
		"long":             good + "AAAA",
		"more parts":       good + "$",
		"line end":         good + "\n",
		"huge":             good + strings.Repeat("A", 1<<20),
	} {
		if _, err := parsePHC(text); err == nil {
			t.Errorf("%s: accepted: %.100s", name, text)
		} else if strings.Contains(err.Error(), good[40:50]) {
			t.Errorf("%s: the error holds some of it: %v", name, err)
		}
	}
}

func TestHashIsMadeAnewWhenItsCostWasRaised(t *testing.T) {
	f := newFixture(t)
	stored := func(f fixture) string {
		t.Helper()
		f.Directory.mu.Lock()
		defer f.Directory.mu.Unlock()
		return f.users["bob"].password.phc()
	}
	before := stored(f)
	dear := fixture{openIn(t, f.dir, f.clock, cost{memory: 128, passes: 2, threads: 1}), f.clock, t}
	id := dear.session("bob", bobsPassword)
	after := stored(dear)
	if after == before || !strings.Contains(after, "m=128,t=2,p=1") {
		t.Fatalf("got %.40s", after)
	}
	if _, ok := dear.Session(id); !ok {
		t.Errorf("that has ended the session")
	}
	cheaper := f.reopen()
	cheaper.session("bob", bobsPassword)
	if got := stored(cheaper); got != after {
		t.Errorf("a hash was made cheaper, or anew: %.40s", got)
	}
	dear.Directory.dir = filepath.Join(f.dir, "missing")
	dear.session("alice", alicesPassword) // a disk that does not write keeps nobody out
}

func TestRandomnessThatFailsMakesNothing(t *testing.T) {
	dry := strings.NewReader("")
	if _, err := open(t.TempDir(), DefaultConfig(), nil, dry, cheap()); err == nil {
		t.Errorf("opened")
	}
	f := newFixture(t)
	f.Directory.random = dry
	_, _, loginErr := f.login("bob", bobsPassword, home)
	_, _, tokenErr := f.CreateToken(TokenSpec{Owner: "bob", Label: "x"})
	if err := f.SetPassword(t.Context(), "bob", bobsPassword); err == nil || loginErr == nil || tokenErr == nil {
		t.Errorf("made without randomness: %v, %v, %v", err, loginErr, tokenErr)
	}
}

func TestDamagedFilesAreRefusedAndLeft(t *testing.T) {
	f := newFixture(t)
	f.token(TokenSpec{Owner: "bob"})
	for _, name := range []string{UsersFile, TokensFile} {
		path := filepath.Join(f.dir, name)
		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for what, data := range map[string]string{
			"empty":        "",
			"cut":          string(good[:len(good)/2]),
			"twice":        string(good) + string(good),
			"version 2":    strings.Replace(string(good), `"version": 1`, `"version": 2`, 1),
			"new member":   strings.Replace(string(good), `"version": 1`, `"version": 1, "planted_secret": 2`, 1),
			"scope":        strings.Replace(string(good), `"scope": "read"`, `"scope": "root"`, 1),
			"wrong type":   strings.Replace(string(good), `"scope": "read"`, `"scope": 7`, 1),
			"name":         strings.Replace(strings.Replace(string(good), `"name": "bob"`, `"name": "b\u0007"`, 1), `"name": "grafana"`, `"name": ""`, 1),
			"hash":         strings.NewReplacer(`"password": "`, `"password": "planted_secret`, `"hash": "`, `"hash": "planted_secret`).Replace(string(good)),
			"id":           strings.NewReplacer(`"id": "`, `"id": "X`, `"name": "bob"`, `"name": "alice"`).Replace(string(good)),
			"no such type": `[]`,
		} {
			f.must(os.WriteFile(path, []byte(data), 0o600))
			_, err := Open(f.dir, DefaultConfig(), f.Now, rand.Reader)
			if err == nil || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "planted_secret") {
				t.Errorf("%s, %s: got %v", name, what, err)
			}
			if left, _ := os.ReadFile(path); string(left) != data {
				t.Errorf("%s, %s: the file was changed", name, what)
			}
		}
		f.must(errors.Join(os.WriteFile(path, good, 0o600), os.Chmod(path, 0o644)))
		if _, err := Open(f.dir, DefaultConfig(), f.Now, rand.Reader); err == nil || !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("%s that others can read: %v", name, err)
		}
		f.must(os.Chmod(path, 0o600))
		f.reopen()
	}
}

func FuzzParsePHC(f *testing.F) {
	h, _ := newHashed("x", cheap(), rand.Reader)
	f.Add(h.phc())
	f.Add("$argon2id$v=19$m=65536,t=3,p=4$$")
	f.Fuzz(func(t *testing.T, text string) {
		h, err := parsePHC(text)
		if err == nil && (h.phc() != text || h.check() != nil) {
			t.Errorf("%q reads as %q", text, h.phc())
		}
	})
}

func FuzzParseUsers(f *testing.F) {
	h, _ := newHashed("x", cheap(), rand.Reader)
	good, _ := marshalUsers(map[string]*user{"bob": {name: "bob", password: h}})
	f.Add(good)
	f.Fuzz(func(t *testing.T, data []byte) {
		users, err := parseUsers(data)
		if err != nil {
			return
		}
		text, err := marshalUsers(users)
		if err != nil {
			return // a time beyond the year 9999, with a zone
		}
		if again, err := parseUsers(text); err != nil || len(again) != len(users) {
			t.Errorf("does not read back: %v", err)
		}
	})
}

func FuzzParseTokens(f *testing.F) {
	made, _ := newAPIToken(rand.Reader)
	good, _ := marshalTokens(map[tokenID]*token{made.id: {id: made.id, label: "x", owner: "bob", user: true, hash: made.digest()}})
	f.Add(good)
	f.Fuzz(func(t *testing.T, data []byte) {
		tokens, err := parseTokens(data)
		if err != nil {
			return
		}
		text, err := marshalTokens(tokens)
		if err != nil {
			return
		}
		if again, err := parseTokens(text); err != nil || len(again) != len(tokens) {
			t.Errorf("does not read back: %v", err)
		}
	})
}

func TestNobodyIsJudgedForAsLongAsSomebody(t *testing.T) {
	f := newFixture(t)
	d := openIn(t, t.TempDir(), f.clock, cost{memory: 8 << 10, passes: 1, threads: 1})
	f.must(d.SetUser(t.Context(), "alice", alicesPassword, true))
	fastest := func(name string) time.Duration {
		least := time.Hour
		for i := range 4 {
			begin := time.Now()
			if err := d.Check(t.Context(), name, "guess", other(i)); !errors.Is(err, ErrWrong) {
				t.Fatal(err)
			}
			least = min(least, time.Since(begin))
		}
		return least
	}
	somebody := fastest("alice")
	for _, name := range []string{"nobody", "admin", "no name\n"} {
		if took := fastest(name); took < somebody/3 {
			t.Errorf("%q: %v, alice: %v", name, took, somebody)
		}
	}
}

func BenchmarkHash(b *testing.B) {
	h, err := newHashed("x", present(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		h.matches("y")
	}
}
