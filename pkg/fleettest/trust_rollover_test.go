package fleettest

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

// step takes a step of a roll-over, and returns the answer's status if it was
// refused.
func (f *inProcess) step(step string) error {
	_, err := f.admin.Authority(f.t.Context(), step)
	return err
}

// trusted are the authorities that a machine trusts, and the one that has signed
// its certificate.
func (m *machine) trusted() (all []trust.Fingerprint, issuer trust.Fingerprint) {
	credentials := m.credentials()
	for _, authority := range credentials.Bundle().Authorities {
		if credentials.Leaf().CheckSignatureFrom(authority) == nil {
			issuer = trust.CertificateFingerprint(authority)
		}
	}
	return credentials.Bundle().Fingerprints(), issuer
}

// TestTheAuthorityIsReplacedUnderAStreamingFleet: prepare, all confirm, switch, all
// renew, drop. No stream ends, no round is missing, nobody is lost. Tokens of
// before the switch are refused by the machine itself, those of after it work.
func TestTheAuthorityIsReplacedUnderAStreamingFleet(t *testing.T) {
	t.Parallel()
	f := newInProcess(t, "w1", "w2", "early", "late")
	f.coordinator.Enrol.CertificateTTL = shortLife // the overlap lasts as long
	for _, m := range f.machines {
		m.worker.Registration.KeepAlive = 3 * time.Second // and tells the coordinator what it trusts every second
	}
	f.startServers()
	f.machines["w1"].work()
	f.machines["w2"].work()
	former := f.authority().Fingerprint()
	early := f.token(api.TokenRequest{})

	if err := f.step("prepare"); err != nil {
		t.Fatal(err)
	}
	if err := f.step("switch"); statusOf(err) != http.StatusConflict || !strings.Contains(err.Error(), "collectord hq") {
		t.Errorf("switched before all have confirmed: %v", err)
	}
	f.eventually("all have confirmed that they trust the next one", func() error { return f.step("switch") })
	next := f.issuing()
	if next == former {
		t.Fatal("the same authority issues")
	}
	if err := f.step("drop"); statusOf(err) != http.StatusConflict {
		t.Errorf("dropped while certificates of the former one are in use: %v", err)
	}

	f.machines["early"].hold(early)
	f.machines["early"].start()
	f.machines["late"].join()
	f.machines["late"].start()
	f.eventually("who has a token made after the switch is in", f.machines["late"].working)
	f.eventually("a token made before the switch is refused, and it is said why", func() error {
		s, err := f.machines["early"].status()
		if err == nil && (s.Standing != "new" || !strings.Contains(s.Error, trust.ErrPin.Error()) || !strings.Contains(s.Text, "a new join token is needed")) {
			err = fmt.Errorf("it stands as %s: %s: %s", s.Standing, s.Text, s.Error)
		}
		return err
	})
	if e := f.entries(model.DaemonCoordinator, "enrol", f.machines["early"].id().String()); len(e) != 0 {
		t.Errorf("it came in: %+v", e)
	}

	for _, name := range []string{"w1", "w2", "late"} {
		f.eventually(name+" has a certificate of the next one", func() error {
			if all, issuer := f.machines[name].trusted(); issuer != next || len(all) != 2 {
				return fmt.Errorf("it is of %v, trusted are %v", issuer, all)
			}
			return nil
		})
	}
	f.eventually("the former one is dropped when its certificates have run out", func() error { return f.step("drop") })
	for _, name := range []string{"w1", "w2", "late"} {
		f.eventually(name+" trusts the new one only", func() error {
			if all, issuer := f.machines[name].trusted(); issuer != next || len(all) != 1 {
				return fmt.Errorf("it is of %v, trusted are %v", issuer, all)
			}
			return nil
		})
		f.eventually(name+" works", f.machines[name].working)
		f.eventually("nothing of "+name+" was lost, and nothing made anew", func() error { return f.undisturbed(name) })
	}
	answered := `cloudless_discovery_answers_total{instance="w1"}`
	var before float64
	f.eventually("it counts its answers", func() (err error) {
		before, err = f.value(answered)
		return err
	})
	f.eventually("workers answer the collector's probes", f.atLeast(before+2, answered))
	for _, step := range []string{"authority.prepare", "authority.switch", "authority.drop"} {
		done := 0
		for _, e := range f.entries(model.DaemonCoordinator, step, "") {
			if e.OK {
				done++
			}
		}
		if done != 1 {
			t.Errorf("audit log: %s was done %d times", step, done)
		}
	}
}

// issuing is the authority that signs now.
func (f *inProcess) issuing() trust.Fingerprint {
	f.t.Helper()
	status, err := f.admin.Status(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	for _, one := range status.Authorities {
		if one.Phase == "issuing" {
			return one.Fingerprint
		}
	}
	f.t.Fatalf("nobody issues: %+v", status.Authorities)
	return trust.Fingerprint{}
}
