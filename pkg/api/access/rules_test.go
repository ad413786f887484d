package access

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
)

// allow says whether a principal of the scope may send the request, by the rules
// alone.
func allow(scope api.Scope, request *http.Request) bool {
	switch newRules(Rules()).need(request) {
	case Admin:
		return scope == api.ScopeAdmin
	case Read:
		return scope == api.ScopeAdmin || scope == api.ScopeRead
	}
	return true
}

func TestWhatAReaderMay(t *testing.T) {
	may := func(call string, want bool) {
		t.Helper()
		method, path, _ := strings.Cut(call, " ")
		r := httptest.NewRequest(method, path, nil)
		if got := allow(api.ScopeRead, r); got != want {
			t.Errorf("%s: a reader may: got %v", call, got)
		}
		if !allow(api.ScopeAdmin, r) {
			t.Errorf("%s: an administrator may not", call)
		}
	}
	for _, path := range []string{api.PathQuery, api.PathQueryRange, api.PathLabels, api.PathSeries} {
		may("GET "+path, true)
		may("HEAD "+path, true)
		may("POST "+path, true)
		may("PUT "+path, false)
		may("DELETE "+path, false)
	}
	may("GET /api/v1/label/job/values", true)
	may("POST /api/v1/label/job/values", false)
	may("GET /api/v1/metadata", true)
	may("GET /api/v1/rules", true) // a 404
	may("POST /api/v1/admin/tsdb/delete_series", false)
	may("GET /api/fleet/workers", true)
	may("GET /api/fleet/workers/01000000-0000-4000-8000-000000000000", true)
	may("DELETE /api/fleet/workers/01000000-0000-4000-8000-000000000000", false)
	may("GET /api/fleet/gaps", true)
	may("DELETE /api/fleet/gaps", false)
	may("GET /api/auth/me", true)
	may("POST /api/auth/logout", true)
	may("GET /api/auth/tokens", true)
	may("POST /api/auth/tokens", true)
	may("DELETE /api/auth/tokens/0123456789abcdef", true)
	may("GET /api/auth/users", false)
	may("POST /api/auth/users", false)
	may("POST /api/auth/users/rita/password", false)
	may("GET /api/auth/audit", false)
	for _, path := range []string{"/fleet", "/tokens", "/pending", "/members", "/revoked", "/audit", "/issue"} {
		may("GET "+api.PrefixAdminCollector+path, false)
		may("POST "+api.PrefixAdminCollector+path, false)
	}
	// What is on no list.
	may("GET /", false)
	may("GET /metrics", false)
	may("GET /api/auth/metadata", false)
	may("OPTIONS "+api.PathQuery, false)
	// Other spellings of a path that he may not.
	may("GET //api/auth/users", false)
	may("GET /api/v1/../auth/users", false)
	may("GET /api/v1/%2e%2e/auth/users", true) // a 404: routers take it for one of /api/v1/
	may("GET /api/fleet/workers/../../auth/users", false)
}

func TestMoreRulesAreAdded(t *testing.T) {
	r := newRules(append(Rules(), Rule{"GET /assets/", Nothing}, Rule{"GET /{$}", Origin}))
	f := func(call string, want Need) {
		t.Helper()
		method, path, _ := strings.Cut(call, " ")
		if got := r.need(httptest.NewRequest(method, path, nil)); got != want {
			t.Errorf("%s: got %d, want %d", call, got, want)
		}
	}
	f("GET /assets/app.js", Nothing)
	f("GET /", Origin)
	f("GET /x", Admin)
	f("POST /assets/app.js", Admin)
}

func TestTheCookie(t *testing.T) {
	w := httptest.NewRecorder()
	SetSession(w, "abc", api.Principal{Expires: time.Unix(1e9, 0)})
	if got, want := w.Header().Get("Set-Cookie"), "__Host-cloudless=abc; Path=/; Expires=Sun, 09 Sep 2001 01:46:40 GMT; HttpOnly; Secure; SameSite=Strict"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	w = httptest.NewRecorder()
	SetSession(w, "", api.Principal{})
	if got, want := w.Header().Get("Set-Cookie"), "__Host-cloudless=; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Strict"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// FuzzHost: no name but ours, however it is spelled, unless it is an address.
func FuzzHost(f *testing.F) {
	for _, seed := range []string{"monitor.example", "monitor.example:9090", "[::1]:1", "127.0.0.1", "", "*.lab.example", "a.lab.example.", "[", ":"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		if !knownHost(header, []string{"monitor.example", "*.lab.example", ""}) {
			return
		}
		host := hostOf(header)
		_, err := netip.ParseAddr(host)
		if err != nil && host != "localhost" && host != "monitor.example" && !strings.HasSuffix(host, ".lab.example") {
			t.Errorf("%q is taken for a name of ours (%q)", header, host)
		}
	})
}

// FuzzReader: however a path is spelled, no request of a reader is routed to what
// is for administrators.
func FuzzReader(f *testing.F) {
	for _, path := range []string{"api/v1/query", "api/auth/users", "api/v1/%2e%2e/auth/users", "api/v1/../auth/users", "api/auth/users/rita/password", "api%2fauth/users", "/api//admin/tokens"} {
		f.Add("GET", path)
		f.Add("POST", path)
	}
	guard := New(config())
	mux := http.NewServeMux()
	reached := ""
	for _, pattern := range []string{"GET " + api.PathUsers, "POST " + api.PathUsers, "DELETE " + api.PathUsers + "/{name}", "POST " + api.PathUsers + "/{name}/password",
		"GET " + api.PathWebAudit, "GET " + api.PrefixAdminCollector + "/tokens", "POST " + api.PrefixAdminCollector + "/tokens", "/"} {
		mux.Handle(pattern, guard.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = pattern })))
	}
	for _, rule := range Rules() {
		mux.Handle(rule.Pattern, guard.Wrap(http.NotFoundHandler()))
	}
	f.Fuzz(func(t *testing.T, method, path string) {
		r, err := http.NewRequest(method, "https://x/"+path, nil)
		if err != nil {
			return
		}
		r.TLS, r.RemoteAddr = &tls.ConnectionState{HandshakeComplete: true}, "192.0.2.1:1"
		r.Header.Set("Authorization", "Bearer "+readerToken)
		reached = ""
		mux.ServeHTTP(httptest.NewRecorder(), r)
		if reached != "" {
			t.Errorf("%s %q: a reader got to %s", method, path, reached)
		}
	})
}

// FuzzRequest: no request without credentials gets to more than what is open.
func FuzzRequest(f *testing.F) {
	f.Add("GET", "/api/v1/query", "monitor.example", "")
	f.Add("POST", "/api/auth/login", "x", "Bearer x")
	f.Add("GET", "/-/healthy/../../api/auth/users", "x", "")
	f.Fuzz(func(t *testing.T, method, path, host, authorization string) {
		r, err := http.NewRequest(method, "https://x/"+strings.TrimPrefix(path, "/"), nil)
		if err != nil {
			return
		}
		r.Host, r.RemoteAddr = host, "192.0.2.1:1"
		if authorization != "" {
			r.Header.Set("Authorization", authorization)
		}
		guard := New(Config{Now: time.Now})
		guard.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case api.PathHealthy, api.PathReady, api.PathIdentity, api.PathLogin:
			default:
				t.Errorf("%s %q passed", method, path)
			}
		})).ServeHTTP(httptest.NewRecorder(), r)
	})
}
