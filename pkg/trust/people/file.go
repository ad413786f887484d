package people

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/trust/disk"
)

const (
	fileVersion = 1
	maxFile     = 8 << 20 // bytes; more than MaxUsers and MaxTokens take
)

type usersFile struct {
	Version int       `json:"version"`
	Users   []userRow `json:"users"`
}

type userRow struct {
	Name     string    `json:"name"`
	Scope    string    `json:"scope"`
	Password string    `json:"password"` // PHC
	Created  time.Time `json:"created"`
	Changed  time.Time `json:"changed"`
}

type tokensFile struct {
	Version int        `json:"version"`
	Tokens  []tokenRow `json:"tokens"`
}

type tokenRow struct {
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	Owner   string    `json:"owner"`
	User    bool      `json:"user"`
	Scope   string    `json:"scope"`
	Hash    string    `json:"hash"` // hex
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires,omitzero"`
	Used    time.Time `json:"used,omitzero"`
}

const (
	scopeRead  = "read"
	scopeAdmin = "admin"
)

func scopeText(admin bool) string {
	if admin {
		return scopeAdmin
	}
	return scopeRead
}

func parseScope(text string) (admin bool, err error) {
	if text != scopeRead && text != scopeAdmin {
		return false, fmt.Errorf("scope %.20q: want read or admin", text)
	}
	return text == scopeAdmin, nil
}

func marshalUsers(users map[string]*user) ([]byte, error) {
	f := usersFile{Version: fileVersion, Users: []userRow{}}
	for _, name := range slices.Sorted(maps.Keys(users)) {
		u := users[name]
		f.Users = append(f.Users, userRow{u.name, scopeText(u.admin), u.password.phc(), u.created, u.changed})
	}
	return encode(f)
}

func parseUsers(data []byte) (map[string]*user, error) {
	var f usersFile
	if err := decodeFile(data, &f, &f.Version); err != nil {
		return nil, err
	}
	if len(f.Users) > MaxUsers {
		return nil, fmt.Errorf("%d users, want at most %d", len(f.Users), MaxUsers)
	}
	users := make(map[string]*user, len(f.Users))
	for i, row := range f.Users {
		admin, scopeErr := parseScope(row.Scope)
		password, hashErr := parsePHC(row.Password)
		err := errors.Join(checkName(row.Name), scopeErr, hashErr)
		if err == nil && users[row.Name] != nil {
			err = errors.New("a second one of that name")
		}
		if err != nil {
			return nil, fmt.Errorf("user %d: %w", i+1, err)
		}
		users[row.Name] = &user{row.Name, admin, password, row.Created, row.Changed}
	}
	return users, nil
}

func marshalTokens(tokens map[tokenID]*token) ([]byte, error) {
	f := tokensFile{Version: fileVersion, Tokens: []tokenRow{}}
	for _, t := range sortedTokens(tokens) {
		f.Tokens = append(f.Tokens, tokenRow{t.id.String(), t.label, t.owner, t.user, scopeText(t.admin), hex.EncodeToString(t.hash[:]),
			t.created, t.expires, t.used})
	}
	return encode(f)
}

func parseTokens(data []byte) (map[tokenID]*token, error) {
	var f tokensFile
	if err := decodeFile(data, &f, &f.Version); err != nil {
		return nil, err
	}
	if len(f.Tokens) > MaxTokens {
		return nil, fmt.Errorf("%d tokens, want at most %d", len(f.Tokens), MaxTokens)
	}
	tokens := make(map[tokenID]*token, len(f.Tokens))
	for i, row := range f.Tokens {
		id, ok := parseTokenID(row.ID)
		admin, scopeErr := parseScope(row.Scope)
		hash, hashErr := parseDigest(row.Hash)
		err := errors.Join(scopeErr, hashErr, checkLabel(row.Name), checkOwner(row.Owner))
		if err == nil && (!ok || tokens[id] != nil) {
			err = errors.New("id: want 16 hexadecimal digits that no other has")
		}
		if err != nil {
			return nil, fmt.Errorf("token %d: %w", i+1, err)
		}
		tokens[id] = &token{id: id, label: row.Name, owner: row.Owner, user: row.User, admin: admin, hash: hash,
			created: row.Created, expires: row.Expires, used: row.Used}
	}
	return tokens, nil
}

func parseDigest(text string) (digest [sha256.Size]byte, err error) {
	if len(text) == hex.EncodedLen(len(digest)) {
		_, err = hex.Decode(digest[:], []byte(text))
	}
	if err != nil || hex.EncodeToString(digest[:]) != text {
		return digest, errors.New("hash: want 64 hexadecimal digits")
	}
	return digest, nil
}

func encode(f any) ([]byte, error) {
	data, err := json.MarshalIndent(f, "", " ")
	return append(data, '\n'), err
}

// decodeFile fills f, of which version is a part.
func decodeFile(data []byte, f any, version *int) error {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(f); err != nil {
		// The decoder's errors may quote values, and these are hashes.
		if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
			return fmt.Errorf("no JSON at byte %d", syntax.Offset)
		}
		if kind, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			return fmt.Errorf("member %.80q: not of its type, at byte %d", kind.Field, kind.Offset)
		}
		if strings.HasPrefix(err.Error(), "json: unknown field") {
			return errors.New("a member that this version does not know")
		}
		return errors.New("not what this version writes")
	}
	if _, err := decoder.Token(); err != io.EOF {
		return errors.New("something behind it")
	}
	if *version != fileVersion {
		return fmt.Errorf("version %d, want %d", *version, fileVersion)
	}
	return nil
}

func readUsers(path string) (map[string]*user, error) { return readFile(path, parseUsers) }

func readTokens(path string) (map[tokenID]*token, error) { return readFile(path, parseTokens) }

func readFile[K comparable, V any](path string, parse func([]byte) (map[K]V, error)) (map[K]V, error) {
	data, err := disk.ReadPrivate(path, maxFile)
	if errors.Is(err, fs.ErrNotExist) {
		return map[K]V{}, nil
	}
	if err != nil {
		return nil, err
	}
	values, err := parse(data)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", path, err)
	}
	return values, nil
}

func writeFile(path string, data []byte) error { return disk.Replace(path, data, disk.Private) }
