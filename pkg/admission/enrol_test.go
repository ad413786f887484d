package admission

import (
	"crypto/ed25519"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/token"
)

func TestATokenLetsAMachineIn(t *testing.T) {
	o := newOffice(t, testConfig())
	join := o.token(TokenSpec{Labels: map[string]string{"site": "lab"}})
	m := machineOf(1)
	m.labels = map[string]string{"site": "moon"} // its own claims do not count
	a := o.want(o.enrol(m, join), OutcomeAdmitted, "")
	if !a.New {
		t.Error("the first time it is new")
	}
	leaf := leafOf(t, a)
	if got, want := leaf.URIs[0].String(), "cloudless://lab/worker/"+m.id.String(); got != want {
		t.Errorf("certificate of %s, want %s", got, want)
	}
	if !m.public().Equal(leaf.PublicKey) || !leaf.NotAfter.Equal(start().Add(7*24*time.Hour)) || !a.Member.CertificateEnds.Equal(leaf.NotAfter) {
		t.Errorf("certificate until %v, for its key: %v", leaf.NotAfter, m.public().Equal(leaf.PublicKey))
	}
	if bundle, err := trust.ParseBundle(a.Bundle); err != nil || bundle.Fleet != "lab" {
		t.Errorf("bundle of %q, %v", bundle.Fleet, err)
	}
	want := Member{ID: m.id, Key: m.public(), Hostname: "web-1", Labels: map[string]string{"site": "lab"}, At: start(),
		By: "token " + join.ID.String(), CertificateEnds: leaf.NotAfter}
	want.Fingerprint, _ = trust.FingerprintOf(m.public())
	if diff := cmp.Diff(want, a.Member); diff != "" {
		t.Errorf("member (-want +got):\n%s", diff)
	}
	if !m.public().Equal(o.Key(m.id)) || o.Key(testID(7)) != nil {
		t.Error("Key does not find it, or finds others")
	}
}

// The answer got lost: the machine asks again, with the token or without, before
// and after a crash.
func TestARetriedEnrolmentIsTheSameMember(t *testing.T) {
	o := newOffice(t, testConfig())
	join, m := o.token(TokenSpec{Uses: 2}), machineOf(1)
	first := o.want(o.enrol(m, join), OutcomeAdmitted, "")
	retry := func(name string, join *token.Token) {
		t.Helper()
		a := o.want(o.enrol(m, join), OutcomeAdmitted, "")
		if a.New != (name == "after a crash") || a.Member.By != first.Member.By || !a.Member.At.Equal(first.Member.At) || leafOf(t, a).SerialNumber.Cmp(leafOf(t, first).SerialNumber) == 0 {
			t.Errorf("%s: %+v", name, a.Member)
		}
		if r := o.Tokens()[0]; r.UsesLeft != 1 || len(r.Uses) != 1 {
			t.Errorf("%s: %d uses left, %d spent", name, r.UsesLeft, len(r.Uses))
		}
	}
	retry("with the token", join)
	retry("without", nil)
	o.crash()
	retry("after a crash", join) // that its answer went out is not written at once
	o.pass(2 * time.Hour)
	retry("with the token, which has expired", join)
	if err := o.RevokeToken(join.ID); err != nil {
		t.Fatal(err)
	}
	retry("with the token, which was revoked", join)
	m.name = "renamed"
	if a := o.enrol(m, nil); a.Member.Hostname != "renamed" {
		t.Errorf("host name %q", a.Member.Hostname)
	}
}

func TestTokensThatServeNoMore(t *testing.T) {
	o := newOffice(t, testConfig())
	used := o.token(TokenSpec{})
	o.want(o.enrol(machineOf(1), used), OutcomeAdmitted, "")
	revoked := o.token(TokenSpec{})
	if err := o.RevokeToken(revoked.ID); err != nil {
		t.Fatal(err)
	}
	expired := o.token(TokenSpec{TTL: time.Second})
	o.pass(time.Second)
	stranger, err := token.New("lab", o.deps.Authority.Fingerprint(), nil, &countingReader{})
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := token.New("lab", trust.Fingerprint{1}, nil, &countingReader{})
	if err != nil {
		t.Fatal(err)
	}
	check := func() {
		t.Helper()
		for reason, join := range map[string]*token.Token{"token_used_up": used, "token_revoked": revoked, "token_expired": expired,
			"wrong_token": &stranger, "foreign_authority": &foreign} {
			a := o.want(o.enrol(machineOf(2), join), OutcomeRefused, reason)
			if a.RetryAfter != 0 || !strings.Contains(a.Text, "token") {
				t.Errorf("%s: %q, again after %v", reason, a.Text, a.RetryAfter)
			}
		}
	}
	check()
	o.reopen()
	check()
	if got := len(o.Members()); got != 1 {
		t.Errorf("%d members", got)
	}
	if o.Stats().Enrolments["token_used_up"] != 1 {
		t.Errorf("figures: %v", o.Stats().Enrolments)
	}
}

// countingReader is a source of bytes that are not random.
type countingReader struct{ n byte }

func (r *countingReader) Read(p []byte) (int, error) {
	for i := range p {
		r.n++
		p[i] = r.n
	}
	return len(p), nil
}

func TestRequestsThatAreNotBelieved(t *testing.T) {
	o := newOffice(t, testConfig())
	m, join := machineOf(1), o.token(TokenSpec{})
	changed := m.request(t, join, o.time())
	changed.Hostname = "other"
	o.want(o.Enrol(changed, m.from, model.WorkerID{}), OutcomeRefused, "bad_signature")
	early := o.Enrol(m.request(t, join, o.time().Add(6*time.Minute)), m.from, model.WorkerID{})
	o.want(early, OutcomeRefused, "from_future")
	if early.Offset != 6*time.Minute {
		t.Errorf("offset %v", early.Offset)
	}
	o.want(o.Enrol(m.request(t, join, o.time().Add(-6*time.Minute)), m.from, model.WorkerID{}), OutcomeRefused, "too_old")
	if a := o.Enrol(m.request(t, join, o.time().Add(-4*time.Minute)), m.from, model.WorkerID{}); a.Offset != -4*time.Minute {
		t.Errorf("admitted with an offset of %v", a.Offset)
	}
}

func TestAnIdentityIsOfOneKey(t *testing.T) {
	o := newOffice(t, testConfig())
	m := machineOf(1)
	o.member(m)
	thief := machineOf(2)
	thief.id = m.id
	o.pass(time.Second)
	join := o.token(TokenSpec{})
	o.want(o.enrol(thief, join), OutcomeRefused, "identity_in_use")
	o.want(o.enrol(thief, nil), OutcomeRefused, "identity_in_use")
	if left := o.Tokens()[0].UsesLeft; left != 1 {
		t.Errorf("%d uses left: one was spent for nothing", left)
	}
	o.want(o.renewal(thief), OutcomeRefused, "wrong_key")
	if !m.public().Equal(o.Key(m.id)) {
		t.Error("the key was changed")
	}
}

func TestTheRevokedStayOut(t *testing.T) {
	o := newOffice(t, testConfig())
	m, join := machineOf(1), o.token(TokenSpec{Uses: 3})
	a := o.want(o.enrol(m, join), OutcomeAdmitted, "")
	o.revoked[m.id] = true
	o.want(o.enrol(m, join), OutcomeRefused, "revoked")
	o.want(o.enrol(m, nil), OutcomeRefused, "revoked")
	o.want(o.renewal(m), OutcomeRefused, "revoked")
	o.want(o.Renew(m.id, leafOf(t, a)), OutcomeRefused, "revoked")
	clone := machineOf(2)
	o.want(o.Enrol(clone.request(t, nil, o.time()), clone.from, m.id), OutcomePending, "")
	delete(o.revoked, m.id)
	o.want(o.renewal(m), OutcomeAdmitted, "")
}

func TestRenewal(t *testing.T) {
	o := newOffice(t, testConfig())
	m := machineOf(1)
	o.want(o.renewal(m), OutcomeRefused, "unknown_worker")
	first := o.want(o.enrol(m, o.token(TokenSpec{})), OutcomeAdmitted, "")
	o.pass(5 * 24 * time.Hour)
	second := o.want(o.Renew(m.id, leafOf(t, first)), OutcomeAdmitted, "")
	if second.New || !leafOf(t, second).NotAfter.Equal(o.time().Add(7*24*time.Hour)) {
		t.Errorf("renewed: new %v, until %v", second.New, leafOf(t, second).NotAfter)
	}
	o.pass(100 * 24 * time.Hour) // the certificate ran out long ago
	o.reopen()
	third := o.want(o.renewal(m), OutcomeAdmitted, "")
	if third.Member.By != first.Member.By || !third.Member.CertificateEnds.After(o.time()) {
		t.Errorf("after expiry: %+v", third.Member)
	}
	other := o.want(o.enrol(machineOf(2), o.token(TokenSpec{})), OutcomeAdmitted, "")
	o.want(o.Renew(m.id, leafOf(t, other)), OutcomeRefused, "wrong_key")
	o.want(o.Renew(testID(9), leafOf(t, other)), OutcomeRefused, "unknown_worker")
	if got := o.Stats().Renewals; got["admitted"] != 1 || got["wrong_key"] != 1 || got["unknown_worker"] != 1 {
		t.Errorf("figures: %v", got)
	}
}

func TestClones(t *testing.T) {
	o := newOffice(t, testConfig())
	original := machineOf(0)
	o.want(o.enrol(original, o.token(TokenSpec{Labels: map[string]string{"site": "lab"}})), OutcomeAdmitted, "")
	clone := func(n int, of machine) Answer {
		t.Helper()
		m := machineOf(n)
		return o.Enrol(m.request(t, nil, o.time()), m.from, of.id)
	}
	a := o.want(clone(1, original), OutcomeAdmitted, "")
	if a.Member.CloneOf != original.id || a.Member.By != "clone "+original.id.String() || a.Member.Labels["site"] != "lab" || !a.New {
		t.Errorf("clone: %+v", a.Member)
	}
	o.want(clone(1, original), OutcomeAdmitted, "")
	o.reopen()
	for n := 2; n <= maxClones; n++ {
		o.pass(time.Minute)
		o.want(clone(n, machineOf(n-1)), OutcomeAdmitted, "") // clones of clones are of the same family
	}
	b := o.want(clone(20, machineOf(8)), OutcomePending, "clone_limit")
	if b.RetryAfter == 0 || b.Text == "" {
		t.Errorf("beyond the limit: %+v", b)
	}
	o.want(clone(20, original), OutcomePending, "clone_limit")
	o.reopen()
	o.want(clone(20, original), OutcomePending, "clone_limit")
	got := o.Clones(original.id)
	if len(got) != maxClones || !slices.ContainsFunc(got, func(m Member) bool { return m.ID == machineOf(8).id }) {
		t.Errorf("%d clones of clones, want %d", len(got), maxClones)
	}
	if got := o.Clones(machineOf(7).id); len(got) != 1 {
		t.Errorf("%d clones of the last but one", len(got))
	}
	approved, err := o.Approve(b.Code.String(), map[string]string{"rack": "r1"}, "alice")
	if diff := cmp.Diff(map[string]string{"site": "lab", "rack": "r1"}, approved.Labels); err != nil || diff != "" || approved.CloneOf != original.id {
		t.Errorf("approved: %+v, %v\n%s", approved, err, diff)
	}
	o.pass(24*time.Hour - 7*time.Minute) // since the first of them
	o.want(clone(21, original), OutcomeAdmitted, "")
	o.pass(24 * time.Hour)
	o.prune()
	if len(o.families) != 0 {
		t.Errorf("%d families remembered", len(o.families))
	}
}

func TestClonesOfStrangersAndByPolicy(t *testing.T) {
	cfg := testConfig()
	cfg.Clones = ClonesApprove
	o := newOffice(t, cfg)
	o.member(machineOf(0))
	m := machineOf(1)
	ask := func(former model.WorkerID, join *token.Token) Answer {
		t.Helper()
		return o.Enrol(m.request(t, join, o.time()), m.from, former)
	}
	o.want(ask(testID(99), nil), OutcomePending, "")
	if p := o.Pending()[0]; !p.CloneOf.IsZero() {
		t.Errorf("clone of a stranger: %+v", p)
	}
	o.want(ask(machineOf(0).id, nil), OutcomePending, "")
	if p := o.Pending()[0]; p.CloneOf != machineOf(0).id {
		t.Errorf("pending: %+v", p)
	}
	expired := o.token(TokenSpec{TTL: time.Second})
	o.pass(time.Second)
	o.want(ask(testID(99), expired), OutcomeRefused, "token_expired")
	o.want(ask(machineOf(0).id, expired), OutcomePending, "") // it lies about since the original was installed
	a := o.want(ask(machineOf(0).id, o.token(TokenSpec{})), OutcomeAdmitted, "")
	if a.Member.CloneOf != machineOf(0).id || !strings.HasPrefix(a.Member.By, "token ") {
		t.Errorf("by token: %+v", a.Member)
	}
	if len(o.Pending()) != 0 {
		t.Error("it still waits")
	}
}

func TestAutoApprove(t *testing.T) {
	cfg := testConfig()
	cfg.AutoApprove = []Policy{
		{Subnets: []netip.Prefix{netip.MustParsePrefix("10.0.1.0/24"), netip.MustParsePrefix("2001:db8::/32")},
			Labels: map[string]string{"role": "db"}, Assign: map[string]string{"tier": "1"}},
		{Labels: map[string]string{"role": "web", "site": "lab"}},
		{Subnets: []netip.Prefix{netip.MustParsePrefix("10.0.9.0/24")}},
	}
	o := newOffice(t, cfg)
	n := 0
	for _, test := range []struct {
		from   string
		labels map[string]string
		by     string // empty: pending
	}{
		{"10.0.1.7", map[string]string{"role": "db"}, "policy 1"},
		{"::ffff:10.0.1.8", map[string]string{"role": "db", "more": "x"}, "policy 1"},
		{"2001:db8::1", map[string]string{"role": "db"}, "policy 1"},
		{"10.0.1.7", map[string]string{"role": "dbx"}, ""},
		{"10.0.1.7", nil, ""},
		{"10.0.2.7", map[string]string{"role": "db"}, ""},
		{"10.0.2.7", map[string]string{"role": "web"}, ""},
		{"10.0.2.7", map[string]string{"role": "web", "site": "lab"}, "policy 2"},
		{"10.0.9.7", nil, "policy 3"},
	} {
		n++
		m := machineOf(n)
		m.labels, m.from = test.labels, netip.MustParseAddr(test.from)
		a := o.enrol(m, nil)
		if test.by == "" {
			o.want(a, OutcomePending, "")
			continue
		}
		if o.want(a, OutcomeAdmitted, ""); a.Member.By != test.by || (test.by == "policy 1") != (a.Member.Labels["tier"] == "1") {
			t.Errorf("%v: %+v", test, a.Member)
		}
	}
	if (Policy{}).fits(netip.MustParseAddr("10.0.0.1"), map[string]string{"a": "b"}) {
		t.Error("the empty policy fits somebody")
	}
}

func TestAFullFleet(t *testing.T) {
	cfg := testConfig()
	cfg.MaxMembers = 2
	cfg.AutoApprove = []Policy{{Labels: map[string]string{"a": "b"}}}
	o := newOffice(t, cfg)
	join := o.token(TokenSpec{Uses: 10})
	o.want(o.enrol(machineOf(1), join), OutcomeAdmitted, "")
	o.want(o.enrol(machineOf(2), join), OutcomeAdmitted, "")
	o.want(o.enrol(machineOf(3), join), OutcomeRefused, "full")
	o.want(o.enrol(machineOf(1), join), OutcomeAdmitted, "")
	if left := o.Tokens()[0].UsesLeft; left != 8 {
		t.Errorf("%d uses left", left)
	}
	m := machineOf(4)
	o.want(o.Enrol(m.request(t, nil, o.time()), m.from, machineOf(1).id), OutcomeRefused, "full")
	m.labels = map[string]string{"a": "b"}
	o.want(o.enrol(m, nil), OutcomeRefused, "full")
	m.labels = nil
	a := o.want(o.enrol(m, nil), OutcomePending, "")
	if _, err := o.Approve(a.Code.String(), nil, "alice"); err == nil {
		t.Error("approved beyond max_members")
	}
	if known, err := o.Forget(machineOf(1).id); !known || err != nil {
		t.Fatal(known, err)
	}
	if _, err := o.Approve(a.Code.String(), nil, "alice"); err != nil {
		t.Error(err)
	}
}

// The disk fails: nobody gets a certificate, and nothing is spent twice once it
// works again. Those who are members renew all the same.
func TestNobodyIsToldBeforeTheDiskKnows(t *testing.T) {
	o := newOffice(t, testConfig())
	join, m, old := o.token(TokenSpec{Uses: 2}), machineOf(1), machineOf(2)
	first := o.want(o.enrol(old, join), OutcomeAdmitted, "")
	if err := o.disk.Close(); err != nil { // every transaction fails now
		t.Fatal(err)
	}
	a := o.want(o.enrol(m, join), OutcomeRefused, "unavailable")
	if a.RetryAfter == 0 {
		t.Error("not told to ask again")
	}
	o.want(o.enrol(m, join), OutcomeRefused, "unavailable")
	o.want(o.Renew(old.id, leafOf(t, first)), OutcomeAdmitted, "")
	if _, _, err := o.CreateToken(TokenSpec{}); err == nil {
		t.Error("a token was made that no disk knows")
	}
	if s := o.Stats(); s.WriteErrors < 3 || s.Unsaved == 0 {
		t.Errorf("figures: %+v", s)
	}
	d, _, err := openDisk(o.dir, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	o.disk = d
	if a := o.want(o.enrol(m, join), OutcomeAdmitted, ""); !a.New {
		t.Error("nobody was told that it is new")
	}
	o.crash()
	var record token.Record
	for _, r := range o.Tokens() {
		if r.ID == join.ID {
			record = r
		}
	}
	if record.UsesLeft != 0 || len(record.Uses) != 2 || !m.public().Equal(o.Key(m.id)) {
		t.Errorf("after all: %d uses left, %d spent, key known: %v", record.UsesLeft, len(record.Uses), o.Key(m.id) != nil)
	}
}

func TestRatesAreLimited(t *testing.T) {
	cfg := testConfig()
	cfg.EnrolRate, cfg.EnrolRatePerAddress = 5, 2
	o := newOffice(t, cfg)
	m := machineOf(1)
	ask := func(from string) string {
		t.Helper()
		m.from = netip.MustParseAddr(from)
		return o.enrol(m, nil).Reason
	}
	for i, test := range []struct{ from, reason string }{
		{"10.0.0.1", ""}, {"10.0.0.1", ""}, {"10.0.0.1", "limited"}, {"::ffff:10.0.0.1", "limited"}, {"10.0.0.2", ""},
		{"2001:db8::1", ""}, {"2001:db8::2", ""}, {"2001:db8::3", "limited"}, // one /64 is one address
		{"10.0.0.3", "limited"}, // all together
	} {
		if got := ask(test.from); got != test.reason {
			t.Errorf("%d: from %s %q, want %q", i, test.from, got, test.reason)
		}
	}
	if a := o.renewal(m); a.Reason != "limited" || a.RetryAfter == 0 {
		t.Errorf("renewal: %+v", a)
	}
	o.pass(time.Second)
	if got := ask("10.0.0.1"); got != "" {
		t.Errorf("a second later: %q", got)
	}
}

func TestReasonsHaveTexts(t *testing.T) {
	seen := map[string]bool{}
	for _, reason := range Reasons() {
		if refusals[reason].text == "" {
			t.Errorf("%s: no text", reason)
		}
		if seen[reason] {
			t.Errorf("%s: twice", reason)
		}
		seen[reason] = true
	}
	if len(refusals) != len(seen) {
		t.Errorf("%d texts for %d reasons", len(refusals), len(seen))
	}
}

// A certificate is of the member's key only: who sends another key in a request
// that he has copied gets nothing.
func TestAReplayedRequestYieldsACertificateForItsSender(t *testing.T) {
	o := newOffice(t, testConfig())
	m, join := machineOf(1), o.token(TokenSpec{})
	r := m.request(t, join, o.time())
	o.want(o.Enrol(r, m.from, model.WorkerID{}), OutcomeAdmitted, "")
	a := o.want(o.Enrol(r, netip.MustParseAddr("192.0.2.66"), model.WorkerID{}), OutcomeAdmitted, "")
	if a.New || !m.public().Equal(leafOf(t, a).PublicKey) {
		t.Errorf("replayed: %+v", a.Member)
	}
	r.PublicKey = machineOf(2).key.Public().(ed25519.PublicKey)
	o.want(o.Enrol(r, m.from, model.WorkerID{}), OutcomeRefused, "bad_signature")
}
