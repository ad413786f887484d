package admission

import (
	"crypto/ed25519"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudless-fleet/cloudless/pkg/trust/pairing"
)

func TestApproval(t *testing.T) {
	o := newOffice(t, testConfig())
	m := machineOf(1)
	m.labels = map[string]string{"role": "web"}
	a := o.want(o.enrol(m, nil), OutcomePending, "")
	if a.Code != pairing.Of(m.public()) || a.RetryAfter <= 0 || a.RetryAfter > time.Minute {
		t.Errorf("pending: code %s, again after %v", a.Code, a.RetryAfter)
	}
	o.pass(10 * time.Second)
	o.want(o.enrol(m, nil), OutcomePending, "")
	want := []Pending{{ID: m.id, Key: m.public(), Code: a.Code, Hostname: "web-1", From: m.from, Labels: m.labels,
		Since: start(), Seen: start().Add(10 * time.Second)}}
	if diff := cmp.Diff(want, o.Pending(), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("pending (-want +got):\n%s", diff)
	}
	if o.Key(m.id) != nil {
		t.Error("its key counts already")
	}
	got, err := o.Approve(strings.ToUpper(a.Code.String()), map[string]string{"site": "lab"}, "alice")
	if err != nil || got.By != "operator alice" || got.Labels["site"] != "lab" || got.Labels["role"] != "" {
		t.Fatalf("approved: %+v, %v", got, err)
	}
	if len(o.Pending()) != 0 {
		t.Error("it still waits")
	}
	o.crash()
	admitted := o.want(o.enrol(m, nil), OutcomeAdmitted, "")
	if admitted.New || admitted.Member.By != "operator alice" {
		t.Errorf("admitted: %+v", admitted)
	}
}

func TestApproveNamesWhomItMeans(t *testing.T) {
	o := newOffice(t, testConfig())
	one, two, three := machineOf(1), machineOf(2), machineOf(3)
	two.id = one.id // somebody claims the id of another one
	code := o.enrol(one, nil).Code
	o.enrol(two, nil)
	o.enrol(three, nil)
	approve := func(who string, want error) {
		t.Helper()
		if _, err := o.Approve(who, nil, "alice"); !errors.Is(err, want) || want == nil && err != nil {
			t.Errorf("approve %q: %v, want %v", who, err, want)
		}
	}
	approve(one.id.String(), ErrAmbiguous)
	approve(testID(99).String(), ErrNotPending)
	approve("babab-babab-babab-babab", ErrNotPending)
	approve("web-1", ErrWho)
	if _, err := o.Approve(code.String(), map[string]string{"not a name": "x"}, "alice"); err == nil {
		t.Error("approved with a label that cannot be")
	}
	approve(" "+code.String()+"\n", nil)
	approve(three.id.String(), nil)
	approve(three.id.String(), ErrNotPending)
	o.want(o.enrol(one, nil), OutcomeAdmitted, "")
	o.want(o.enrol(two, nil), OutcomeRefused, "identity_in_use")
	if waiting := o.Pending(); len(waiting) != 0 {
		t.Errorf("still waiting: %v", waiting)
	}
}

func TestApproveOfARevokedMachine(t *testing.T) {
	o := newOffice(t, testConfig())
	m := machineOf(1)
	o.enrol(m, nil)
	o.revoked[m.id] = true
	if _, err := o.Approve(m.id.String(), nil, "alice"); !errors.Is(err, ErrRevoked) {
		t.Errorf("approve: %v", err)
	}
}

func TestRejection(t *testing.T) {
	o := newOffice(t, testConfig())
	m := machineOf(1)
	code := o.enrol(m, nil).Code
	p, err := o.Reject(code.String(), "not ours\nat all", "alice")
	if err != nil || !p.Rejected || p.Reason != "not ours at all" || p.RejectedBy != "alice" {
		t.Fatalf("rejected: %+v, %v", p, err)
	}
	told := func(join bool) {
		t.Helper()
		tok := o.token(TokenSpec{})
		if !join {
			tok = nil
		}
		a := o.want(o.enrol(m, tok), OutcomeRefused, "rejected")
		if !strings.Contains(a.Text, "not ours") || a.RetryAfter == 0 {
			t.Errorf("told %q, again after %v", a.Text, a.RetryAfter)
		}
	}
	told(false)
	told(true) // whoever has a token gets by no operator's word
	o.crash()
	told(false)
	if s := o.Stats(); s.Rejected != 1 || s.Pending != 0 {
		t.Errorf("figures: %+v", s)
	}
	if got, err := o.Approve(code.String(), nil, "bob"); err != nil || got.By != "operator bob" {
		t.Fatalf("approved after all: %+v, %v", got, err)
	}
	o.want(o.enrol(m, nil), OutcomeAdmitted, "")
	other := machineOf(2)
	o.enrol(other, nil)
	if _, err := o.Reject(other.id.String(), "", "alice"); err != nil {
		t.Fatal(err)
	}
	if known, err := o.Forget(other.id); !known || err != nil {
		t.Fatal(known, err)
	}
	o.crash()
	o.want(o.enrol(other, nil), OutcomePending, "")
	if _, err := o.Reject("nobody", "", "alice"); !errors.Is(err, ErrWho) {
		t.Errorf("reject: %v", err)
	}
}

func TestRejectionsAreBounded(t *testing.T) {
	cfg := testConfig()
	cfg.MaxPending = 3
	o := newOffice(t, cfg)
	o.codeOf = func(key ed25519.PublicKey) pairing.Code { return pairing.Code{uint16(key[0]), uint16(key[1])} }
	for n := range 5 {
		o.pass(time.Second)
		o.want(o.enrol(machineOf(n), nil), OutcomePending, "")
		if _, err := o.Reject(machineOf(n).id.String(), "", "alice"); err != nil {
			t.Fatal(err)
		}
	}
	if s := o.Stats(); s.Rejected != 3 || s.Pending != 0 || s.Evicted != 2 {
		t.Errorf("figures: %+v", s)
	}
	o.want(o.enrol(machineOf(4), nil), OutcomeRefused, "rejected")
	o.want(o.enrol(machineOf(0), nil), OutcomePending, "")
}

// The list is full: the one silent for longest makes room, and one network
// cannot fill it.
func TestWhoMakesRoom(t *testing.T) {
	cfg := testConfig()
	cfg.MaxPending = 20
	o := newOffice(t, cfg)
	o.codeOf = func(key ed25519.PublicKey) pairing.Code { return pairing.Code{uint16(key[0]), uint16(key[1])} }
	ask := func(n int, from string) Answer {
		t.Helper()
		o.pass(time.Second)
		m := machineOf(n)
		m.from = netip.MustParseAddr(from)
		return o.enrol(m, nil)
	}
	for n := range perSource {
		o.want(ask(n, "10.0.0.1"), OutcomePending, "")
	}
	o.want(ask(100, "10.0.0.200"), OutcomeRefused, "full")
	for n := 20; n < 24; n++ {
		o.want(ask(n, "10.0.1.1"), OutcomePending, "")
	}
	for n := 1; n < perSource; n++ {
		o.want(ask(n, "10.0.0.1"), OutcomePending, "") // all but 0 are heard again
	}
	o.want(ask(30, "10.0.2.1"), OutcomePending, "")
	waits := func(n int) bool { return o.book.find(machineOf(n).public()) != nil }
	if waits(0) || !waits(1) || !waits(20) || !waits(30) {
		t.Errorf("waiting: 0 %v, 1 %v, 20 %v, 30 %v", waits(0), waits(1), waits(20), waits(30))
	}
	// Of one network a machine that went away makes room for another one.
	o.want(ask(100, "10.0.0.200"), OutcomePending, "")
	o.want(ask(101, "10.0.0.200"), OutcomeRefused, "full")
	o.pass(staleAfter)
	o.want(ask(101, "10.0.0.200"), OutcomePending, "")
	if s := o.Stats(); s.Pending > cfg.MaxPending || s.Evicted == 0 {
		t.Errorf("figures: %+v", s)
	}
	// IPv6 counts by /64. One who moves takes his place with him.
	o.want(ask(101, "2001:db8::1"), OutcomePending, "")
	if got := o.book.sources[netip.MustParsePrefix("2001:db8::/64")]; got != 1 {
		t.Errorf("%d in the new network", got)
	}
}

// Each pairing code costs 10 ms of a processor: only so many a second.
func TestPairingCodesAreRationed(t *testing.T) {
	o := newOffice(t, testConfig())
	codes := 0
	o.codeOf = func(key ed25519.PublicKey) pairing.Code { codes++; return pairing.Code{uint16(codes)} }
	for n := range 200 {
		o.enrol(machineOf(n), nil)
		o.enrol(machineOf(0), nil)
	}
	if codes != newcomerBurst {
		t.Errorf("%d codes at once, want %d", codes, newcomerBurst)
	}
	o.pass(time.Second)
	for n := range 200 {
		o.enrol(machineOf(n), nil)
	}
	if codes != newcomerBurst+newcomerRate {
		t.Errorf("%d codes a second later, want %d more", codes, newcomerRate)
	}
	if got := o.Stats().Enrolments["limited"]; got == 0 {
		t.Error("nobody was told to come later")
	}
}

func TestPendingSurvivesAnOrderlyRestart(t *testing.T) {
	o := newOffice(t, testConfig())
	for n := range 3 {
		o.pass(time.Second)
		o.enrol(machineOf(n), nil)
	}
	before := o.Pending()
	o.reopen()
	if diff := cmp.Diff(before, o.Pending(), cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) })); diff != "" {
		t.Errorf("pending (-before +after):\n%s", diff)
	}
	o.codeOf = func(ed25519.PublicKey) pairing.Code { t.Error("a code is computed once"); return pairing.Code{} }
	o.want(o.enrol(machineOf(1), nil), OutcomePending, "")
}

func TestForget(t *testing.T) {
	o := newOffice(t, testConfig())
	m := machineOf(1)
	o.member(m)
	a, err := o.Attach(Process{Worker: m.id, Boot: bootOf("X"), Body: bodyOf("a")})
	if err != nil {
		t.Fatal(err)
	}
	if known, err := o.Forget(testID(9)); known || err != nil {
		t.Errorf("a stranger: %v, %v", known, err)
	}
	if known, err := o.Forget(m.id); !known || err != nil {
		t.Fatal(known, err)
	}
	if got := news(a); got != "admitted, forgotten" {
		t.Errorf("its connection is told %q", got)
	}
	a.Detach()
	if _, known := o.Member(m.id); known || o.Key(m.id) != nil || !o.boot(m.id).IsZero() {
		t.Error("still known")
	}
	o.want(o.renewal(m), OutcomeRefused, "unknown_worker")
	if _, err := o.Attach(Process{Worker: m.id, Boot: bootOf("X")}); !errors.Is(err, ErrUnknownMember) {
		t.Errorf("attach: %v", err)
	}
	if _, err := o.KeepAlive(Process{Worker: m.id}); !errors.Is(err, ErrUnknownMember) {
		t.Errorf("keep-alive: %v", err)
	}
	o.crash()
	if len(o.Members()) != 0 {
		t.Error("back after a crash")
	}
	o.member(m) // with the same id
	o.crash()
	if len(o.Members()) != 1 {
		t.Error("gone after a crash")
	}
	if s := o.Stats(); s.Sessions != 0 || s.Attachments != 0 {
		t.Errorf("figures: %+v", s)
	}
}
