package admission

import (
	"net/netip"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/daemon/config"
	"github.com/cloudless-fleet/cloudless/pkg/daemon/configtest"
)

func TestComplaints(t *testing.T) {
	type spoiled = configtest.Spoiled[Config]
	net := netip.MustParsePrefix("10.0.0.0/8")
	configtest.CheckComplaints(t, DefaultConfig, []spoiled{
		{Spoil: func(c *Config) { c.TokenTTL = 0 }, Want: []string{"token_ttl: 0s: want 1s to 8760h"}},
		{Spoil: func(c *Config) { c.CertificateTTL = time.Second }, Want: []string{"certificate_ttl: 1s: want 10s to 8760h"}},
		{Spoil: func(c *Config) { c.MaxPending = 0 }, Want: []string{"max_pending: 0: want 1 to 65536"}},
		{Spoil: func(c *Config) { c.MaxMembers = 0 }, Want: []string{"max_members: 0: want 1 to 1000000"}},
		{Spoil: func(c *Config) { c.EnrolRate = 0 }, Want: []string{"rate: 0: want 1 to 100000"}},
		{Spoil: func(c *Config) { c.EnrolRatePerAddress = 0 }, Want: []string{"rate_per_address: 0: want 1 to 100000"}},
		{Spoil: func(c *Config) { c.Clones = "yes" }, Want: []string{`clones: "yes": want "admit" or "approve"`}},
		{Spoil: func(c *Config) { c.AutoApprove = []Policy{{Subnets: []netip.Prefix{net}}, {}} },
			Want: []string{"auto_approve[1].subnets: want subnets or labels: a policy without conditions fits nobody"}},
		{Spoil: func(c *Config) {
			c.AutoApprove = []Policy{{Subnets: []netip.Prefix{net, netip.MustParsePrefix("10.0.0.1/8"), {}, netip.MustParsePrefix("::ffff:10.0.0.0/104")}}}
		}, Want: []string{`auto_approve[0].subnets[1]: 10.0.0.1/8: want a network like "192.0.2.0/24"`,
			`auto_approve[0].subnets[2]: invalid Prefix: want a network like "192.0.2.0/24"`,
			`auto_approve[0].subnets[3]: ::ffff:10.0.0.0/104: want a network like "192.0.2.0/24"`}},
		{Spoil: func(c *Config) {
			c.AutoApprove = []Policy{{Labels: map[string]string{"a b": "c"}, Assign: map[string]string{"d": ""}}}
		}, Want: []string{`auto_approve[0].labels: label "a b"="c": want a name like a metric's label and up to 128 printable characters`,
			`auto_approve[0].assign: label "d"="": want a name like a metric's label and up to 128 printable characters`}},
		{Spoil: func(c *Config) { c.AutoApprove = make([]Policy, mostPolicies+1); fill(c.AutoApprove, net) },
			Want: []string{"auto_approve: 101 policies: want at most 100"}},
	})
	if _, err := Open(t.TempDir(), Config{}, Deps{}); err == nil {
		t.Error("opened without a configuration")
	}
	if _, err := Open(t.TempDir(), DefaultConfig(), Deps{}); err == nil {
		t.Error("opened without an authority")
	}
}

func fill(policies []Policy, net netip.Prefix) {
	for i := range policies {
		policies[i].Subnets = []netip.Prefix{net}
	}
}

func TestPoliciesAreReadFromTOML(t *testing.T) {
	got, err := config.Decode(DefaultConfig(), "enrol.toml", `
clones = "approve"
[[auto_approve]]
subnets = ["10.1.0.0/16", "2001:db8::/32"]
labels = { site = "lab" }
assign = { tier = "1" }
[[auto_approve]]
subnets = ["10.2.0.0/16"]
`)
	if err != nil || got.Validate() != nil || len(got.AutoApprove) != 2 || got.Clones != ClonesApprove {
		t.Fatalf("%+v, %v, %v", got, err, got.Validate())
	}
	if p := got.AutoApprove[0]; !p.fits(netip.MustParseAddr("10.1.2.3"), map[string]string{"site": "lab"}) || p.Assign["tier"] != "1" {
		t.Errorf("policy: %+v", p)
	}
}
