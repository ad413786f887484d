package worker

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/trust/token"
)

func TestWhereATokenIsLookedFor(t *testing.T) {
	f := func(cfg EnrolConfig, credentials string, want ...string) {
		t.Helper()
		if got := tokenFiles(cfg, "/state", credentials); strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	f(EnrolConfig{}, "", "/state/join.token", "/etc/cloudless/join.token")
	f(EnrolConfig{}, "/run/credentials/workerd.service", "/state/join.token", "/run/credentials/workerd.service/join.token", "/etc/cloudless/join.token")
	f(EnrolConfig{TokenFile: "/x"}, "/run/credentials/workerd.service", "/state/join.token", "/x")
}

func TestReadToken(t *testing.T) {
	dir := t.TempDir()
	first, second := filepath.Join(dir, "first"), filepath.Join(dir, "second")
	v := newTown(t, ours)
	join := v.token("hq:10100")
	write := func(path, text string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	f := func(fails string, want *token.Token) {
		t.Helper()
		got, path, err := readToken([]string{first, second})
		if (err == nil) != (fails == "") || err != nil && !strings.Contains(err.Error(), fails) {
			t.Errorf("got %v, want %q", err, fails)
		}
		if (got == nil) != (want == nil) || got != nil && got.ID != want.ID {
			t.Errorf("got %v of %s, want %v", got, path, want)
		}
		if err != nil && strings.Contains(err.Error(), join.Reveal()[20:60]) {
			t.Errorf("the error holds the token: %v", err)
		}
	}
	f("", nil)
	none := markOf([]string{first, second})
	write(second, join.Reveal()+"\n", 0o600)
	f("", &join)
	mark := markOf([]string{first, second})
	if mark == none {
		t.Error("a new file is not noticed")
	}
	write(second, join.Reveal(), 0o604)
	f("readable by others; run: chmod 600 "+second, nil)
	write(second, join.Reveal()[:50], 0o600)
	f("typo or cut off", nil)
	if markOf([]string{first, second}) == mark {
		t.Error("another content is not noticed")
	}
	write(second, strings.Repeat("x", 10_000), 0o600)
	f("larger than", nil)
	write(first, join.Reveal(), 0o600)
	f("", &join)
	if err := os.Remove(first); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(first, 0o700); err != nil {
		t.Fatal(err)
	}
	f("not a regular file", nil)
}
