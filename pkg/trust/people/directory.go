package people

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"path/filepath"
	"sync"
	"time"
)

// Bounds of a directory. What is beyond is refused with ErrFull.
const (
	MaxUsers          = 1000
	MaxTokens         = 5000
	MaxTokensPerOwner = 100
)

// AdminName is the name that goes with the fleet's admin secret.
const AdminName = "admin"

// By what somebody has shown who he is.
const (
	BySession = "session"
	ByToken   = "token"
)

// Principal is somebody who has shown who he is.
type Principal struct {
	Name  string
	Admin bool   // may do everything; otherwise look
	By    string // BySession or ByToken
	// Expires is when that ends at the latest; a session that is not used ends
	// earlier. Zero: not by itself.
	Expires time.Time
	// TokenID is that of the API token, if it was one.
	TokenID string
}

// Directory is the users, their sessions and their API tokens. Safe for
// concurrent use; no method waits for the disk or for a hashing but those that
// say so.
type Directory struct {
	// External judges the secret of AdminName when no user of the file is called so;
	// nil: then there is nobody of that name. An error means that it could not
	// be judged, and is what Login returns. Set before the first call. At most 2 at
	// once are asked, for externalWait each.
	External func(ctx context.Context, name, secret string) (ok bool, err error)

	dir       string
	now       func() time.Time
	random    io.Reader
	cost      cost
	decoy     *hashed
	hashing   *gate
	asking    *gate
	changing  sync.Mutex // one change of the files at a time, disk included; before mu
	mu        sync.Mutex
	users     map[string]*user   // the values are immutable
	tokens    map[tokenID]*token // the values are immutable but for used
	usedDirty bool               // a last use is not on disk yet
	sessions  *sessions
	guard     *guard
}

// Open reads the directory's files in dir. Missing files are an empty directory;
// a damaged one is an error, and left as it is. random must be safe for
// concurrent use, as crypto/rand.Reader is.
func Open(dir string, cfg Config, now func() time.Time, random io.Reader) (*Directory, error) {
	return open(dir, cfg, now, random, present())
}

func open(dir string, cfg Config, now func() time.Time, random io.Reader, c cost) (*Directory, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("open users: %w", err)
	}
	d := &Directory{dir: dir, now: now, random: random, cost: c, hashing: newGate(), asking: newGate(),
		sessions: newSessions(cfg), guard: newGuard(cfg)}
	var err error
	if d.decoy, err = decoy(c, random); err != nil {
		return nil, err
	}
	if d.users, err = readUsers(d.usersPath()); err != nil {
		return nil, err
	}
	if d.tokens, err = readTokens(d.tokensPath()); err != nil {
		return nil, err
	}
	// A crash while a user was removed may have left his tokens: they must not
	// come to life when somebody else gets his name.
	maps.DeleteFunc(d.tokens, func(_ tokenID, t *token) bool { return t.user && d.users[t.owner] == nil })
	return d, nil
}

func (d *Directory) usersPath() string  { return filepath.Join(d.dir, UsersFile) }
func (d *Directory) tokensPath() string { return filepath.Join(d.dir, TokensFile) }

// flushEvery is how often last uses of tokens are written, and what has ended is
// forgotten.
const flushEvery = time.Minute

// Run writes the last uses of tokens once a minute, and a last time when ctx
// ends; then it returns. Without it nothing else is lost. It returns an error
// only if that last write fails; others are made up for a minute later.
func (d *Directory) Run(ctx context.Context) error {
	ticker := time.NewTicker(flushEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return d.flush()
		case <-ticker.C:
			d.prune()
			_ = d.flush() // it stays dirty
		}
	}
}

func (d *Directory) prune() {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.now()
	d.sessions.prune(now)
	d.guard.prune(now)
}

// Stats are figures of the present.
type Stats struct{ Users, Tokens, Sessions int }

// Stats returns them.
func (d *Directory) Stats() Stats {
	d.mu.Lock()
	defer d.mu.Unlock()
	return Stats{len(d.users), len(d.tokens), len(d.sessions.byKey)}
}

// String tells no secret and no hash.
func (d *Directory) String() string { return "users of " + d.dir }

// Format implements fmt.Formatter: every verb prints String.
func (d *Directory) Format(f fmt.State, _ rune) { io.WriteString(f, d.String()) }

// LogValue implements slog.LogValuer.
func (d *Directory) LogValue() slog.Value { return slog.StringValue(d.String()) }
