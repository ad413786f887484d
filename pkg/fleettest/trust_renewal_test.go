package fleettest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// shortLife is the shortest that a certificate may live.
const shortLife = 10 * time.Second

// atLeast is a check that an expression has a value of at least least.
func (f *inProcess) atLeast(least float64, expr string) func() error {
	return func() error {
		got, err := f.value(expr)
		if err == nil && got < least {
			err = fmt.Errorf("%s is %v, want %v or more", expr, got, least)
		}
		return err
	}
}

// is is a check that an expression has one value.
func (f *inProcess) is(want float64, expr string) func() error {
	return func() error {
		got, err := f.value(expr)
		if err == nil && got != want {
			err = fmt.Errorf("%s is %v, want %v", expr, got, want)
		}
		return err
	}
}

// undisturbed is a check that a worker has sent every round over one connection,
// and that the fleet has never missed it.
func (f *inProcess) undisturbed(instance string) error {
	return errors.Join(f.whole(instance)(),
		f.is(1, fmt.Sprintf(`cloudless_stream_connects_total{instance=%q}`, instance))(),
		f.is(0, `cloudless_registry_suspicions_total`)(), f.is(0, `cloudless_registry_expirations_total`)())
}

// TestRenewalsDisturbNobody: certificates of seconds, of all three daemons, are
// renewed again and again. The stream goes on, over the connection that was made
// with a certificate that has long run out, and no round is missing.
func TestRenewalsDisturbNobody(t *testing.T) {
	t.Parallel()
	f := newInProcess(t, "w1", "late")
	f.coordinator.Enrol.CertificateTTL = shortLife
	f.startServers()
	w1, late := f.machines["w1"], f.machines["late"]
	w1.work()
	first := w1.certificateEnds()
	for _, renewed := range []string{`cloudless_certificate_renewals_total{instance="w1"}`,
		`cloudless_certificate_renewals_total{job="collectord"}`, `cloudless_certificate_renewals_total{job="coordinatord"}`} {
		f.eventually("two renewals", f.atLeast(2, renewed))
	}
	f.eventually("the first certificate has run out", func() error {
		if left := time.Until(first); left > 0 {
			return fmt.Errorf("it lasts for another %v", left)
		}
		return nil
	})
	f.eventually("nothing was lost, and nothing made anew", func() error { return f.undisturbed("w1") })
	f.eventually("it works", w1.working)
	late.work() // and who comes now meets good certificates everywhere
	f.eventually("no renewal has failed", func() error {
		return errors.Join(f.is(0, `cloudless_certificate_renewal_errors_total{job="collectord"}`)(), f.is(0, `cloudless_certificate_renewal_errors_total{job="coordinatord"}`)(),
			f.is(0, `cloudless_certificate_renewal_errors_total{instance="w1"}`)())
	})
}

// TestTheCoordinatorIsAwayPastTheCertificatesEnd: what it has allowed stays allowed.
// The stream goes on when all certificates have run out; when the coordinator is
// back, collectord asks it through the socket, and the worker proves its key.
func TestTheCoordinatorIsAwayPastTheCertificatesEnd(t *testing.T) {
	t.Parallel()
	f := newInProcess(t, "w1")
	f.coordinator.Enrol.CertificateTTL = shortLife
	f.startServers()
	w1 := f.machines["w1"]
	w1.work()
	f.stop(model.DaemonCoordinator)
	w1.comesToStand("expired", "")
	row, err := f.client.Worker(t.Context(), w1.id())
	if err != nil || isFlowing(row) != nil {
		t.Errorf("the stream, with everybody's certificates run out: %v, %v", isFlowing(row), err)
	}
	f.startCoordinator()
	f.eventually("it is registered again", w1.working)
	w1.comesToStand("member", "")
	if e := f.entries(model.DaemonCoordinator, "enrol", ""); len(e) != 1 {
		t.Errorf("audit log %+v, want the first enrolment only", e)
	}
	f.eventually("no round is missing, and the stream was not made anew", func() error {
		return errors.Join(f.whole("w1")(), f.is(1, `cloudless_stream_connects_total{instance="w1"}`)())
	})
}
