package worker

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"syscall"

	"github.com/cloudless-fleet/cloudless/pkg/trust/disk"
	"github.com/cloudless-fleet/cloudless/pkg/trust/token"
)

// systemToken is where an operator or an installer leaves a token.
const systemToken = "/etc/cloudless/join.token"

// tokenFiles are the places of the join token, the first that is there counts:
// what an operator has just given to `workerd join` goes before what an
// installer has left. credentials is the folder that systemd's LoadCredential
// fills, or "".
func tokenFiles(cfg EnrolConfig, state stateDir, credentials string) []string {
	places := []string{state.path(tokenFile)}
	if cfg.TokenFile != "" {
		return append(places, cfg.TokenFile)
	}
	if credentials != "" {
		places = append(places, filepath.Join(credentials, tokenFile))
	}
	return append(places, systemToken)
}

// tokenMark tells one state of the token's files from another without reading
// them. Comparable.
type tokenMark struct {
	path  string
	inode uint64
	size  int64
	mtime int64
}

// markOf is the mark of the file that counts; the zero mark when there is none.
func markOf(places []string) tokenMark {
	for _, path := range places {
		var stat syscall.Stat_t
		if syscall.Stat(path, &stat) == nil {
			return tokenMark{path, stat.Ino, stat.Size, stat.Mtim.Nano()}
		}
	}
	return tokenMark{}
}

// readToken reads the token that counts. No file is no token and no error. Its
// errors hold nothing of the text.
func readToken(places []string) (join *token.Token, path string, err error) {
	for _, path := range places {
		data, err := disk.ReadPrivate(path, token.MaxText+16)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, path, fmt.Errorf("read join token: %w", err)
		}
		join, err := token.Parse(string(data))
		if err != nil {
			return nil, path, fmt.Errorf("join token %q: %w", path, err)
		}
		return &join, path, nil
	}
	return nil, "", nil
}
