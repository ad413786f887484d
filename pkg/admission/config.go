package admission

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust/token"
)

// What Config.Clones may be.
const (
	ClonesAdmit   = "admit"
	ClonesApprove = "approve"
)

// Config is the [enrol] table of coordinatord.toml.
type Config struct {
	// TokenTTL is how long a join token lasts that is made without a time of its
	// own. Longer: less hurry between making and using it. Shorter: one that got
	// into wrong hands is worth less.
	TokenTTL time.Duration `toml:"token_ttl"`
	// CertificateTTL is how long a worker's certificate lasts; it is renewed at
	// two thirds of that. Longer: a coordinator may be away for longer before
	// workers have to prove their keys anew. Shorter: a stolen certificate is
	// worth less, for more renewals.
	CertificateTTL time.Duration `toml:"certificate_ttl"`
	// MaxPending bounds the machines that wait for approval, and also those that
	// were rejected; the one silent for longest makes room. More: a larger
	// installation without tokens at once. Fewer: less for strangers to fill.
	// Each costs about 1 KiB of memory and of disk.
	MaxPending int `toml:"max_pending"`
	// MaxMembers bounds the workers that were ever let in and not forgotten;
	// beyond it nobody new gets in. Each costs about 1 KiB of memory and of disk.
	MaxMembers int `toml:"max_members"`
	// EnrolRate is how many requests to be let in are judged in a second, at
	// about 0.1 ms of a processor each. More: a large fleet joins sooner. Fewer:
	// less work that strangers can cause. Who is beyond asks again.
	EnrolRate int `toml:"rate"`
	// EnrolRatePerAddress is the same for each address (of IPv6: each /64).
	// More: many machines behind one address (NAT) join sooner. Fewer: one
	// stranger keeps fewer others waiting.
	EnrolRatePerAddress int `toml:"rate_per_address"`
	// Clones says what becomes of a machine that came with the copied state
	// folder of a member and has made itself a new identity: "admit" lets it in
	// with the labels of that member, at most 8 of one family a day; "approve"
	// asks an operator. Whoever gets hold of a member's key makes use of "admit";
	// with "approve", a copied disk image is an operator's work.
	Clones string `toml:"clones"`
	// AutoApprove lists who gets in without a token and without an operator. The
	// first policy that fits decides. Empty: nobody.
	AutoApprove []Policy `toml:"auto_approve"`
}

// Policy lets machines in that fulfil all of its conditions. One without any
// condition fits nobody.
type Policy struct {
	// Subnets holds the address that the machine asks from. Whoever gets an
	// address there gets in.
	Subnets []netip.Prefix `toml:"subnets"`
	// Labels are among those that the machine claims. Anybody can claim them:
	// they are no secret, and alone they keep nobody out.
	Labels map[string]string `toml:"labels"`
	// Assign are the labels that the fleet gives to such a machine.
	Assign map[string]string `toml:"assign"`
}

// DefaultConfig returns the defaults.
func DefaultConfig() Config {
	return Config{
		TokenTTL:            time.Hour,
		CertificateTTL:      7 * 24 * time.Hour,
		MaxPending:          1024,
		MaxMembers:          20_000,
		EnrolRate:           200,
		EnrolRatePerAddress: 20,
		Clones:              ClonesAdmit,
	}
}

// Bounds of the configuration.
const (
	year          = 365 * 24 * time.Hour
	shortestCert  = 10 * time.Second // nobody wants it but tests
	mostPending   = 65_536
	mostMembers   = 1_000_000
	mostRate      = 100_000
	mostPolicies  = 100
	mostOfSubnets = 256
)

// Validate names every field that is out of bounds (model.FieldError).
func (c Config) Validate() error {
	var clones error
	if c.Clones != ClonesAdmit && c.Clones != ClonesApprove {
		clones = model.Fieldf("clones", "%.40q: want %q or %q", c.Clones, ClonesAdmit, ClonesApprove)
	}
	problems := []error{
		model.FieldWithin("token_ttl", c.TokenTTL, time.Second, year),
		model.FieldWithin("certificate_ttl", c.CertificateTTL, shortestCert, year),
		model.FieldWithin("max_pending", c.MaxPending, 1, mostPending),
		model.FieldWithin("max_members", c.MaxMembers, 1, mostMembers),
		model.FieldWithin("rate", c.EnrolRate, 1, mostRate),
		model.FieldWithin("rate_per_address", c.EnrolRatePerAddress, 1, mostRate),
		clones,
	}
	if len(c.AutoApprove) > mostPolicies {
		problems = append(problems, model.Fieldf("auto_approve", "%d policies: want at most %d", len(c.AutoApprove), mostPolicies))
	}
	for i, policy := range c.AutoApprove {
		problems = append(problems, model.InSection(fmt.Sprintf("auto_approve[%d]", i), policy.Validate()))
	}
	return errors.Join(problems...)
}

// Validate names every field that is out of bounds (model.FieldError).
func (p Policy) Validate() error {
	var problems []error
	if len(p.Subnets) == 0 && len(p.Labels) == 0 {
		problems = append(problems, model.Fieldf("subnets", "want subnets or labels: a policy without conditions fits nobody"))
	}
	if len(p.Subnets) > mostOfSubnets {
		problems = append(problems, model.Fieldf("subnets", "%d: want at most %d", len(p.Subnets), mostOfSubnets))
	}
	for i, subnet := range p.Subnets {
		if !subnet.IsValid() || subnet.Masked() != subnet || subnet.Addr().Is4In6() {
			problems = append(problems, model.Fieldf(fmt.Sprintf("subnets[%d]", i), `%s: want a network like "192.0.2.0/24"`, subnet))
		}
	}
	return errors.Join(append(problems, checkLabels("labels", p.Labels), checkLabels("assign", p.Assign))...)
}

func checkLabels(key string, labels map[string]string) error {
	if err := token.CheckLabels(labels); err != nil {
		return &model.FieldError{Key: key, Err: err}
	}
	return nil
}

// fits reports whether a machine that asks from an address and claims labels
// fulfils all conditions.
func (p Policy) fits(from netip.Addr, claims map[string]string) bool {
	if len(p.Subnets) == 0 && len(p.Labels) == 0 {
		return false
	}
	inside := len(p.Subnets) == 0
	for _, subnet := range p.Subnets {
		inside = inside || subnet.Contains(from.WithZone(""))
	}
	for key, value := range p.Labels {
		claim, has := claims[key]
		inside = inside && has && claim == value
	}
	return inside
}
