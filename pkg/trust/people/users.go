package people

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"
	"unicode"
	"unicode/utf8"
)

// user is one of the file. Immutable.
type user struct {
	name     string
	admin    bool
	password *hashed
	created  time.Time
	changed  time.Time // the password
}

// User is a user without his password.
type User struct {
	Name    string
	Admin   bool
	Created time.Time
	Changed time.Time // when the password was set
	Locked  time.Time // until then; zero: not
}

// Bounds of what a user is given, in bytes but for MinPassword: characters.
const (
	MaxName     = 64
	MinPassword = 10
	MaxPassword = 256
)

// checkName wants a name that looks the same everywhere and needs no quoting.
func checkName(name string) error {
	good := name != "" && len(name) <= MaxName
	for i := 0; good && i < len(name); i++ {
		c := name[i]
		good = 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || i > 0 && (c == '.' || c == '_' || c == '-' || c == '@')
	}
	if !good {
		return inputError(fmt.Sprintf("user name %.80q: want at most %d of a-z, 0-9 and . _ - @, beginning with a letter or digit", name, MaxName))
	}
	return nil
}

func checkPassword(name, password string) error {
	switch {
	case utf8.RuneCountInString(password) < MinPassword:
		return inputError(fmt.Sprintf("password: want at least %d characters", MinPassword))
	case len(password) > MaxPassword:
		return inputError(fmt.Sprintf("password: want at most %d bytes", MaxPassword))
	case !utf8.ValidString(password):
		return inputError("password: not UTF-8")
	case password == name:
		return inputError("password: it is the user's name")
	}
	for _, r := range password {
		if unicode.IsControl(r) {
			return inputError("password: holds a control character, such as a line's end")
		}
	}
	return nil
}

// Users returns all of them, by name.
func (d *Directory) Users() []User {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.now()
	users := make([]User, 0, len(d.users))
	for _, name := range slices.Sorted(maps.Keys(d.users)) {
		u := d.users[name]
		users = append(users, User{u.name, u.admin, u.created, u.changed, d.guard.users.locked(name, now)})
	}
	return users
}

// SetUser makes a user, or gives one another password and scope; an empty password
// leaves the one he has. With a new password his sessions end, and his lock.
// Another scope counts at once, for his sessions and tokens as well.
//
// It waits for a hashing, or returns ErrBusy, and for the disk.
func (d *Directory) SetUser(ctx context.Context, name, password string, admin bool) error {
	if err := checkName(name); err != nil {
		return err
	}
	if password == "" {
		return d.setScope(name, admin)
	}
	fresh, err := d.hash(ctx, name, password)
	if err != nil {
		return err
	}
	return d.changeUser(name, true, func(u *user) { u.admin, u.password, u.changed = admin, fresh, d.now() })
}

// SetPassword gives a user, who must exist, another password. His sessions end.
// It waits as SetUser does.
func (d *Directory) SetPassword(ctx context.Context, name, password string) error {
	d.mu.Lock()
	exists := d.users[name] != nil
	d.mu.Unlock()
	if !exists {
		return ErrNoUser
	}
	fresh, err := d.hash(ctx, name, password)
	if err != nil {
		return err
	}
	return d.changeUser(name, false, func(u *user) { u.password, u.changed = fresh, d.now() })
}

func (d *Directory) setScope(name string, admin bool) error {
	return d.changeUser(name, false, func(u *user) { u.admin = admin })
}

// hash makes a hash of a password that is to be stored.
func (d *Directory) hash(ctx context.Context, name, password string) (*hashed, error) {
	if err := checkPassword(name, password); err != nil {
		return nil, err
	}
	leave, err := d.hashing.enter(ctx, netip.Prefix{})
	if err != nil {
		return nil, err
	}
	defer leave()
	return newHashed(password, d.cost, d.random)
}

// changeUser writes a changed copy of a user, and makes him if create.
func (d *Directory) changeUser(name string, create bool, change func(*user)) error {
	d.changing.Lock()
	defer d.changing.Unlock()
	users := d.copyUsers()
	former := users[name]
	switch {
	case former == nil && !create:
		return ErrNoUser
	case former == nil && len(users) >= MaxUsers:
		return ErrFull
	}
	changed := &user{name: name, created: d.now()}
	if former != nil {
		*changed = *former
	}
	change(changed)
	users[name] = changed
	if err := d.writeUsers(users); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.users = users
	if former == nil || former.password != changed.password {
		d.sessions.endAll(name)
		d.guard.forget(name)
	}
	return nil
}

// RemoveUser removes a user, ends his sessions and removes his tokens. It waits
// for the disk.
func (d *Directory) RemoveUser(name string) error {
	d.changing.Lock()
	defer d.changing.Unlock()
	users := d.copyUsers()
	if users[name] == nil {
		return ErrNoUser
	}
	delete(users, name)
	tokens := d.copyTokens()
	had := len(tokens)
	maps.DeleteFunc(tokens, func(_ tokenID, t *token) bool { return t.user && t.owner == name })
	if len(tokens) != had { // first: after a crash in between he is there and can be removed again
		if err := d.storeTokens(tokens); err != nil {
			return err
		}
	}
	if err := d.writeUsers(users); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.users = users
	d.sessions.endAll(name)
	d.guard.forget(name)
	return nil
}

func (d *Directory) copyUsers() map[string]*user {
	d.mu.Lock()
	defer d.mu.Unlock()
	return maps.Clone(d.users)
}

func (d *Directory) writeUsers(users map[string]*user) error {
	data, err := marshalUsers(users)
	if err != nil {
		return fmt.Errorf("write users: %w", err)
	}
	return writeFile(d.usersPath(), data)
}
