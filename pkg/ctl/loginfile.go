package ctl

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/disk"
)

// login is what `cloudlessctl login` leaves behind: where the fleet is, how it is
// recognised, and an API token. The password is not part of it.
type login struct {
	Version   int    `json:"version"`
	Collector string `json:"collector"`
	Fleet     string `json:"fleet"`
	// Authorities are pinned: a collector that shows a certificate of one of
	// them is the fleet's.
	Authorities []trust.Fingerprint `json:"authorities"`
	User        string              `json:"user"`
	Scope       string              `json:"scope"`
	TokenID     string              `json:"token_id"`
	Token       string              `json:"token"`
	Expires     time.Time           `json:"expires,omitzero"`
}

// loginVersion is the version of the file. Others are refused.
const loginVersion = 1

// maxLogin bounds what is read of the file, in bytes.
const maxLogin = 64 << 10

// loginPath is where the login of this user is kept.
func loginPath() (string, error) {
	dir, err := os.UserConfigDir() // $XDG_CONFIG_HOME, or ~/.config
	if err != nil {
		return "", fmt.Errorf("find the place of the login: %w", err)
	}
	return filepath.Join(dir, "cloudless", "cloudlessctl.json"), nil
}

// readLogin returns nil when nobody has logged in, or has no home to log in at.
func readLogin() (*login, error) {
	path, err := loginPath()
	if err != nil {
		return nil, nil
	}
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read login: %w", err)
	}
	defer file.Close()
	if info, err := file.Stat(); err == nil && info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("read login: %q holds a secret and can be read by others (mode %04o)\n`chmod 600` it, and `cloudlessctl logout` if somebody may have read it", path, info.Mode().Perm())
	}
	data, err := io.ReadAll(io.LimitReader(file, maxLogin+1))
	if err != nil {
		return nil, fmt.Errorf("read login: %w", err)
	}
	l, err := parseLogin(data)
	if err != nil {
		return nil, fmt.Errorf("read login %q: %w\n`cloudlessctl login` makes it anew", path, err)
	}
	return l, nil
}

// parseLogin checks what it reads: errors hold nothing of the file, where the
// token is.
func parseLogin(data []byte) (*login, error) {
	var l login
	if len(data) > maxLogin || json.Unmarshal(data, &l) != nil {
		return nil, errors.New("damaged")
	}
	if l.Version != loginVersion {
		return nil, fmt.Errorf("it is of version %d, this cloudlessctl reads version %d", l.Version, loginVersion)
	}
	if checkAddress(l.Collector) != nil || trust.CheckFleet(l.Fleet) != nil || len(l.Authorities) == 0 || l.Token == "" {
		return nil, errors.New("incomplete")
	}
	return &l, nil
}

// write puts the login into its file, as a whole or not at all; nobody else can
// read it.
func (l *login) write() error {
	path, err := loginPath()
	if err != nil {
		return err
	}
	data, err := json.MarshalIndent(l, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), disk.Folder); err != nil {
		return fmt.Errorf("write login: %w", err)
	}
	return disk.Replace(path, append(data, '\n'), disk.Private)
}

// forget removes the file.
func (l *login) forget() error {
	path, err := loginPath()
	if err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove login: %w", err)
	}
	return nil
}
