package trust

import "path/filepath"

// DefaultDir is where a host keeps what it proves itself with.
const DefaultDir = "/etc/cloudless/tls"

// Names of the files of this package. A folder holds one fleet's files only.
const (
	authorityCertFile = "ca.crt"
	authorityKeyFile  = "ca.key"
)

// FilesIn returns where WriteCredentials puts the files of role under dir.
func FilesIn(dir string, role Role) Files {
	return Files{
		CA:   filepath.Join(dir, authorityCertFile),
		Cert: filepath.Join(dir, string(role)+".crt"),
		Key:  filepath.Join(dir, string(role)+".key"),
	}
}
