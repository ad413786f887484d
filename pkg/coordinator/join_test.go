package coordinator

import (
	"bytes"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/admission"
	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/pairing"
	"github.com/cloudless-fleet/cloudless/pkg/trust/trusttest"
)

func TestATokenLetsMachinesInAndNobodyElse(t *testing.T) {
	h := start(t)
	join, created := h.token(api.TokenRequest{Uses: 1, Labels: map[string]string{"rack": "7"}})
	if join.Authority != h.home.Fingerprint() || len(join.Addresses) != 1 || join.Addresses[0] != h.tcp {
		t.Errorf("the token is for %s at %v, want %s at %s", join.Authority, join.Addresses, h.home.Fingerprint(), h.tcp)
	}
	first := h.machine(1)
	for range 3 { // its answers get lost
		if answer := h.enrol(first, &join); answer.Outcome != api.Admitted || answer.Fleet != h.home.Fleet() {
			t.Fatalf("the first: %+v", answer)
		}
		first.member = nil
	}
	list, err := h.admin().Tokens(t.Context())
	if err != nil || len(list.Tokens) != 1 || list.Tokens[0].Used != 1 || list.Tokens[0].State != "used_up" {
		t.Errorf("tokens: %+v, %v; want one, used once", list, err)
	}
	if e := h.audited("enrol"); len(e) != 1 || e[0].Who != "token "+created.ID || e[0].On != first.id.String() || e[0].From != "127.0.0.1" {
		t.Errorf("audit log: %+v, want one enrolment by the token", e)
	}
	refused := func(n byte, text, reason string) {
		t.Helper()
		if answer := h.enrol(h.machine(n), &join); answer.Outcome != api.Refused || answer.Reason != reason || answer.Certificate != "" {
			t.Errorf("%s: %+v, want %s", text, answer, reason)
		}
	}
	refused(2, "a used token", "token_used_up")
	join, created = h.token(api.TokenRequest{TTL: 1000})
	soon(t, "the token expires", 5*time.Second, func() bool { return time.Now().After(created.Expires) })
	refused(3, "an expired token", "token_expired")
	join, created = h.token(api.TokenRequest{})
	if err := h.admin().RevokeToken(t.Context(), created.ID); err != nil {
		t.Fatal(err)
	}
	refused(4, "a revoked token", "token_revoked")

	stolen := h.machine(1) // the id of the first, another key
	join, _ = h.token(api.TokenRequest{})
	if answer := h.enrol(stolen, &join); answer.Reason != "identity_in_use" {
		t.Errorf("somebody else's id: %+v", answer)
	}
	if m, ok := h.desk.Member(first.id); !ok || m.Labels["rack"] != "7" || len(h.desk.Members()) != 1 {
		t.Errorf("members: %+v", h.desk.Members())
	}
	if len(h.audited("enrol.refused")) == 0 {
		t.Errorf("refusals are not in the audit log")
	}
	if logs := h.logs.String(); strings.Contains(logs, join.Reveal()) || strings.Contains(logs, strings.TrimPrefix(join.Reveal(), "cloudless_join1_")) {
		t.Errorf("the log holds a token")
	}
}

func TestABearerOfATokenTellsARogueNothing(t *testing.T) {
	h := start(t)
	join, _ := h.token(api.TokenRequest{})
	rogue := start(t, func(c *Config) { c.Fleet = join.Fleet })
	client := rogue.channel(trust.Pinned{Fleet: join.Fleet, Authority: join.Authority, Now: time.Now}.Client())
	if _, err := client.Enrol(t.Context(), h.machine(1).request(t, &join)); err == nil || status(err) != 0 {
		t.Errorf("got %v, want no connection", err)
	}
	if n := rogue.desk.Stats().Enrolments; len(n) != 0 {
		t.Errorf("the rogue has heard something: %v", n)
	}
}

func TestAReplayedEnrolmentIsGoodForItsOwnerOnly(t *testing.T) {
	h := start(t)
	join, _ := h.token(api.TokenRequest{})
	m := h.machine(1)
	body, err := m.request(t, &join).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	client := h.http2(h.anonymous())
	var answers []string
	for range 2 {
		response, err := client.Post("https://"+h.tcp+api.PathEnrol, "application/json", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(response.Body)
		response.Body.Close()
		answers = append(answers, string(text))
		if response.StatusCode != 200 || !strings.Contains(string(text), `"admitted"`) {
			t.Fatalf("got %d %s", response.StatusCode, text)
		}
	}
	if len(h.desk.Members()) != 1 || h.desk.Tokens()[0].UsesLeft != 0 || len(h.desk.Tokens()[0].Uses) != 1 || len(h.audited("enrol")) != 1 {
		t.Errorf("the replay was counted: %+v", h.desk.Tokens())
	}
	changed := bytes.Replace(body, []byte(`"hostname":"web"`), []byte(`"hostname":"wed"`), 1)
	response, err := client.Post("https://"+h.tcp+api.PathEnrol, "application/json", bytes.NewReader(changed))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if text, _ := io.ReadAll(response.Body); !strings.Contains(string(text), "bad_signature") {
		t.Errorf("a changed request: %s", text)
	}
}

func TestApproval(t *testing.T) {
	h := start(t)
	m, other := h.machine(1), h.machine(2)
	answer := h.enrol(m, nil)
	if answer.Outcome != api.Pending || answer.Code != pairing.Of(h.keyOf(m)).String() || answer.RetryAfter == 0 || answer.Certificate != "" {
		t.Fatalf("got %+v, want pending", answer)
	}
	h.enrol(m, nil)
	h.enrol(other, nil)
	waiting, err := h.admin().Pending(t.Context())
	if err != nil || len(waiting.Pending) != 2 {
		t.Fatalf("waiting: %+v, %v", waiting, err)
	}
	if e := h.audited("enrol.pending"); len(e) != 2 {
		t.Errorf("audit log: %+v, want each machine once", e)
	}
	member, err := h.admin().Approve(t.Context(), api.Approval{Who: answer.Code, Labels: map[string]string{"site": "lab"}})
	if err != nil || member.ID != m.id || member.By != "operator root" && !strings.HasPrefix(member.By, "operator ") {
		t.Errorf("approved: %+v, %v", member, err)
	}
	if answer := h.enrol(m, nil); answer.Outcome != api.Admitted {
		t.Errorf("after approval: %+v", answer)
	}
	if err := h.admin().Reject(t.Context(), api.Rejection{Who: other.id.String(), Reason: "unknown"}); err != nil {
		t.Error(err)
	}
	if answer := h.enrol(other, nil); answer.Outcome != api.Refused || answer.Reason != admission.ReasonRejected {
		t.Errorf("after rejection: %+v", answer)
	}
	if _, err := h.admin().Approve(t.Context(), api.Approval{Who: id(9).String()}); status(err) != http.StatusNotFound {
		t.Errorf("nobody of that id: %v", err)
	}
	for _, what := range []string{"approve", "reject"} {
		if e := h.audited(what); len(e) == 0 || !e[0].OK || e[0].From != "unix socket" {
			t.Errorf("audit log of %s: %+v", what, e)
		}
	}
}

func TestAutoApprovalBySubnetAndLabel(t *testing.T) {
	h := start(t, func(c *Config) {
		c.Enrol.AutoApprove = []admission.Policy{{Subnets: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Assign: map[string]string{"site": "lab"}}}
	})
	if answer := h.enrol(h.machine(1), nil); answer.Outcome != api.Admitted {
		t.Errorf("got %+v", answer)
	}
	if e := h.audited("enrol"); len(e) != 1 || e[0].Who != "policy 1" {
		t.Errorf("audit log: %+v", e)
	}
}

// Without a certificate there are two doors, and with a foreign one none.
func TestEachPathWithoutACertificate(t *testing.T) {
	h := start(t)
	client := h.http2(h.anonymous())
	for _, path := range []string{api.PathRenew, api.PathRegister, api.PathKeepAlive, api.PathSession, api.PathLeave,
		api.PathControlWorkers, api.PathControlContacts, api.PathControlStats, api.PathControlRevocations, api.PathControlCollector,
		api.PrefixAdminCoordinator + api.PathAdminFleet, api.PrefixAdminCoordinator + api.PathAdminTokens, api.PrefixAdminCoordinator + api.PathAdminIssue,
		api.PrefixAdminCoordinator + api.PathAdminSecret, api.PrefixAdminCoordinator + api.PathAdminAudit, "/", "/v1/enrol/", "//v1/enrol", "/v1/admin/../enrol/x", "/debug/pprof/"} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			request, err := http.NewRequestWithContext(t.Context(), method, "https://"+h.tcp+path, strings.NewReader("{}"))
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set(api.HeaderActor, "root from 127.0.0.1")
			response, err := client.Do(request)
			if err != nil {
				t.Errorf("%s %s: %v", method, path, err)
				continue
			}
			response.Body.Close()
			if response.StatusCode != http.StatusUnauthorized {
				t.Errorf("%s %s: %d, want 401", method, path, response.StatusCode)
			}
		}
	}
	foreign := trusttest.New(t, h.home.Fleet()).Member(trust.RoleWorker, id(1).String())
	config := foreign.Client(trust.RoleCoordinator)
	config.RootCAs = h.anonymous().RootCAs // it trusts us; we do not know it
	config.VerifyConnection = nil
	if _, err := h.channel(config).Renew(t.Context()); err == nil || status(err) != 0 {
		t.Errorf("the certificate of another fleet of the same name: got %v, want no connection", err)
	}
}
