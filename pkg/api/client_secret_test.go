package api

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

const planted = "planted-secret-0123456789"

// TestSecretsGoOverHTTPSOnly, and stand in no error.
func TestSecretsGoOverHTTPSOnly(t *testing.T) {
	asked := false
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	defer server.Close()
	client, err := NewClient(server.URL, server.Client())
	if err != nil {
		t.Fatal(err)
	}
	admin, err := NewAdminClient(server.URL, PrefixAdminCollector, server.Client())
	if err != nil {
		t.Fatal(err)
	}
	f := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, ErrClear) || strings.Contains(err.Error(), planted) {
			t.Errorf("%s: got %v, want ErrClear", what, err)
		}
	}
	_, _, err = client.Login(t.Context(), "alice", planted)
	f("login", err)
	_, err = client.WithToken(planted).Workers(t.Context())
	f("token", err)
	_, err = client.WithSession(planted).Me(t.Context())
	f("session", err)
	_, err = client.CreateUser(t.Context(), UserRequest{Name: "bob", Password: planted, Scope: ScopeRead})
	f("user", err)
	f("password", client.SetPassword(t.Context(), "bob", planted))
	_, err = admin.CheckSecret(t.Context(), planted)
	f("admin secret", err)
	_, err = admin.WithToken(planted).Members(t.Context())
	f("token of an administrator", err)
	if asked {
		t.Error("something was sent")
	}
}

func TestATokenDoesNotFollowARedirect(t *testing.T) {
	var got string
	other := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got = r.Header.Get("Authorization") + r.Header.Get("Cookie")
	}))
	defer other.Close()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://elsewhere.example"+r.URL.Path, http.StatusTemporaryRedirect)
	}))
	defer server.Close()
	admin, err := NewAdminClient(server.URL, PrefixAdminCollector, server.Client())
	if err != nil {
		t.Fatal(err)
	}
	_, err = admin.WithToken(planted).Members(t.Context())
	refused := (*Error)(nil)
	if !errors.As(err, &refused) || refused.Status != http.StatusTemporaryRedirect || got != "" {
		t.Errorf("got %v, and %q elsewhere", err, got)
	}
}

func TestLoginReturnsTheSessionOfTheCookie(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case PathLogin:
			http.SetCookie(w, &http.Cookie{Name: SessionCookie, Value: planted, Path: "/", Secure: true})
			_, _ = w.Write([]byte(`{"name":"alice","scope":"admin","by":"session"}`))
		case PathMe:
			if cookie, err := r.Cookie(SessionCookie); err != nil || cookie.Value != planted {
				t.Errorf("cookie: got %v, %v", cookie, err)
			}
			_, _ = w.Write([]byte(`{"name":"alice"}`))
		}
	}))
	defer server.Close()
	client, err := NewClient(server.URL, server.Client())
	if err != nil {
		t.Fatal(err)
	}
	who, session, err := client.Login(t.Context(), "alice", "x")
	if err != nil || who.Name != "alice" || who.Scope != ScopeAdmin || session != planted {
		t.Fatalf("got %+v, %v", who, err)
	}
	if me, err := client.WithSession(session).Me(t.Context()); err != nil || me.Name != "alice" {
		t.Errorf("got %+v, %v", me, err)
	}
}

// TestAnswersToWorkersAreBounded: a machine that enrols does not know yet who
// answers.
func TestAnswersToWorkersAreBounded(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(strings.Repeat(" ", maxMemberAnswer+1)))
	}))
	defer server.Close()
	client, err := NewMemberClient(server.URL, server.Client())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Renew(t.Context()); err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("got %v", err)
	}
}

func TestAuditIsAskedForAPiece(t *testing.T) {
	client, request, form := answering(t, 200, `{"entries":[]}`)
	if _, err := client.WebAudit(t.Context(), time.Unix(0, 0), 7); err != nil {
		t.Fatal(err)
	}
	if request.URL.Path != PathWebAudit || form.Get("limit") != "7" || form.Get("since") != "1970-01-01T00:00:00Z" {
		t.Errorf("request %s %v", request.URL, form)
	}
}
