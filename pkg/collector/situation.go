package collector

import (
	"strings"
	"sync"
)

// situation tells the service manager in a line what the daemon waits for.
type situation struct {
	tell  func(string)
	usual string // when it waits for nothing

	mu    sync.Mutex // guards what follows
	waits [numWaits]string
	told  string
}

// wait is something that may be missing.
type wait uint8

const (
	waitCertificate wait = iota
	waitVoucher
	numWaits
)

// set says why something is missing; "" means that it is there.
func (s *situation) set(what wait, why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waits[what] = why
	s.tellLocked()
}

// serves says what the daemon does when nothing is missing.
func (s *situation) serves(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.usual = text
	s.tellLocked()
}

func (s *situation) tellLocked() {
	var all []string
	for _, why := range s.waits {
		if why != "" {
			all = append(all, why)
		}
	}
	text := strings.Join(all, "; ")
	if text == "" {
		text = s.usual
	}
	if text != "" && text != s.told {
		s.told = text
		s.tell(text)
	}
}
