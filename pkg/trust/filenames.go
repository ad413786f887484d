package trust

import "path/filepath"

// bundleFile is the name of the file of authorities.
const bundleFile = "ca.crt"

// FilesIn returns where WriteCredentials puts the files of role under dir, which
// holds one fleet's files only.
func FilesIn(dir string, role Role) Files {
	return Files{
		CA:   filepath.Join(dir, bundleFile),
		Cert: filepath.Join(dir, string(role)+".crt"),
		Key:  filepath.Join(dir, string(role)+".key"),
	}
}
