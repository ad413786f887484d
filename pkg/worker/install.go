package worker

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/daemon/logkey"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

// install keeps what the fleet has answered, if it proves what the approach
// wanted. What the machine had of another fleet is forgotten first.
func (j *joining) install(s situation, a approach, from source, answer api.Enrolment) error {
	w := j.w
	bundle, err := j.accept(s, a, from, answer)
	if err != nil {
		return err
	}
	if known := len(s.bundle.Authorities) > 0; known && a.proof == proofToken && !shares(s.bundle, bundle) {
		w.log.Info("leaving the former fleet for the one of the join token", "was", s.bundle.Fleet, "fleet", bundle.Fleet)
		if err := w.home.Leave(); err != nil {
			return err
		}
	}
	if err := w.home.Install([]byte(answer.Bundle), []byte(answer.Certificate)); err != nil {
		return err
	}
	w.former = nil
	if err := os.Remove(w.state.path(tokenFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		w.log.Warn("cannot remove the join token that has served its purpose", logkey.Err, err)
	}
	w.status.update(func(st *Status) {
		st.Coordinator, st.Code, st.Text, st.Error = from.address, "", "", ""
	})
	if a.renewal {
		w.renewals.ok.Add(1)
	}
	w.log.Info("admitted to the fleet", "fleet", bundle.Fleet, logkey.Worker, w.home.Worker(), logkey.Addr, from.address,
		"authority", authorityName(bundle.Fingerprints()[0]), "by", a.describe())
	return nil
}

func (a approach) describe() string {
	switch {
	case a.renewal:
		return "proof of the key"
	case a.token:
		return "join token"
	case a.former:
		return "former identity"
	}
	return "approval"
}

// accept compares the answer with what the coordinator has proved.
func (j *joining) accept(s situation, a approach, from source, answer api.Enrolment) (trust.Bundle, error) {
	if a.proof == proofToken || a.proof == proofAuthority {
		return j.pin(s, a).Bundle([]byte(answer.Bundle))
	}
	bundle, err := trust.ParseBundle([]byte(answer.Bundle))
	if err != nil {
		return trust.Bundle{}, err
	}
	if a.fleet != "" && bundle.Fleet != a.fleet {
		return trust.Bundle{}, fmt.Errorf("%w: %q, want %q", trust.ErrForeignFleet, bundle.Fleet, a.fleet)
	}
	if a.proof == proofNone {
		// Nothing was proved before; but who lets a machine in must be a
		// coordinator of the fleet that he lets it into.
		if err := j.w.isCoordinator(from.shown, bundle); err != nil {
			return trust.Bundle{}, err
		}
	}
	return bundle, nil
}

func (w *worker) isCoordinator(shown []*x509.Certificate, bundle trust.Bundle) error {
	if len(shown) == 0 {
		return trust.ErrNoCertificate
	}
	pool := x509.NewCertPool()
	for _, authority := range bundle.Authorities {
		pool.AddCert(authority)
	}
	if _, err := shown[0].Verify(x509.VerifyOptions{Roots: pool, CurrentTime: w.env.now(),
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}); err != nil {
		return err
	}
	peer, err := trust.CertificateIdentity(shown[0])
	if err != nil {
		return err
	}
	if peer.Fleet != bundle.Fleet || peer.Role != trust.RoleCoordinator {
		return fmt.Errorf("%w: %s lets machines into fleet %q", trust.ErrRole, peer, bundle.Fleet)
	}
	return nil
}

func shares(a, b trust.Bundle) bool {
	for _, one := range a.Fingerprints() {
		for _, two := range b.Fingerprints() {
			if one == two {
				return true
			}
		}
	}
	return false
}
