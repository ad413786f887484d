package admin

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/api"
)

// FuzzBodies: whatever is sent, the answer is one of the closed set and the
// office hears only what was checked.
func FuzzBodies(f *testing.F) {
	paths := []string{"/tokens", "/approve", "/reject", "/revoke", "/readmit", "/forget", "/issue", "/secret", "/web", "/secret/reset", "/authority/drop"}
	for i, seed := range []string{`{"ttl_ms":5,"uses":2,"labels":{"a":"b"},"addresses":["c:1"]}`, `{"who":"bamod-lusit-nopaz-tigol"}`, `{"who":"x","reason":"y"}`,
		`{"worker":"web1","clones":true}`, `{"worker":"web1"}`, `{"worker":""}`, `{"role":"operator","name":"bob","public_key":"AAAA"}`, `{"secret":"x"}`,
		`{"public_key":"AAAA","hosts":["x"]}`, `{}`, ``} {
		f.Add(uint8(i), seed)
	}
	mux := http.NewServeMux()
	New(&noting{}, asAlways(root), slog.New(slog.DiscardHandler)).Register(mux, api.PrefixAdminCoordinator, plain)
	f.Fuzz(func(t *testing.T, which uint8, body string) {
		w := httptest.NewRecorder()
		path := api.PrefixAdminCoordinator + paths[int(which)%len(paths)]
		mux.ServeHTTP(w, httptest.NewRequest(http.MethodPost, path, strings.NewReader(body)))
		if w.Code != http.StatusOK && w.Code != http.StatusBadRequest && w.Code != http.StatusRequestEntityTooLarge {
			t.Errorf("%s %q: got %d %s", path, body, w.Code, w.Body)
		}
	})
}
