package audit

import "time"

// Entry is one line of an audit log: who did what, from where.
type Entry struct {
	At time.Time `json:"at"`
	// Daemon that wrote it.
	Daemon string `json:"daemon"`
	// Who: "user alice", "root", "uid 1000", "worker ID", "policy 1" ...
	Who string `json:"who"`
	// What: a word of the closed list (Words): TokenCreate and so on.
	What string `json:"what"`
	// On is what it was done to, if anything: a worker's id, a token's.
	On string `json:"on,omitempty"`
	// From is the address, or "unix socket", or "" when it was the daemon itself.
	From string `json:"from,omitempty"`
	// OK is whether it was done; if not, Detail says why.
	OK     bool              `json:"ok"`
	Detail string            `json:"detail,omitempty"`
	More   map[string]string `json:"more,omitempty"`
}
