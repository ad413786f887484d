package people

import (
	"context"
	"crypto/rand"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// clock is set by hand.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// cheap is the cost of tests that are not about it.
func cheap() cost { return cost{memory: 64, passes: 1, threads: 1} }

const (
	alicesPassword = "correct horse battery"
	bobsPassword   = "hunter2hunter2"
)

var (
	home   = netip.MustParseAddr("192.0.2.7")
	abroad = netip.MustParseAddr("2001:db8:1::5")
)

// fixture is a directory with alice, an administrator, and bob, a reader.
type fixture struct {
	*Directory
	*clock
	t *testing.T
}

func newFixture(t *testing.T) fixture {
	t.Helper()
	c := &clock{now: time.Date(2026, 9, 1, 12, 0, 30, 0, time.UTC)}
	f := fixture{openIn(t, t.TempDir(), c, cheap()), c, t}
	f.must(f.SetUser(t.Context(), "alice", alicesPassword, true))
	f.must(f.SetUser(t.Context(), "bob", bobsPassword, false))
	return f
}

func openIn(t *testing.T, dir string, c *clock, price cost) *Directory {
	t.Helper()
	d, err := open(dir, DefaultConfig(), c.Now, rand.Reader, price)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// reopen is what a restart leaves.
func (f fixture) reopen() fixture {
	f.t.Helper()
	return fixture{openIn(f.t, f.dir, f.clock, cheap()), f.clock, f.t}
}

func (f fixture) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f fixture) login(name, password string, from netip.Addr) (string, Principal, error) {
	return f.Login(f.t.Context(), name, password, from)
}

func (f fixture) session(name, password string) string {
	f.t.Helper()
	id, _, err := f.login(name, password, home)
	f.must(err)
	return id
}

func (f fixture) token(spec TokenSpec) (text, id string) {
	f.t.Helper()
	if spec.Label == "" {
		spec.Label = "grafana"
	}
	made, row, err := f.CreateToken(spec)
	f.must(err)
	return made.Reveal(), row.ID
}

func TestLoginBeginsASession(t *testing.T) {
	f := newFixture(t)
	id, p, err := f.login("Alice", alicesPassword, home)
	want := Principal{Name: "alice", Admin: true, By: BySession, Expires: f.Now().Add(24 * time.Hour)}
	if err != nil || p != want {
		t.Fatalf("got %+v, %v; want %+v", p, err, want)
	}
	if got, ok := f.Session(id); !ok || got != want {
		t.Errorf("session: %+v, %v", got, ok)
	}
	if _, p, err := f.login("bob", bobsPassword, home); err != nil || p.Admin {
		t.Errorf("bob: %+v, %v", p, err)
	}
	for name, password := range map[string]string{
		"alice": bobsPassword, "bob": alicesPassword, "carol": alicesPassword, "": "", "admin": "x", "a b\n": "x",
		strings.Repeat("x", 1<<20): strings.Repeat("y", 1<<20),
	} {
		if id, p, err := f.login(name, password, abroad); !errors.Is(err, ErrWrong) || id != "" || p != (Principal{}) {
			t.Errorf("%.20q: got %q, %+v, %v; want ErrWrong", name, id, p, err)
		}
	}
	if err := f.Check(t.Context(), "bob", bobsPassword, home); err != nil {
		t.Errorf("check: %v", err)
	}
	if err := f.Check(t.Context(), "bob", "x", home); !errors.Is(err, ErrWrong) {
		t.Errorf("check of a wrong one: %v", err)
	}
}

func TestSessionsEnd(t *testing.T) {
	f := newFixture(t)
	for name, c := range map[string]struct {
		end  func()
		gone bool
	}{
		"not at once":              {func() {}, false},
		"idle":                     {func() { f.pass(2 * time.Hour) }, true},
		"by another's password":    {func() { f.must(f.SetPassword(t.Context(), "alice", alicesPassword)) }, false},
		"by his password":          {func() { f.must(f.SetPassword(t.Context(), "bob", bobsPassword)) }, true},
		"by being set":             {func() { f.must(f.SetUser(t.Context(), "bob", bobsPassword, false)) }, true},
		"not by another scope":     {func() { f.must(f.SetUser(t.Context(), "bob", "", false)) }, false},
		"by EndSessions":           {func() { f.EndSessions("bob") }, true},
		"not by another's removal": {func() { f.must(f.SetUser(t.Context(), "eve", bobsPassword, false)); f.must(f.RemoveUser("eve")) }, false},
		"by removal": {func() {
			f.must(f.RemoveUser("bob"))
			f.must(f.SetUser(t.Context(), "bob", bobsPassword, false))
		}, true},
	} {
		id := f.session("bob", bobsPassword)
		c.end()
		if _, ok := f.Session(id); ok == c.gone {
			t.Errorf("%s: is there %v", name, ok)
		}
	}
	id := f.session("bob", bobsPassword)
	if !f.Logout(id) || f.Logout(id) {
		t.Errorf("logout does not end it once")
	}
	if _, ok := f.Session(id); ok {
		t.Errorf("still there after logout")
	}
	id = f.session("bob", bobsPassword)
	for range 24 {
		if _, ok := f.Session(id); !ok {
			t.Fatal("ended though it was used")
		}
		f.pass(time.Hour)
	}
	if _, ok := f.Session(id); ok {
		t.Errorf("used for ever")
	}
	for _, bad := range []string{"", "x", id + "x", id[:42] + "\n", strings.Repeat("A", 43), strings.Repeat("A", 1<<20)} {
		if _, ok := f.Session(bad); ok || f.Logout(bad) {
			t.Errorf("%.50q is a session", bad)
		}
	}
}

func TestScopeCountsAtOnce(t *testing.T) {
	f := newFixture(t)
	id := f.session("alice", alicesPassword)
	text, _ := f.token(TokenSpec{Owner: "alice", Admin: true})
	f.must(f.SetUser(t.Context(), "alice", "", false))
	if p, ok := f.Session(id); !ok || p.Admin {
		t.Errorf("session: %+v, %v", p, ok)
	}
	if p, ok := f.Token(text); !ok || p.Admin {
		t.Errorf("token: %+v, %v", p, ok)
	}
}

func TestSessionsAreBounded(t *testing.T) {
	f := newFixture(t)
	first := f.session("alice", alicesPassword)
	var bobs []string
	for range 21 {
		f.pass(time.Second)
		bobs = append(bobs, f.session("bob", bobsPassword))
	}
	if _, ok := f.Session(bobs[0]); ok {
		t.Errorf("bob has more sessions than one user may")
	}
	if _, ok := f.Session(bobs[1]); !ok {
		t.Errorf("more ended than had to")
	}
	if _, ok := f.Session(first); !ok {
		t.Errorf("bob has ended alice's")
	}
	s := newSessions(Config{SessionIdle: time.Hour, SessionMax: time.Hour, MaxSessions: 3, MaxSessionsPerUser: 2})
	for i := range 10 {
		if _, err := s.start(string(rune('a'+i)), false, f.Now(), rand.Reader); err != nil || len(s.byKey) > 3 {
			t.Fatalf("%d sessions, %v", len(s.byKey), err)
		}
		f.pass(time.Second)
	}
}

func TestAdminSecretIsJudgedElsewhere(t *testing.T) {
	f := newFixture(t)
	broken := errors.New("coordinator does not answer")
	asked := 0
	f.External = func(_ context.Context, name, secret string) (bool, error) {
		asked++
		if secret == "broken" {
			return false, broken
		}
		return name == AdminName && secret == "the secret", nil
	}
	id, p, err := f.login("admin", "the secret", home)
	if err != nil || p.Name != "admin" || !p.Admin {
		t.Fatalf("got %+v, %v", p, err)
	}
	if _, ok := f.Session(id); !ok {
		t.Errorf("no session")
	}
	for range 30 {
		if _, _, err := f.login("admin", "broken", home); !errors.Is(err, broken) {
			t.Fatalf("got %v, want %v: what was not judged is no failure", err, broken)
		}
	}
	for i := range 100 { // from everywhere: nobody locks the administrator out
		from := netip.AddrFrom4([4]byte{10, 0, 0, byte(i)})
		if _, _, err := f.login("admin", "guess", from); !errors.Is(err, ErrWrong) {
			t.Fatalf("guess %d: %v", i, err)
		}
	}
	if _, _, err := f.login("admin", "the secret", abroad); err != nil {
		t.Errorf("locked out: %v", err)
	}
	f.must(f.SetUser(t.Context(), "admin", alicesPassword, false))
	if _, ok := f.Session(id); ok {
		t.Errorf("the session of the secret outlives a user of that name")
	}
	asked = 0
	if _, _, err := f.login("admin", "the secret", home); !errors.Is(err, ErrWrong) || asked > 0 {
		t.Errorf("a user of the file is judged elsewhere: %v", err)
	}
}

func TestNamesAndPasswords(t *testing.T) {
	f := newFixture(t)
	for name, good := range map[string]bool{
		"a": true, "a.b-c_d@example.org": true, "0": true, strings.Repeat("a", 64): true,
		"": false, "A": false, ".a": false, "-a": false, "@a": false, "a b": false, "a\n": false, "ä": false, strings.Repeat("a", 65): false,
	} {
		if err := f.SetUser(t.Context(), name, "0123456789", false); (err == nil) != good || err != nil && !errors.Is(err, ErrInput) {
			t.Errorf("name %q: %v", name, err)
		}
	}
	for password, good := range map[string]bool{
		"ćććććććććć": true, "0123456789": true, strings.Repeat("x", 256): true,
		"012345678": false, "ććććććććć": false, strings.Repeat("x", 257): false, "0123456789\n": false, "0123456789\xff": false, "long.enough": false,
	} {
		err := f.SetUser(t.Context(), "long.enough", password, false)
		if (err == nil) != good || err != nil && (!errors.Is(err, ErrInput) || strings.Contains(err.Error(), password)) {
			t.Errorf("password %q: %v", password, err)
		}
	}
	if err := f.SetPassword(t.Context(), "carol", alicesPassword); !errors.Is(err, ErrNoUser) {
		t.Errorf("password of nobody: %v", err)
	}
	if err := f.SetUser(t.Context(), "carol", "", true); !errors.Is(err, ErrNoUser) {
		t.Errorf("scope of nobody: %v", err)
	}
	if err := f.RemoveUser("carol"); !errors.Is(err, ErrNoUser) {
		t.Errorf("removal of nobody: %v", err)
	}
}

func TestUsersOutliveARestart(t *testing.T) {
	f := newFixture(t)
	id := f.session("bob", bobsPassword)
	g := f.reopen()
	if a, b := f.Users(), g.Users(); !slices.Equal(a, b) || len(a) != 2 || a[0].Name != "alice" || !a[0].Admin || a[1].Name != "bob" {
		t.Errorf("got %+v, want %+v", b, a)
	}
	if _, ok := g.Session(id); ok {
		t.Errorf("a session outlives the process")
	}
	g.session("alice", alicesPassword)
	for _, name := range []string{UsersFile} {
		if info, err := os.Stat(filepath.Join(f.dir, name)); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: mode %v, %v", name, info.Mode(), err)
		}
	}
}

func TestBoundsOfTheDirectory(t *testing.T) {
	f := newFixture(t)
	users := f.copyUsers()
	for i := len(users); i < MaxUsers; i++ {
		u := *users["bob"]
		u.name = "user" + string(rune('a'+i/676)) + string(rune('a'+i/26%26)) + string(rune('a'+i%26))
		users[u.name] = &u
	}
	f.Directory.users = users
	if err := f.SetUser(t.Context(), "onemore", bobsPassword, false); !errors.Is(err, ErrFull) {
		t.Errorf("got %v, want ErrFull", err)
	}
	f.must(f.SetPassword(t.Context(), "bob", bobsPassword))
	if got := len(f.reopen().Users()); got != MaxUsers {
		t.Errorf("%d users, want %d", got, MaxUsers)
	}
}

func TestFailedWriteChangesNothing(t *testing.T) {
	f := newFixture(t)
	text, id := f.token(TokenSpec{Owner: "bob"})
	session := f.session("bob", bobsPassword)
	f.Directory.dir = filepath.Join(f.Directory.dir, "missing")
	_, revokeErr := f.RevokeToken(id, "")
	_, _, createErr := f.CreateToken(TokenSpec{Owner: "bob", Label: "x"})
	for what, err := range map[string]error{
		"remove": f.RemoveUser("bob"), "set": f.SetUser(t.Context(), "bob", alicesPassword, true), "revoke": revokeErr, "create": createErr,
	} {
		if err == nil {
			t.Errorf("%s: done without a disk", what)
		}
	}
	if _, ok := f.Session(session); !ok {
		t.Errorf("the session ended")
	}
	if p, ok := f.Token(text); !ok || p.Admin {
		t.Errorf("the token: %+v, %v", p, ok)
	}
	f.session("bob", bobsPassword)
}

func TestAtMostTwoAtOnce(t *testing.T) {
	f := newFixture(t)
	var inside, most atomic.Int32
	release := make(chan struct{})
	f.External = func(ctx context.Context, _, _ string) (bool, error) {
		n := inside.Add(1)
		defer inside.Add(-1)
		for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
		}
		<-release
		return false, nil
	}
	var all sync.WaitGroup
	var busy atomic.Int32
	refused := make(chan struct{}, 100)
	for i := range 100 {
		all.Go(func() {
			from := netip.AddrFrom4([4]byte{10, 0, 0, byte(i)})
			if _, _, err := f.login("admin", "x", from); errors.Is(err, ErrBusy) {
				busy.Add(1)
				refused <- struct{}{}
			}
		})
	}
	for range 100 - gateSlots - gateWaiters {
		<-refused
	}
	close(release)
	all.Wait()
	if most.Load() != gateSlots || busy.Load() != 100-gateSlots-gateWaiters {
		t.Errorf("%d at once and %d refused, want %d and %d", most.Load(), busy.Load(), gateSlots, 100-gateSlots-gateWaiters)
	}
	if f.asking.inside != 0 || len(f.asking.sources) != 0 {
		t.Errorf("%d are still counted, of %d sources", f.asking.inside, len(f.asking.sources))
	}
}
