package registry

import (
	"strconv"
	"strings"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// maxInstance bounds an instance name, in bytes; the stem of a numbered one is
// shorter by the room for its number.
const (
	maxInstance = 128
	maxStem     = maxInstance - len("-2147483647")
)

// names hands out instance names, each to one worker. Names that differ in
// case only count as the same: they would be the same host in DNS. Not safe for
// concurrent use.
type names map[string]*holder

type holder struct {
	id   model.WorkerID
	next int // the number to try for the next worker with this host name
}

// claim gives id a name made from hostname: itself, or with -2, -3, ... when it
// is taken.
func (n names) claim(hostname string, id model.WorkerID) string {
	name := instanceStem(hostname)
	first, taken := n[strings.ToLower(name)]
	if !taken {
		n[strings.ToLower(name)] = &holder{id: id, next: 2}
		return name
	}
	for {
		numbered := name + "-" + strconv.Itoa(first.next)
		first.next++
		if n.reserve(numbered, id) {
			return numbered
		}
	}
}

// reserve gives id exactly this name; it is false when another one holds it.
func (n names) reserve(name string, id model.WorkerID) bool {
	key := strings.ToLower(name)
	if h, taken := n[key]; taken {
		return h.id == id
	}
	n[key] = &holder{id: id, next: 2}
	return true
}

// release frees a name that id holds.
func (n names) release(name string, id model.WorkerID) {
	key := strings.ToLower(name)
	if h, taken := n[key]; taken && h.id == id {
		delete(n, key)
	}
}

// instanceStem makes a name of a host name: letters, digits, dot, hyphen and
// underscore stay; everything else becomes a hyphen; none of dot and hyphen at
// the ends.
func instanceStem(hostname string) string {
	clean := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '.', r == '-', r == '_':
			return r
		}
		return '-'
	}, hostname)
	clean = strings.Trim(clean, "-.")
	if len(clean) > maxStem {
		clean = strings.TrimRight(clean[:maxStem], "-.")
	}
	if clean == "" {
		return "worker"
	}
	return clean
}

// validInstance reports whether name could have been handed out.
func validInstance(name string) bool {
	return name != "" && len(name) <= maxInstance && strings.Trim(name, "-.") == name &&
		strings.IndexFunc(name, func(r rune) bool {
			return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '-' || r == '_')
		}) < 0
}
