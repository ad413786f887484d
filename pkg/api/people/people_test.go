package people

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/api/access"
	"github.com/cloudless-fleet/cloudless/pkg/audit"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/people"
	"github.com/cloudless-fleet/cloudless/pkg/trust/trusttest"
)

const (
	password = "correct horse battery"
	planted  = "planted-secret-0123456789"
)

// journal is a Log in memory.
type journal struct {
	mu      sync.Mutex
	entries []audit.Entry
	err     error
}

func (j *journal) Append(e audit.Entry) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.err != nil {
		return j.err
	}
	j.entries = append(j.entries, e)
	return nil
}

func (j *journal) Read(time.Time, int) ([]audit.Entry, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.entries, j.err
}

// told gives the entries as text and forgets them.
func (j *journal) told() (told []string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, e := range j.entries {
		told = append(told, strings.TrimSpace(fmt.Sprintf("%s %s %s from %s %v %s", e.Who, e.What, e.On, e.From, e.OK, e.Detail)))
	}
	j.entries = nil
	return told
}

// site is a collectord as far as users see it.
type site struct {
	t         *testing.T
	fleet     *trusttest.Fleet
	url       string
	directory *people.Directory
	journal   *journal
	log       *strings.Builder
}

func start(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, fleet: trusttest.New(t, "lab"), journal: &journal{}, log: &strings.Builder{}}
	var err error
	if s.directory, err = people.Open(t.TempDir(), people.DefaultConfig(), time.Now, rand.Reader); err != nil {
		t.Fatal(err)
	}
	guard := access.New(access.Config{Session: Session(s.directory), Token: Token(s.directory), Now: time.Now})
	mux := http.NewServeMux()
	New(Deps{Directory: s.directory, Audit: s.journal, Logger: slog.New(slog.NewTextHandler(s.log, nil)), Now: time.Now,
		Identity: func() api.FleetIdentity { return api.FleetIdentity{Fleet: "lab"} },
	}).Register(mux, func(_ string, next http.Handler) http.Handler { return guard.Wrap(next) })
	server := httptest.NewUnstartedServer(mux)
	server.Listener = tls.NewListener(server.Listener, s.fleet.Member(trust.RoleCollector, "monitor").Server([]string{"http/1.1"}, trust.ClientOptional))
	server.Start()
	t.Cleanup(server.Close)
	s.url = "https" + strings.TrimPrefix(server.URL, "http")
	return s
}

func (s *site) client(operator string) *api.Client {
	s.t.Helper()
	settings := trust.Pinned{Fleet: "lab", Authority: s.fleet.CA().Fingerprint(), Role: trust.RoleCollector, Now: time.Now}.Client("http/1.1")
	if operator != "" {
		settings = s.fleet.Member(trust.RoleOperator, operator).Client(trust.RoleCollector, "http/1.1")
	}
	transport := &http.Transport{TLSClientConfig: settings}
	s.t.Cleanup(transport.CloseIdleConnections)
	client, err := api.NewClient(s.url, &http.Client{Transport: transport})
	if err != nil {
		s.t.Fatal(err)
	}
	return client
}

func refused(t *testing.T, what string, err error, status int, want string) {
	t.Helper()
	e := (*api.Error)(nil)
	if !errors.As(err, &e) || e.Status != status || !strings.Contains(e.Text, want) {
		t.Errorf("%s: got %v, want %d with %q", what, err, status, want)
	}
}

func heard(t *testing.T, j *journal, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, j.told()); diff != "" {
		t.Errorf("audit log (-want +got):\n%s", diff)
	}
}

// TestADayOfUsers goes from the first operator's certificate to a reader's token.
func TestADayOfUsers(t *testing.T) {
	ctx, s := t.Context(), start(t)
	if identity, err := s.client("").Identity(ctx); err != nil || identity.Fleet != "lab" {
		t.Errorf("identity: got %+v, %v", identity, err)
	}
	bob := s.client("bob")
	if row, err := bob.CreateUser(ctx, api.UserRequest{Name: "alice", Password: password, Scope: api.ScopeAdmin}); err != nil || row.Name != "alice" || row.Scope != api.ScopeAdmin {
		t.Fatalf("got %+v, %v", row, err)
	}
	_, err := bob.CreateUser(ctx, api.UserRequest{Name: "alice", Password: password, Scope: api.ScopeRead})
	refused(t, "a second alice", err, 409, "already")
	heard(t, s.journal, "operator bob user.set alice from 127.0.0.1 true")

	who, session, err := s.client("").Login(ctx, "alice", password)
	if err != nil || who.Name != "alice" || who.Scope != api.ScopeAdmin || who.By != access.BySession || who.Expires.IsZero() {
		t.Fatalf("login: got %+v, %v", who, err)
	}
	alice := s.client("").WithSession(session)
	if me, err := alice.Me(ctx); err != nil || me.Name != "alice" || me.By != access.BySession {
		t.Errorf("me: got %+v, %v", me, err)
	}
	if _, err := alice.CreateUser(ctx, api.UserRequest{Name: "rita", Password: password, Scope: api.ScopeRead}); err != nil {
		t.Fatal(err)
	}
	heard(t, s.journal, "user alice login  from 127.0.0.1 true", "user alice user.set rita from 127.0.0.1 true")

	_, session, err = s.client("").Login(ctx, "rita", password)
	if err != nil {
		t.Fatal(err)
	}
	rita := s.client("").WithSession(session)
	_, err = rita.Users(ctx)
	refused(t, "a reader lists users", err, 403, "may look only")
	_, err = rita.CreateAPIToken(ctx, api.APITokenRequest{Name: "grafana", Scope: api.ScopeAdmin})
	refused(t, "a reader makes an administrator's token", err, 403, "a reader")
	made, err := rita.CreateAPIToken(ctx, api.APITokenRequest{Name: "grafana", Scope: api.ScopeRead, TTL: time.Hour.Milliseconds()})
	if err != nil || !strings.HasPrefix(made.Token, api.APITokenPrefix) || made.Owner != "rita" || made.Expires.IsZero() {
		t.Fatalf("got %+v, %v", made.APITokenRow, err)
	}
	heard(t, s.journal, "user rita login  from 127.0.0.1 true", "user rita apitoken.create "+made.ID+" from 127.0.0.1 true")

	program := s.client("").WithToken(made.Token)
	if me, err := program.Me(ctx); err != nil || me.Name != "rita" || me.By != access.ByToken || me.Token != made.ID {
		t.Errorf("me of a token: got %+v, %v", me, err)
	}
	_, err = program.CreateAPIToken(ctx, api.APITokenRequest{Name: "x", Scope: api.ScopeRead})
	refused(t, "a reader's token makes another", err, 403, "logged in")
	refused(t, "a token logs out", program.Logout(ctx), 400, "no session")

	others, err := alice.CreateAPIToken(ctx, api.APITokenRequest{Name: "x", Scope: api.ScopeAdmin})
	if err != nil {
		t.Fatal(err)
	}
	refused(t, "a reader ends somebody else's token", rita.RevokeAPIToken(ctx, others.ID), 404, "")
	owned := func(c *api.Client) (ids []string) {
		list, err := c.APITokens(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range list.Tokens {
			ids = append(ids, row.Owner)
		}
		return ids
	}
	if diff := cmp.Diff([]string{"rita"}, owned(rita)); diff != "" {
		t.Errorf("a reader's list (-want +got):\n%s", diff)
	}
	if n := len(owned(alice)); n != 2 {
		t.Errorf("an administrator's list has %d", n)
	}
	if err := program.RevokeAPIToken(ctx, made.ID); err != nil { // as `cloudlessctl logout` does
		t.Error(err)
	}
	_, err = program.Me(ctx)
	refused(t, "a revoked token", err, 401, "unknown or revoked")

	if err := rita.Logout(ctx); err != nil {
		t.Error(err)
	}
	_, err = rita.Me(ctx)
	refused(t, "after logout", err, 401, "log in")
	heard(t, s.journal, "user alice apitoken.create "+others.ID+" from 127.0.0.1 true",
		"token "+made.ID+" of rita apitoken.revoke "+made.ID+" from 127.0.0.1 true", "user rita logout  from 127.0.0.1 true")

	if err := alice.SetPassword(ctx, "rita", password+"!"); err != nil {
		t.Error(err)
	}
	if row, err := alice.CreateUser(ctx, api.UserRequest{Name: "rita", Scope: api.ScopeAdmin}); err != nil || row.Scope != api.ScopeAdmin {
		t.Errorf("another scope: got %+v, %v", row, err)
	}
	if list, err := alice.Users(ctx); err != nil || len(list.Users) != 2 {
		t.Errorf("users: got %+v, %v", list, err)
	}
	if err := bob.RemoveUser(ctx, "alice"); err != nil {
		t.Error(err)
	}
	_, err = alice.Me(ctx)
	refused(t, "a removed user's session", err, 401, "log in")
	refused(t, "an unknown user", bob.RemoveUser(ctx, "nobody"), 404, "no such user")
	heard(t, s.journal, "user alice user.set rita from 127.0.0.1 true", "user alice user.set rita from 127.0.0.1 true",
		"operator bob user.remove alice from 127.0.0.1 true")
	if s.log.Len() != 0 {
		t.Errorf("log: %s", s.log)
	}
}

// TestSecretsStandInNoAnswerAndNoLog but where they are made.
func TestSecretsStandInNoAnswerAndNoLog(t *testing.T) {
	ctx, s := t.Context(), start(t)
	bob := s.client("bob")
	f := func(what string, err error) {
		t.Helper()
		if err == nil || strings.Contains(err.Error(), planted) {
			t.Errorf("%s: got %v", what, err)
		}
	}
	_, err := bob.CreateUser(ctx, api.UserRequest{Name: "alice", Password: password, Scope: api.ScopeRead})
	if err != nil {
		t.Fatal(err)
	}
	s.journal.told()
	_, _, err = s.client("").Login(ctx, "alice", planted)
	f("login", err)
	heard(t, s.journal, "user alice login.failed  from 127.0.0.1 false wrong name or password")
	for _, typed := range []string{planted + " ", planted, "cloudless-admin-" + planted} { // into the wrong field
		_, _, err = s.client("").Login(ctx, typed, "x")
		f("login", err)
		heard(t, s.journal, "somebody login.failed  from 127.0.0.1 false wrong name or password")
	}
	_, err = bob.CreateUser(ctx, api.UserRequest{Name: planted + " ", Password: password, Scope: api.ScopeRead})
	f("user", err)
	_, err = bob.CreateUser(ctx, api.UserRequest{Name: "alice", Password: password, Scope: api.Scope(planted)})
	f("scope", err)
	f("token in place of its id", bob.RevokeAPIToken(ctx, api.APITokenPrefix+planted))
	f("name in the path", bob.RemoveUser(ctx, planted+" "))
	_, err = s.client("").WithToken(api.APITokenPrefix + planted).Me(ctx)
	f("token", err)
	_, err = s.client("").WithSession(planted).Me(ctx)
	f("session", err)
	if strings.Contains(s.log.String(), planted) {
		t.Errorf("log: %s", s.log)
	}
}

func TestWhatCannotBeRecordedIsTakenBack(t *testing.T) {
	ctx, s := t.Context(), start(t)
	bob := s.client("bob")
	if _, err := bob.CreateUser(ctx, api.UserRequest{Name: "alice", Password: password, Scope: api.ScopeAdmin}); err != nil {
		t.Fatal(err)
	}
	s.journal.err = errors.New("disk full")
	_, _, err := s.client("").Login(ctx, "alice", password)
	refused(t, "login", err, 503, "audit log")
	_, err = bob.CreateAPIToken(ctx, api.APITokenRequest{Name: "x", Scope: api.ScopeAdmin})
	refused(t, "token", err, 503, "audit log")
	if stats := s.directory.Stats(); stats.Sessions != 0 || stats.Tokens != 0 {
		t.Errorf("left behind: %+v", stats)
	}
	refused(t, "user", bob.RemoveUser(ctx, "alice"), 503, "done all the same")
}

func TestTheAuditLogIsRead(t *testing.T) {
	s := start(t)
	s.journal.entries = []audit.Entry{{What: audit.Login, Who: "user alice"}}
	if log, err := s.client("bob").WebAudit(t.Context(), time.Time{}, 0); err != nil || len(log.Entries) != 1 {
		t.Errorf("got %+v, %v", log, err)
	}
}

// failing is a Directory whose every call fails.
type failing struct {
	Directory
	err error
}

func (f failing) Login(context.Context, string, string, netip.Addr) (string, people.Principal, error) {
	return "", people.Principal{}, f.err
}

func (failing) Users() []people.User { return nil }

func TestErrorsOfTheDirectory(t *testing.T) {
	now := time.Unix(1000, 0)
	f := func(err error, status int, retry string) {
		t.Helper()
		j := &journal{}
		h := New(Deps{Directory: failing{err: err}, Audit: j, Logger: slog.New(slog.DiscardHandler), Now: func() time.Time { return now }})
		w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, api.PathLogin, strings.NewReader(`{"name":"Alice","password":"`+planted+`"}`))
		h.login(w, r)
		if w.Code != status || w.Header().Get("Retry-After") != retry || strings.Contains(w.Body.String(), planted) {
			t.Errorf("%v: got %d %q %s", err, w.Code, w.Header().Get("Retry-After"), w.Body)
		}
		if tried := errors.Is(err, people.ErrWrong) || errors.Is(err, people.ErrLocked); tried != (len(j.told()) == 1) {
			t.Errorf("%v: audit log", err)
		}
	}
	f(people.ErrWrong, 401, "")
	f(&people.LockedError{Until: now.Add(90 * time.Second)}, 429, "91")
	f(&people.LockedError{Until: now}, 429, "1")
	f(people.ErrBusy, 429, "")
	f(people.ErrFull, 409, "")
	f(people.ErrInput, 400, "")
	f(errors.New("https://"+planted+" cannot be reached"), 503, "")
}

func TestErrorsOfChanges(t *testing.T) {
	h := New(Deps{Now: time.Now})
	for err, status := range map[error]int{people.ErrNoUser: 404, people.ErrNoToken: 404, people.ErrScope: 403, people.ErrFull: 409,
		people.ErrInput: 400, people.ErrBusy: 429, errors.New("disk full"): 500} {
		w := httptest.NewRecorder()
		if h.failed(w, fmt.Errorf("set user: %w", err)); w.Code != status {
			t.Errorf("%v: got %d %s, want %d", err, w.Code, w.Body, status)
		}
	}
}

func FuzzBodies(f *testing.F) {
	for _, seed := range []string{`{"name":"alice","password":"x"}`, `{"name":"x","scope":"read","ttl_ms":5}`, `{"name":"x","scope":"admin","password":"0123456789"}`, `{"password":"x"}`, `{}`} {
		for which := range uint8(4) {
			f.Add(which, seed)
		}
	}
	h := New(Deps{Directory: failing{Directory: nobody{}, err: people.ErrWrong}, Audit: &journal{err: errors.New("none")}, Logger: slog.New(slog.DiscardHandler), Now: time.Now})
	f.Fuzz(func(t *testing.T, which uint8, body string) {
		w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		r.SetPathValue("name", "alice")
		[]http.HandlerFunc{h.login, h.createToken, h.setUser, h.setPassword}[which%4](w, r)
		if w.Code == http.StatusOK || w.Code == http.StatusInternalServerError {
			t.Errorf("%q: got %d %s", body, w.Code, w.Body)
		}
	})
}

// nobody is a directory without users that takes no new ones.
type nobody struct{ Directory }

func (nobody) Users() []people.User                                { return nil }
func (nobody) SetUser(context.Context, string, string, bool) error { return people.ErrInput }
func (nobody) SetPassword(context.Context, string, string) error   { return people.ErrNoUser }
func (nobody) CreateToken(people.TokenSpec) (people.APIToken, people.Token, error) {
	return people.APIToken{}, people.Token{}, people.ErrInput
}
