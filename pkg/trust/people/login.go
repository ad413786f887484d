package people

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// externalWait is for how long the External hook may take.
const externalWait = 10 * time.Second

// Login judges a name and a password that came from an address, and begins a
// session: its id is a secret, for the cookie of the one who has logged in. ErrWrong, a
// *LockedError, ErrBusy, or whatever the External hook could not do.
//
// It takes the same time whether there is such a user or not: that of a hashing,
// and while others are at it some seconds more. Letter case of the name is
// ignored.
func (d *Directory) Login(ctx context.Context, name, password string, from netip.Addr) (session string, p Principal, err error) {
	err = d.judge(ctx, name, password, from, func(a attempt, now time.Time) error {
		session, err = d.sessions.start(a.name, a.external, now, d.random)
		if err == nil {
			p, _ = d.sessionLocked(session, now)
		}
		return err
	})
	if err != nil {
		return "", Principal{}, err
	}
	return session, p, nil
}

// Check judges a name and a password as Login does, failures included, and
// begins nothing: for somebody who is to show again that it is he.
func (d *Directory) Check(ctx context.Context, name, password string, from netip.Addr) error {
	return d.judge(ctx, name, password, from, func(attempt, time.Time) error { return nil })
}

// judge calls then, with mu held, when the password was right.
func (d *Directory) judge(ctx context.Context, name, password string, from netip.Addr, then func(attempt, time.Time) error) error {
	a := attempt{name: strings.ToLower(name), source: sourceOf(from)}
	if checkName(a.name) != nil {
		a.name = "?" // nobody's, and short; it is counted and hashed like others
	}
	if len(password) > MaxPassword {
		password = "" // nobody's: checkPassword refuses it
	}
	u, err := d.admit(&a)
	if err != nil {
		return err
	}
	door := d.hashing
	if a.external {
		door = d.asking
	}
	leave, err := door.enter(ctx, a.source)
	if err != nil {
		return err
	}
	defer leave()
	if _, err := d.admit(&a); err != nil { // those before us may have used up the tries
		return err
	}
	right, err := d.right(ctx, a, u, password)
	if err != nil {
		return err
	}
	if err := d.settle(a, u, right, then); err != nil {
		return err
	}
	if u != nil && u.password.below(d.cost) {
		d.rehash(u, password)
	}
	return nil
}

// admit finds out whom a tries to be, and whether he may try.
func (d *Directory) admit(a *attempt) (*user, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	u := d.users[a.name]
	a.known = u != nil
	a.external = u == nil && a.name == AdminName && d.External != nil
	return u, d.guard.check(*a, d.now())
}

// right judges the password. It takes as long as it takes.
func (d *Directory) right(ctx context.Context, a attempt, u *user, password string) (bool, error) {
	switch {
	case u != nil:
		return u.password.matches(password), nil
	case a.external:
		ctx, cancel := context.WithTimeout(ctx, externalWait)
		defer cancel()
		right, err := d.External(ctx, a.name, password)
		if err != nil {
			return false, fmt.Errorf("check the admin secret: %w", err)
		}
		return right, nil
	}
	d.decoy.matches(password)
	return false, nil
}

var errChanged = errors.New("the user was changed meanwhile, try again")

// settle counts, and lets in. Whoever was changed or removed while his password
// was judged is not let in by the old one.
func (d *Directory) settle(a attempt, u *user, right bool, then func(attempt, time.Time) error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.now()
	if !right {
		d.guard.failed(a, now)
		return ErrWrong
	}
	current := d.users[a.name]
	if (current == nil) != (u == nil) || u != nil && current.password != u.password {
		return errors.Join(ErrWrong, errChanged)
	}
	d.guard.succeeded(a)
	return then(a, now)
}

// rehash stores the hash at its present cost. If that fails the old one is as
// good, and the next login tries again.
func (d *Directory) rehash(u *user, password string) {
	fresh, err := newHashed(password, d.cost, d.random)
	if err != nil {
		return
	}
	d.changing.Lock()
	defer d.changing.Unlock()
	users := d.copyUsers()
	current := users[u.name]
	if current == nil || current.password != u.password {
		return
	}
	changed := *current
	changed.password = fresh
	users[u.name] = &changed
	if d.writeUsers(users) != nil {
		return
	}
	d.mu.Lock()
	d.users = users
	d.mu.Unlock()
}

// Session returns who has the session with that id; false: it has ended, or never
// was. Being asked for keeps it from getting idle.
func (d *Directory) Session(id string) (Principal, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.sessionLocked(id, d.now())
}

func (d *Directory) sessionLocked(id string, now time.Time) (Principal, bool) {
	s := d.sessions.use(id, now)
	if s == nil {
		return Principal{}, false
	}
	p := Principal{Name: s.name, Admin: s.external, By: BySession, Expires: s.created.Add(d.sessions.most)}
	if !s.external {
		u := d.users[s.name]
		if u == nil {
			return Principal{}, false
		}
		p.Admin = u.admin
	}
	return p, true
}

// Logout ends a session; false: there was none.
func (d *Directory) Logout(id string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.sessions.end(id)
}

// EndSessions ends all sessions of a name and says how many there were: of
// AdminName, when the admin secret was made anew.
func (d *Directory) EndSessions(name string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.sessions.endAll(name)
}
