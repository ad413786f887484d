package authority

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

const (
	manifestVersion = 1
	maxManifest     = 64 << 10 // bytes
)

// Phase is where an authority stands in a roll-over.
type Phase string

// The phases. There is always one that issues, and at most one other.
const (
	Next    Phase = "next"    // in the bundle, signs nothing yet
	Issuing Phase = "issuing" // signs certificates
	Former  Phase = "former"  // still in the bundle, signs no certificates any more
)

// Generation is one authority of the fleet.
type Generation struct {
	Fingerprint trust.Fingerprint `json:"fingerprint"`
	Phase       Phase             `json:"phase"`
	Since       time.Time         `json:"since"` // in this phase
	// DropAfter is the earliest time at which a former one may be dropped.
	DropAfter time.Time `json:"drop_after,omitzero"`
}

// manifest says which files count, and is replaced as a whole.
type manifest struct {
	Version     int               `json:"version"`
	Fleet       string            `json:"fleet"`
	Created     time.Time         `json:"created"`
	Beacon      trust.Fingerprint `json:"beacon"`
	Admin       adminHash         `json:"admin"`
	Authorities []Generation      `json:"authorities"`
}

func (m manifest) marshal() ([]byte, error) {
	text, err := json.MarshalIndent(m, "", "  ")
	return append(text, '\n'), err
}

func parseManifest(data []byte) (m manifest, err error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&m); err != nil {
		return manifest{}, err
	}
	if _, err := decoder.Token(); err != io.EOF {
		return manifest{}, errors.New("something behind it")
	}
	if m.Version != manifestVersion {
		return manifest{}, fmt.Errorf("version %d, want %d", m.Version, manifestVersion)
	}
	return m, m.check()
}

func (m manifest) check() error {
	if err := trust.CheckFleet(m.Fleet); err != nil {
		return err
	}
	if m.Beacon.IsZero() {
		return errors.New("no beacon")
	}
	if err := m.Admin.check(); err != nil {
		return err
	}
	count := map[Phase]int{}
	for _, g := range m.Authorities {
		if g.Fingerprint.IsZero() || g.Phase != Next && g.Phase != Issuing && g.Phase != Former {
			return fmt.Errorf("authority %s in phase %.20q", g.Fingerprint, g.Phase)
		}
		count[g.Phase]++
	}
	if count[Issuing] != 1 || len(m.Authorities) > 2 {
		return fmt.Errorf("%d authorities, %d issuing: want one issuing and at most one other", len(m.Authorities), count[Issuing])
	}
	return nil
}

// find returns the place of the authority in a phase, or -1.
func (m manifest) find(phase Phase) int {
	for i, g := range m.Authorities {
		if g.Phase == phase {
			return i
		}
	}
	return -1
}
