package collector

import (
	"errors"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/trust/disk"
)

// Names in the state folder. The store's are beside them unless store.dir names
// a folder of its own; those of users and API tokens are package people's.
const (
	tlsFolder   = "tls"          // the certificate in the fleet, see trust.FilesIn
	webFile     = "web.pem"      // in tlsFolder: certificate and key for browsers
	beaconFile  = "beacon.key"   // signs discovery packets
	revokedFile = "revoked.json" // copy of the fleet's revocation list
	auditFile   = "audit.jsonl"
)

func (c Config) inState(elements ...string) string {
	return filepath.Join(append([]string{c.StateDirectory}, elements...)...)
}

// sweepAfter is the age at which a file that is being written is nobody's.
const sweepAfter = time.Hour

// sweepState removes what a process that was killed has left half written: it may
// hold a key.
func sweepState(cfg Config, now time.Time) error {
	before := now.Add(-sweepAfter)
	err := disk.SweepOld(cfg.inState(tlsFolder), before)
	if errors.Is(err, fs.ErrNotExist) { // before the first start
		err = nil
	}
	return errors.Join(err, disk.SweepOld(cfg.StateDirectory, before))
}
