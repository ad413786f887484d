package coordinator

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/audit"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

func TestTheAuthorityIsReplacedWhileEverybodyWorks(t *testing.T) {
	t.Parallel() // a certificate lasts ten seconds at least, and so does the overlap
	h := start(t, func(c *Config) { c.Enrol.CertificateTTL = 10 * time.Second })
	m := h.machine(1)
	h.join(m)
	stream := h.session(m)
	next(t, stream)
	if _, err := h.registers(m, h.worker(m)); err != nil {
		t.Fatal(err)
	}
	hq := h.as(h.member(trust.RoleCollector, "hq"))
	hello := api.CollectorHello{Hostname: "monitor", Port: 9090, Beacon: make([]byte, 32), Bundle: h.digest()}
	if _, err := hq.Hello(t.Context(), hello); err != nil {
		t.Fatal(err)
	}
	for d := next(t, stream); d.Plan == nil || d.Plan.Instance == "" || len(d.Plan.Collectors) == 0; d = next(t, stream) {
	}
	old := h.digest()
	step := func(name string, want int) {
		t.Helper()
		if _, err := h.admin().Authority(t.Context(), name); status(err) != want {
			t.Fatalf("%s: got %v, want %d", name, err, want)
		}
	}
	step("switch", http.StatusConflict) // nothing is prepared
	step("prepare", http.StatusOK)
	step("prepare", http.StatusConflict)
	d := next(t, stream)
	if d.Bundle != h.home.bundle().pem || d.Plan != nil || d.Renew {
		t.Errorf("after prepare: %+v, want the bundle", d)
	}
	if _, err := h.admin().Authority(t.Context(), "switch"); status(err) != http.StatusConflict || !strings.Contains(err.Error(), "web") {
		t.Errorf("switch while members are behind: %v", err)
	}
	if result, err := h.worker(m).KeepAlive(t.Context(), m.alive(old)); err != nil || !result.Renewed {
		t.Fatalf("keep-alive: %+v, %v", result, err)
	}
	if d := next(t, stream); d.Bundle == "" {
		t.Errorf("one that has not taken the bundle over: %+v, want it again", d)
	}
	if _, err := h.worker(m).KeepAlive(t.Context(), m.alive(h.digest())); err != nil {
		t.Fatal(err)
	}
	if _, err := h.admin().Authority(t.Context(), "switch"); status(err) != http.StatusConflict || !strings.Contains(err.Error(), "hq") {
		t.Errorf("switch while the collector is behind: %v", err)
	}
	welcome, err := hq.Hello(t.Context(), hello)
	if err != nil || welcome.Bundle != h.home.bundle().pem || welcome.Renew {
		t.Errorf("welcome after prepare: %+v, %v", welcome, err)
	}
	hello.Bundle = h.digest()
	if _, err := hq.Hello(t.Context(), hello); err != nil {
		t.Fatal(err)
	}
	step("switch", http.StatusOK)
	if d := next(t, stream); !d.Renew || d.Plan != nil || d.Bundle != "" {
		t.Errorf("after switch: %+v, want a renewal", d)
	}
	m.member = credentialsOf(t, api.Enrolment{Certificate: m.certificate, Bundle: h.home.bundle().pem}, m.key)
	answer, err := h.worker(m).Renew(t.Context())
	if err != nil || answer.Outcome != api.Admitted {
		t.Fatalf("renewal: %+v, %v", answer, err)
	}
	former := m.member
	m.member = credentialsOf(t, answer, m.key)
	if !issuedBy(m.member.Leaf(), h.home.Issuer()) {
		t.Errorf("the new certificate is not of the new authority")
	}
	join, _ := h.token(api.TokenRequest{})
	if join.Authority != h.home.Fingerprint() || h.enrol(h.machine(2), &join).Outcome != api.Admitted {
		t.Errorf("a token made now does not name the new authority")
	}
	if welcome, err := hq.Hello(t.Context(), hello); err != nil || !welcome.Renew {
		t.Errorf("welcome after switch: %+v, %v; want a renewal", welcome, err)
	}
	step("drop", http.StatusConflict) // the overlap lasts
	open := h.channel(former.Client(trust.RoleCoordinator))
	if _, err := open.KeepAlive(t.Context(), m.alive(h.digest())); err != nil {
		t.Errorf("with a certificate of the former authority: %v", err)
	}
	overlap := h.home.Generations()[0].DropAfter
	soon(t, "the overlap is over", 15*time.Second, func() bool { return time.Now().After(overlap) })
	step("drop", http.StatusOK)
	if _, err := open.KeepAlive(t.Context(), m.alive(h.digest())); err == nil {
		t.Errorf("a certificate of the former authority is still good")
	}
	status, err := h.admin().Status(t.Context())
	if err != nil || len(status.Authorities) != 1 || status.Authorities[0].Fingerprint != h.home.Fingerprint() || status.Members != 2 {
		t.Errorf("status: %+v, %v", status, err)
	}
	for _, what := range []string{"authority.prepare", "authority.switch", "authority.drop"} {
		if e := h.audited(what); !slices.ContainsFunc(e, func(one audit.Entry) bool { return one.OK && one.From == "unix socket" }) {
			t.Errorf("audit log of %s: %+v", what, e)
		}
	}
}

func TestSwitchCanBeForced(t *testing.T) {
	h := start(t)
	m := h.machine(1)
	h.join(m)
	next(t, h.session(m))
	if _, err := h.registers(m, h.worker(m)); err != nil {
		t.Fatal(err)
	}
	if _, err := h.admin().Authority(t.Context(), "prepare"); err != nil {
		t.Fatal(err)
	}
	operator := h.http2(h.member(trust.RoleOperator, "me").Client(trust.RoleCoordinator))
	ask := func(query string) int {
		response, err := operator.Post("https://"+h.tcp+api.PrefixAdminCoordinator+api.PathAdminAuthority+"/switch"+query, "application/json", nil)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		return response.StatusCode
	}
	if got := []int{ask(""), ask("?force=1")}; got[0] != http.StatusConflict || got[1] != http.StatusOK {
		t.Errorf("got %v, want a conflict and then success", got)
	}
}

func TestTheOwnCertificateAndTheBeaconAreRenewedInTime(t *testing.T) {
	began := time.Now()
	var later time.Duration
	c := bare(t, func() time.Time { return began.Add(later) })
	leaf, voucher := c.home.credentials.Leaf(), c.home.beacon.Load().voucher
	for _, step := range []struct {
		at                  time.Duration
		renewals            uint64
		sameLeaf, sameWords bool
	}{
		{59 * time.Minute, 0, true, true},
		{time.Hour, 0, true, false},
		{111 * time.Hour, 0, true, false},
		{112 * time.Hour, 1, false, false},
		{113 * time.Hour, 1, false, false},
	} {
		later = step.at
		c.home.look()
		if got := c.home.renewals.Load(); got != step.renewals || c.home.failures.Load() != 0 {
			t.Errorf("after %v: %d renewals, %d failures; want %d", step.at, got, c.home.failures.Load(), step.renewals)
		}
		if same := c.home.credentials.Leaf().Equal(leaf); same != step.sameLeaf {
			t.Errorf("after %v: the same certificate: %v", step.at, same)
		}
		if same := c.home.beacon.Load().voucher == voucher; same != step.sameWords {
			t.Errorf("after %v: the same voucher: %v", step.at, same)
		}
	}
}

// TestACertificateOfSecondsIsRenewedInTime: the usual look would come after its
// end.
func TestACertificateOfSecondsIsRenewedInTime(t *testing.T) {
	began := time.Now().Truncate(time.Second) // as certificates tell time
	var later time.Duration
	c := bare(t, func() time.Time { return began.Add(later) })
	f := func(ttl, at, want time.Duration) {
		t.Helper()
		later, c.home.request.TTL = 0, ttl
		if err := c.home.renewCertificate(); err != nil {
			t.Fatal(err)
		}
		later = at
		if got := c.home.rest().Round(time.Second); got != want {
			t.Errorf("a certificate of %v after %v: looked at again in %v, want %v", ttl, at, got, want)
		}
	}
	f(168*time.Hour, 0, homeLook)
	f(168*time.Hour, 59*time.Minute, time.Minute) // for the beacon
	f(30*time.Second, 0, 20*time.Second)
	f(30*time.Second, 15*time.Second, 5*time.Second)
	f(30*time.Second, 40*time.Second, time.Second) // it could not be renewed
}
