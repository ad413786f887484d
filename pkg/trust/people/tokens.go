package people

import (
	"cmp"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
)

// token is an API token as it is stored. Immutable but for used.
type token struct {
	id      tokenID
	label   string
	owner   string
	user    bool // owner is a user of the file
	admin   bool
	hash    [sha256.Size]byte
	created time.Time
	expires time.Time // zero: never
	used    time.Time // to the minute; guarded by the directory's mu
}

// Token is an API token without its secret.
type Token struct {
	ID      string
	Label   string // for people
	Owner   string
	Admin   bool
	Created time.Time
	Expires time.Time // zero: never
	Used    time.Time // last; to the minute
}

// TokenSpec is what a token is to be.
type TokenSpec struct {
	Owner string
	// Outside says that the owner is known by a certificate or by the unix socket: he
	// is not looked for among the users, also if one is called so, and the token
	// stands by itself.
	Outside bool
	Label   string
	Admin   bool
	TTL     time.Duration // 0: never ends
}

// Bounds of a token, in bytes.
const (
	MaxLabel = 100
	maxOwner = 256
	maxTTL   = 100 * 365 * 24 * time.Hour
	// keepExpired is for how long an expired token stays in lists.
	keepExpired = 30 * 24 * time.Hour
)

func checkLabel(label string) error {
	if label == "" || len(label) > MaxLabel || strings.ContainsFunc(label, func(r rune) bool { return !unicode.IsGraphic(r) || r == unicode.ReplacementChar }) {
		return inputError(fmt.Sprintf("name of the token: want at most %d bytes of visible text", MaxLabel))
	}
	return nil
}

func checkOwner(owner string) error {
	if owner == "" || len(owner) > maxOwner || strings.ContainsFunc(owner, func(r rune) bool { return !unicode.IsGraphic(r) || r == unicode.ReplacementChar }) {
		return inputError("owner of the token: want visible text")
	}
	return nil
}

// CreateToken makes an API token. Its text, APIToken.Reveal, is not stored and
// cannot be shown again. A token of a user can never do more than he, and goes with
// him. It waits for the disk.
func (d *Directory) CreateToken(spec TokenSpec) (APIToken, Token, error) {
	if err := cmp.Or(checkLabel(spec.Label), checkOwner(spec.Owner)); err != nil {
		return APIToken{}, Token{}, err
	}
	if spec.TTL < 0 || spec.TTL > maxTTL {
		return APIToken{}, Token{}, inputError("life of the token: want 0, for ever, to 100 years")
	}
	made, err := newAPIToken(d.random)
	if err != nil {
		return APIToken{}, Token{}, err
	}
	d.changing.Lock()
	defer d.changing.Unlock()
	now := d.now().UTC()
	tokens := d.copyTokens()
	maps.DeleteFunc(tokens, func(_ tokenID, t *token) bool {
		return !t.expires.IsZero() && now.Sub(t.expires) > keepExpired
	})
	t := &token{id: made.id, label: spec.Label, owner: spec.Owner, admin: spec.Admin, hash: made.digest(), created: now.Truncate(time.Second)}
	if spec.TTL > 0 {
		t.expires = now.Add(spec.TTL).Truncate(time.Second)
	}
	if u := d.user(spec.Owner); u != nil && !spec.Outside {
		t.user = true
		if spec.Admin && !u.admin {
			return APIToken{}, Token{}, ErrScope
		}
	}
	own := 0
	for _, other := range tokens {
		if other.owner == t.owner && other.user == t.user {
			own++
		}
	}
	if len(tokens) >= MaxTokens || own >= MaxTokensPerOwner || tokens[t.id] != nil {
		return APIToken{}, Token{}, ErrFull
	}
	tokens[t.id] = t
	if err := d.storeTokens(tokens); err != nil {
		return APIToken{}, Token{}, err
	}
	return made, t.row(), nil
}

func (t *token) row() Token {
	return Token{t.id.String(), t.label, t.owner, t.admin, t.created, t.expires, t.used}
}

// Tokens returns those of an owner, or of all when it is empty, the newest first.
func (d *Directory) Tokens(owner string) []Token {
	d.mu.Lock()
	defer d.mu.Unlock()
	rows := []Token{}
	for _, t := range sortedTokens(d.tokens) {
		if owner == "" || t.owner == owner {
			rows = append(rows, t.row())
		}
	}
	return rows
}

func sortedTokens(tokens map[tokenID]*token) []*token {
	return slices.SortedFunc(maps.Values(tokens), func(a, b *token) int {
		return cmp.Or(b.created.Compare(a.created), cmp.Compare(a.id.String(), b.id.String()))
	})
}

// RevokeToken removes the token with that id, of that owner or, when it is empty,
// of anybody; else ErrNoToken. It waits for the disk.
func (d *Directory) RevokeToken(id, owner string) (Token, error) {
	key, ok := parseTokenID(id)
	if !ok {
		return Token{}, ErrNoToken
	}
	d.changing.Lock()
	defer d.changing.Unlock()
	tokens := d.copyTokens()
	t := tokens[key]
	if t == nil || owner != "" && t.owner != owner {
		return Token{}, ErrNoToken
	}
	delete(tokens, key)
	if err := d.storeTokens(tokens); err != nil {
		return Token{}, err
	}
	return t.row(), nil
}

// Token returns for whom the text of an API token stands; false for every reason
// of CheckToken.
func (d *Directory) Token(text string) (Principal, bool) {
	p, err := d.CheckToken(text)
	return p, err == nil
}

// CheckToken does the same and says why not: ErrNotToken, ErrTokenVersion,
// ErrTokenDamaged, ErrTokenUnknown or ErrTokenExpired. It notes the use.
func (d *Directory) CheckToken(text string) (Principal, error) {
	shown, err := parseAPIToken(text)
	if err != nil {
		return Principal{}, err
	}
	digest := shown.digest()
	d.mu.Lock()
	defer d.mu.Unlock()
	t, now := d.tokens[shown.id], d.now()
	if t == nil || subtle.ConstantTimeCompare(t.hash[:], digest[:]) != 1 {
		return Principal{}, ErrTokenUnknown
	}
	admin := t.admin
	if t.user {
		u := d.users[t.owner]
		if u == nil {
			return Principal{}, ErrTokenUnknown
		}
		admin = admin && u.admin
	}
	if !t.expires.IsZero() && !now.Before(t.expires) {
		return Principal{}, ErrTokenExpired
	}
	if minute := now.UTC().Truncate(time.Minute); !minute.Equal(t.used) {
		t.used, d.usedDirty = minute, true
	}
	return Principal{Name: t.owner, Admin: admin, By: ByToken, Expires: t.expires, TokenID: t.id.String()}, nil
}

func (d *Directory) user(name string) *user {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.users[name]
}

func (d *Directory) copyTokens() map[tokenID]*token {
	d.mu.Lock()
	defer d.mu.Unlock()
	return maps.Clone(d.tokens)
}

// storeTokens writes tokens and puts them in place; changing is held.
func (d *Directory) storeTokens(tokens map[tokenID]*token) error {
	d.mu.Lock()
	data, err := marshalTokens(tokens) // used changes under mu
	dirty := d.usedDirty
	d.usedDirty = false
	d.mu.Unlock()
	if err == nil {
		err = writeFile(d.tokensPath(), data)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err != nil {
		d.usedDirty = d.usedDirty || dirty
		return fmt.Errorf("write API tokens: %w", err)
	}
	d.tokens = tokens
	return nil
}

// flush writes last uses that are not on disk yet. It waits for the disk.
func (d *Directory) flush() error {
	d.changing.Lock()
	defer d.changing.Unlock()
	d.mu.Lock()
	dirty := d.usedDirty
	d.mu.Unlock()
	if !dirty {
		return nil
	}
	return d.storeTokens(d.copyTokens())
}
