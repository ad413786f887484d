package collector

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/trusttest"
)

// everyPath is what is served; true: to members of the fleet that may look at
// it only.
func everyPath() map[string]bool {
	return map[string]bool{
		api.PathReady:              false,
		api.PathHealthy:            false,
		api.PathQuery + "?query=1": true,
		api.PathQueryRange + "?query=1&start=1&end=2&step=1": true,
		api.PathLabels: true,
		strings.Replace(api.PathLabelValues, "{name}", "job", 1):  true,
		api.PathSeries + "?match[]=" + url.QueryEscape("{a='b'}"): true,
		api.PathMetadata:                            true,
		api.PathBuildInfo:                           true,
		api.PathFleetWorkers:                        true,
		api.PathFleetWorkers + "/" + id(1).String(): true,
		api.PathIdentity:                            false,
		api.PathMe:                                  true,
		api.PathAPITokens:                           true,
	}
}

func TestWhoMayLook(t *testing.T) {
	fleet := trusttest.New(t, "lab")
	c := newCollector(t, fleet, newOffice(row(1, registered)))
	f := func(who *trust.Credentials, want int, text string) {
		t.Helper()
		caller, _ := c.as(t, fleet, who)
		for path, closed := range everyPath() {
			status, body := ask(t, caller, c.address()+path)
			switch {
			case !closed && status != http.StatusOK:
				t.Errorf("%s: got %d %s, want 200 for everybody", path, status, body)
			case closed && (status != want || !strings.Contains(body, text)):
				t.Errorf("%s: got %d %s, want %d with %q", path, status, body, want, text)
			}
		}
	}
	f(nil, http.StatusUnauthorized, "log in, send an API token")
	f(fleet.Member(trust.RoleWorker, id(1).String()), http.StatusForbidden, "a worker may not look at the fleet")
	f(fleet.Member(trust.RoleOperator, "me"), http.StatusOK, "")
	f(fleet.Member(trust.RoleCollector, "hq"), http.StatusOK, "")
	f(fleet.Member(trust.RoleCoordinator, "hq"), http.StatusOK, "")
}

func ask(t *testing.T, caller *http.Client, address string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := caller.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// A path that nobody has is answered like the others: to members only, and in
// the envelope.
func TestNowhere(t *testing.T) {
	fleet := trusttest.New(t, "lab")
	c := newCollector(t, fleet, newOffice(row(1, registered)))
	stranger, _ := c.as(t, fleet, nil)
	operator, _ := c.as(t, fleet, fleet.Member(trust.RoleOperator, "me"))
	for _, path := range []string{"/", "/metrics", "/api/v2"} {
		if status, body := ask(t, stranger, c.address()+path); status != http.StatusUnauthorized {
			t.Errorf("%s without a certificate: got %d %s, want 401", path, status, body)
		}
		status, body := ask(t, operator, c.address()+path)
		if status != http.StatusNotFound || !strings.Contains(body, `"errorType":"not_found"`) {
			t.Errorf("%s: got %d %s, want 404 in the envelope", path, status, body)
		}
	}
}

// TestStrangersDoNotGetThrough: a certificate of another fleet is worse than none.
func TestStrangersDoNotGetThrough(t *testing.T) {
	fleet := trusttest.New(t, "lab")
	c := newCollector(t, fleet, newOffice())
	stranger := trusttest.New(t, "lab").Member(trust.RoleOperator, "me").Client(trust.RoleCollector)
	stranger.InsecureSkipVerify, stranger.VerifyConnection = true, nil // he does not mind whom he speaks with
	caller := &http.Client{Transport: &http.Transport{TLSClientConfig: stranger}}
	response, err := caller.Get(c.address() + api.PathReady)
	if err == nil {
		response.Body.Close()
		t.Errorf("got %s, want no connection", response.Status)
	}
}

func TestWithoutTLSNobodyMayLook(t *testing.T) {
	c := newCollector(t, trusttest.New(t, "lab"), newOffice())
	w := httptest.NewRecorder()
	c.handler(c.queries, fleetRows{c.view, c.store, c.now}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, api.PathQuery, nil))
	if w.Code != http.StatusUnauthorized || !strings.Contains(w.Body.String(), "use HTTPS") {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}
