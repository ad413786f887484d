package people

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"time"
)

const sessionSize = 32 // random bytes of an id

// sessionKey is what a session is stored under: whoever reads the process's
// memory or a core of it finds no id that is good.
type sessionKey [sha256.Size]byte

type session struct {
	name     string
	external bool // by the External hook: not a user of the file
	created  time.Time
	used     time.Time
}

// sessions is not safe for concurrent use.
type sessions struct {
	byKey             map[sessionKey]*session
	idle, most        time.Duration
	room, roomPerUser int
}

func newSessions(cfg Config) *sessions {
	return &sessions{byKey: map[sessionKey]*session{}, idle: cfg.SessionIdle, most: cfg.SessionMax,
		room: cfg.MaxSessions, roomPerUser: cfg.MaxSessionsPerUser}
}

// keyOf is false for a text that no id has.
func keyOf(id string) (sessionKey, bool) {
	if len(id) != base64.RawURLEncoding.EncodedLen(sessionSize) {
		return sessionKey{}, false
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(id)
	if err != nil || len(raw) != sessionSize { // the decoder passes over line ends
		return sessionKey{}, false
	}
	return sha256.Sum256(raw), true
}

// start makes a session. When there is no room, the one of the same user, or of
// all, that was idle for longest ends.
func (s *sessions) start(name string, external bool, now time.Time, random io.Reader) (id string, err error) {
	var raw [sessionSize]byte
	if _, err := io.ReadFull(random, raw[:]); err != nil {
		return "", fmt.Errorf("make session: %w", err)
	}
	if s.count(name) >= s.roomPerUser {
		s.endOldest(func(other *session) bool { return other.name == name })
	}
	if len(s.byKey) >= s.room {
		s.prune(now)
	}
	if len(s.byKey) >= s.room {
		s.endOldest(func(*session) bool { return true })
	}
	s.byKey[sha256.Sum256(raw[:])] = &session{name: name, external: external, created: now, used: now}
	return base64.RawURLEncoding.EncodeToString(raw[:]), nil
}

// use returns a session that has not ended, and keeps it from getting idle.
func (s *sessions) use(id string, now time.Time) *session {
	key, ok := keyOf(id)
	if !ok {
		return nil
	}
	found := s.byKey[key]
	if found == nil {
		return nil
	}
	if s.over(found, now) {
		delete(s.byKey, key)
		return nil
	}
	found.used = now
	return found
}

func (s *sessions) over(one *session, now time.Time) bool {
	return now.Sub(one.used) >= s.idle || now.Sub(one.created) >= s.most
}

func (s *sessions) end(id string) bool {
	key, ok := keyOf(id)
	if !ok || s.byKey[key] == nil {
		return false
	}
	delete(s.byKey, key)
	return true
}

func (s *sessions) endAll(name string) (ended int) {
	for key, one := range s.byKey {
		if one.name == name {
			delete(s.byKey, key)
			ended++
		}
	}
	return ended
}

func (s *sessions) count(name string) (n int) {
	for _, one := range s.byKey {
		if one.name == name {
			n++
		}
	}
	return n
}

func (s *sessions) endOldest(of func(*session) bool) {
	var oldest sessionKey
	var found *session
	for key, one := range s.byKey {
		if of(one) && (found == nil || one.used.Before(found.used)) {
			oldest, found = key, one
		}
	}
	delete(s.byKey, oldest)
}

func (s *sessions) prune(now time.Time) {
	for key, one := range s.byKey {
		if s.over(one, now) {
			delete(s.byKey, key)
		}
	}
}
