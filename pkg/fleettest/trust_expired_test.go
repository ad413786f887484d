package fleettest

import (
	"crypto/rand"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

// letExpire makes it as if the machine had been off until its certificate ran out:
// one for the same key is in its place that ended minutes ago.
func (m *machine) letExpire() {
	m.f.t.Helper()
	issued, err := m.f.authority().Sign(trust.Request{Role: trust.RoleWorker, Name: m.id().String(), TTL: time.Minute},
		m.home().PublicKey(), rand.Reader, time.Now().Add(-5*time.Minute))
	if err == nil {
		err = os.WriteFile(m.home().Files().Cert, issued.Cert, 0o644)
	}
	if err != nil {
		m.f.t.Fatal(err)
	}
}

// certificateEnds is when the certificate in the state folder does.
func (m *machine) certificateEnds() time.Time { return m.credentials().NotAfter() }

// TestOffPastTheCertificatesEnd: a worker that was off for longer proves its key
// and is back, under its id. One that was revoked meanwhile is not.
func TestOffPastTheCertificatesEnd(t *testing.T) {
	t.Parallel()
	f := newInProcess(t, "back", "revoked")
	f.startServers()
	back, revoked := f.machines["back"], f.machines["revoked"]
	for _, m := range f.machines {
		m.join()
		m.start()
	}
	for _, m := range f.machines {
		f.eventually(m.name+" is in", m.working)
		f.stop(m.name)
		m.letExpire()
		if err := os.Remove(m.worker.Enrol.TokenFile); err != nil {
			t.Fatal(err)
		}
	}
	id := back.id()
	if _, err := f.admin.Revoke(t.Context(), api.Revocation{Worker: revoked.id().String(), Reason: "sold"}); err != nil {
		t.Fatal(err)
	}
	for _, m := range f.machines {
		m.start()
	}
	f.eventually("the worker that was off is back", back.working)
	back.comesToStand("member", "")
	if ends := back.certificateEnds(); back.id() != id || time.Until(ends) < 24*time.Hour {
		t.Errorf("it is back as %v until %v, was %v", back.id(), ends, id)
	}
	f.eventually("it has proved its key", func() error {
		got, err := f.value(`cloudless_admission_renewals_total{outcome="admitted"}`)
		if err == nil && got != 1 {
			err = fmt.Errorf("%v renewals", got)
		}
		return err
	})

	revoked.comesToStand("revoked", "this worker was revoked")
	if e := f.entries(model.DaemonCoordinator, "enrol.refused", revoked.id().String()); len(e) != 1 || e[0].Detail != "revoked" {
		t.Errorf("audit log %+v", e)
	}
	if got := row(t, f, revoked.id()); got.State != model.Left || got.Connected {
		t.Errorf("the revoked worker: %+v", got)
	}
	// Both keep their places: nobody was let in anew.
	if e := f.entries(model.DaemonCoordinator, "enrol", ""); len(e) != 2 {
		t.Errorf("audit log: %+v, want the first two enrolments only", e)
	}

	// An operator takes it off the list again.
	if err := f.admin.Readmit(t.Context(), api.WorkerRef{Worker: revoked.id().String()}); err != nil {
		t.Fatal(err)
	}
	f.stop(revoked.name)
	revoked.start()
	f.eventually("it is back once it was readmitted", func() error {
		if err := revoked.working(); err != nil {
			s, _ := revoked.status()
			return fmt.Errorf("%w: %+v", err, s)
		}
		return nil
	})
}
