package worker

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"syscall"

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
		data, info, err := readBounded(path, token.MaxText+16)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, path, fmt.Errorf("read join token: %w", err)
		}
		if err := checkSecret(path, info); err != nil {
			return nil, path, err
		}
		join, err := token.Parse(string(data))
		if err != nil {
			return nil, path, fmt.Errorf("join token %q: %w", path, err)
		}
		return &join, path, nil
	}
	return nil, "", nil
}

// errReadable says that others can read a secret.
var errReadable = errors.New("readable by others")

// checkSecret wants that only the owner reads the file; of one that belongs to
// root also its group may, which is how a secret is handed to one service.
func checkSecret(path string, info fs.FileInfo) error {
	forbidden := fs.FileMode(0o077)
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && stat.Uid == 0 {
		forbidden = 0o037
	}
	if mode := info.Mode().Perm(); mode&forbidden != 0 {
		return fmt.Errorf("join token %q: mode %04o: %w; run: chmod 600 %s", path, mode, errReadable, path)
	}
	return nil
}
