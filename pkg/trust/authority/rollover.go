package authority

import (
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/disk"
)

// Prepare makes the next authority and puts it into the bundle. Hand the bundle
// to all members, wait until each has renewed its certificate once, then Switch.
// ErrPhase while another roll-over is under way.
func (a *Authority) Prepare(random io.Reader, now time.Time) error {
	return a.change(func(next *state) error {
		if len(next.cas) > 1 {
			return fmt.Errorf("prepare authority: %w: the last one is not finished", ErrPhase)
		}
		ca, err := trust.NewCA(next.manifest.Fleet, random, now)
		if err != nil {
			return err
		}
		data, err := ca.PEM()
		if err != nil {
			return err
		}
		// A crash from here on leaves a file that no manifest names.
		if err := disk.Create(filepath.Join(a.dir, authorityFile(ca.Fingerprint())), data, disk.Private); err != nil {
			return err
		}
		next.cas = append(next.cas, ca)
		next.manifest.Authorities = append(next.manifest.Authorities, Generation{Fingerprint: ca.Fingerprint(), Phase: Next, Since: now.UTC()})
		return nil
	})
}

// Switch lets the next authority issue. The present one becomes the former and
// stays in the bundle, for overlap at least: not less than the longest life of a
// certificate, or those who have not renewed in time must be admitted anew.
// Join tokens name the authority that issued when they were made: make new ones.
func (a *Authority) Switch(overlap time.Duration, now time.Time) error {
	return a.change(func(next *state) error {
		i, j := next.manifest.find(Issuing), next.manifest.find(Next)
		if j < 0 {
			return fmt.Errorf("switch authority: %w: none is prepared", ErrPhase)
		}
		list := next.manifest.Authorities
		list[i] = Generation{Fingerprint: list[i].Fingerprint, Phase: Former, Since: now.UTC(), DropAfter: now.Add(overlap).UTC()}
		list[j] = Generation{Fingerprint: list[j].Fingerprint, Phase: Issuing, Since: now.UTC()}
		return nil
	})
}

// Drop takes the former authority out of the bundle and deletes its key, when the
// overlap is over (ErrPhase before). Certificates that it has issued are worth
// nothing from then on, wherever the bundle has arrived.
func (a *Authority) Drop(now time.Time) error { return a.drop(Former, now) }

// Abandon takes a next authority away that was prepared and is not wanted.
func (a *Authority) Abandon(now time.Time) error { return a.drop(Next, now) }

func (a *Authority) drop(phase Phase, now time.Time) error {
	var file string
	err := a.change(func(next *state) error {
		i := next.manifest.find(phase)
		if i < 0 {
			return fmt.Errorf("drop authority: %w: there is none in phase %q", ErrPhase, phase)
		}
		gone := next.manifest.Authorities[i]
		if now.Before(gone.DropAfter) {
			return fmt.Errorf("drop authority %s: %w: the overlap lasts until %s", gone.Fingerprint, ErrPhase, gone.DropAfter.Format(time.RFC3339))
		}
		file = authorityFile(gone.Fingerprint)
		next.manifest.Authorities = append(next.manifest.Authorities[:i], next.manifest.Authorities[i+1:]...)
		next.cas = append(next.cas[:i], next.cas[i+1:]...)
		return nil
	})
	if err != nil {
		return err
	}
	return disk.Remove(filepath.Join(a.dir, file))
}
