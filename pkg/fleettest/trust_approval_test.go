package fleettest

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/admission"
	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust/pairing"
)

// pending finds a machine in the list of those that wait; nil: it does not.
func (f *inProcess) pending(id model.WorkerID) *api.PendingRow {
	f.t.Helper()
	list, err := f.admin.Pending(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	for _, row := range list.Pending {
		if row.ID == id {
			return &row
		}
	}
	return nil
}

// TestApprovalByWords: machines without a token wait, and show the same four words
// as the list. One is approved by them, one rejected, and nobody comes in by
// himself, whatever he claims.
func TestApprovalByWords(t *testing.T) {
	t.Parallel()
	f := newInProcess(t, "welcome", "unwelcome", "forgotten")
	welcome, unwelcome, forgotten := f.machines["welcome"], f.machines["unwelcome"], f.machines["forgotten"]
	forgotten.worker.Enrol.Labels = map[string]string{"site": "lab"}
	f.startServers()
	for _, m := range f.machines {
		m.start()
	}
	for _, m := range f.machines {
		m.comesToStand("pending", "waiting for approval")
		s, err := m.status()
		if err != nil {
			t.Fatal(err)
		}
		row := f.pending(m.id())
		if row == nil || row.Code != s.Code || len(strings.Split(s.Code, "-")) != 4 || s.Code != pairing.Of(m.home().PublicKey()).String() {
			t.Fatalf("%s shows the code %q, the list %+v; want the same four words", m.name, s.Code, row)
		}
		if row.Hostname != m.name || row.Address != netip.MustParseAddr("127.0.0.1") || row.Rejected {
			t.Errorf("%s is listed as %+v", m.name, row)
		}
		if s.Session != "none" || s.CertificateEnds != nil || s.Fleet != "test" || s.Authority != f.authority().Fingerprint().String() {
			t.Errorf("%s while it waits: %+v", m.name, s)
		}
		if e := f.entries(model.DaemonCoordinator, "enrol.pending", m.id().String()); len(e) != 1 || e[0].From != "127.0.0.1" {
			t.Errorf("%s: audit log %+v", m.name, e)
		}
	}
	if got := f.pending(forgotten.id()); got.Labels["site"] != "lab" {
		t.Errorf("its claims are not shown: %+v", got)
	}

	code := f.pending(welcome.id()).Code
	member, err := f.admin.Approve(t.Context(), api.Approval{Who: strings.ToUpper(strings.ReplaceAll(code, "-", " ")), Labels: map[string]string{"rack": "7"}})
	if err != nil || member.ID != welcome.id() || !strings.HasPrefix(member.By, "operator ") || member.Labels["rack"] != "7" {
		t.Fatalf("approved by the words %q: %+v, %v", code, member, err)
	}
	if err := f.admin.Reject(t.Context(), api.Rejection{Who: f.pending(unwelcome.id()).Code, Reason: "not ours"}); err != nil {
		t.Fatal(err)
	}
	f.eventually("who was approved works", welcome.working)
	unwelcome.comesToStand("refused", "rejected: ")
	if got := f.members(); !slices.Equal(got, []string{"welcome"}) {
		t.Errorf("members %q", got)
	}
	for what, m := range map[string]*machine{"approve": welcome, "reject": unwelcome} {
		if e := f.entries(model.DaemonCoordinator, what, m.id().String()); len(e) != 1 || !e[0].OK || e[0].From != "unix socket" {
			t.Errorf("audit log of %s: %+v", what, e)
		}
	}
	if err := forgotten.stands("pending", "waiting for approval")(); err != nil || f.pending(forgotten.id()) == nil {
		t.Errorf("who was neither: %v", err)
	}
}

// TestApprovalByPolicy: by where a machine asks from and by what it claims, and
// only when both are as the policy says.
func TestApprovalByPolicy(t *testing.T) {
	t.Parallel()
	f := newInProcess(t, "claims", "silent")
	claims, silent := f.machines["claims"], f.machines["silent"]
	claims.worker.Enrol.Labels = map[string]string{"site": "lab", "owner": "me"}
	f.coordinator.Enrol.AutoApprove = []admission.Policy{
		{Subnets: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, Assign: map[string]string{"rack": "elsewhere"}},
		{Subnets: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Labels: map[string]string{"site": "lab"}, Assign: map[string]string{"rack": "7"}},
	}
	f.startServers()
	claims.start()
	silent.start()
	f.eventually("who fits is in", claims.working)
	silent.comesToStand("pending", "waiting for approval")
	members, err := f.admin.Members(t.Context())
	if err != nil || len(members.Members) != 1 || members.Members[0].By != "policy 2" || fmt.Sprint(members.Members[0].Labels) != "map[rack:7]" {
		t.Errorf("members %+v, %v; want one by policy 2, with the fleet's label and not its claims", members, err)
	}
	if e := f.entries(model.DaemonCoordinator, "enrol", claims.id().String()); len(e) != 1 || e[0].Who != "policy 2" || e[0].From != "127.0.0.1" {
		t.Errorf("audit log %+v", e)
	}
	if got := row(t, f, claims.id()); got.Labels["rack"] != "7" || got.Labels["site"] != "" {
		t.Errorf("labels %v", got.Labels)
	}
}
