package authority

import (
	"path/filepath"

	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

// Names of the files in a fleet's home. All of them are 0600.
const (
	// manifestFile is written last at first start: without it there is no fleet.
	manifestFile = "fleet.json"
	beaconFile   = "beacon.key"
	adminFile    = "admin.secret"
	// webFile is no part of the manifest: it is made when it is missing, in homes
	// of an earlier release too.
	webFile = "web.pem"

	authorityPrefix = "authority-"
	authoritySuffix = ".pem"
)

// authorityFile holds one authority, certificate and key.
func authorityFile(f trust.Fingerprint) string {
	return authorityPrefix + f.String()[:16] + authoritySuffix
}

// AdminSecretFile is where Open and ResetAdmin show the admin secret, once: it
// may be deleted after it was read.
func AdminSecretFile(dir string) string { return filepath.Join(dir, adminFile) }
