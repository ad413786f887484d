package collector

import "path/filepath"

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
