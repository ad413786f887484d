package packet

import (
	"fmt"
	"slices"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// WindowConfig bounds a replay window.
type WindowConfig struct {
	// Skew is how far a packet's time may be from ours. More forgives worse
	// clocks, and remembers longer. Not less than a second.
	Skew time.Duration `toml:"skew"`
	// PerSender is how many packets of one sender are remembered, 24 bytes
	// each. Older ones than those are refused even within Skew: less than a sender
	// sends in the time by which its packets overtake each other costs packets.
	PerSender int `toml:"per_sender"`
	// Senders is how many are remembered at once, about 150 bytes each besides
	// their packets. Further ones are refused until others have been silent for
	// twice Skew: less than the fleet has workers costs answers.
	Senders int `toml:"senders"`
}

// DefaultWindowConfig fits a fleet of 100,000.
func DefaultWindowConfig() WindowConfig {
	return WindowConfig{Skew: 5 * time.Minute, PerSender: 16, Senders: 131_072}
}

// Validate names the field that is wrong (model.FieldError).
func (c WindowConfig) Validate() error {
	switch {
	case c.Skew < time.Second || c.Skew > time.Hour:
		return model.Fieldf("skew", "%s: want 1s to 1h", c.Skew)
	case c.PerSender < 1 || c.PerSender > 1024:
		return model.Fieldf("per_sender", "%d: want 1 to 1024", c.PerSender)
	case c.Senders < 1 || c.Senders > 10_000_000:
		return model.Fieldf("senders", "%d: want 1 to 10000000", c.Senders)
	}
	return nil
}

// Window remembers which packets were accepted, so that none is accepted twice.
// It never forgets a packet that could still be accepted: whatever it drops for
// want of room raises a floor, and packets below the floor are too old. It has
// no clock. Not safe for concurrent use.
//
// What it knows ends with the process: after a restart packets of the last
// minutes are accepted once more.
type Window struct {
	cfg     WindowConfig
	senders map[Sender]*history
	floor   int64 // of senders that were dropped, Unix ms
	sweepAt int64 // when silent senders are looked for again, Unix ms
}

// history is what is remembered of one sender.
type history struct {
	floor  int64  // packets of this time and before are refused
	newest int64  // time of the newest packet
	seen   []mark // in no order, times above floor
}

type mark struct {
	at    int64
	nonce Nonce
}

// NewWindow returns an empty window.
func NewWindow(cfg WindowConfig) (*Window, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("replay window: %w", err)
	}
	return &Window{cfg: cfg, senders: map[Sender]*history{}}, nil
}

// Senders is how many the window remembers.
func (w *Window) Senders() int { return len(w.senders) }

// Accept decides about a packet whose signature is good, and remembers it when
// it is accepted. at is the packet's own time, now ours.
func (w *Window) Accept(sender Sender, nonce Nonce, at, now time.Time) Verdict {
	verdict := Verdict{Offset: at.Sub(now)}
	ms := at.UnixMilli()
	h := w.senders[sender]
	switch {
	case verdict.Offset < -w.cfg.Skew:
		verdict.Reason = TooOld
	case verdict.Offset > w.cfg.Skew:
		verdict.Reason = FromFuture
	case h == nil && ms <= w.floor, h != nil && ms <= h.floor:
		verdict.Reason = TooOld
	case h != nil && slices.Contains(h.seen, mark{ms, nonce}):
		verdict.Reason = Replayed
	case h == nil && !w.room(now.UnixMilli()):
		verdict.Reason = WindowFull
	default:
		w.remember(sender, mark{ms, nonce}, now.UnixMilli())
	}
	return verdict
}

// Seen reports whether the packet would be refused as replayed: a cheap question
// before a signature is verified. It changes nothing.
func (w *Window) Seen(sender Sender, nonce Nonce, at time.Time) bool {
	h := w.senders[sender]
	return h != nil && slices.Contains(h.seen, mark{at.UnixMilli(), nonce})
}

func (w *Window) remember(sender Sender, m mark, now int64) {
	h := w.senders[sender]
	if h == nil {
		h = &history{floor: w.floor}
		w.senders[sender] = h
	}
	h.expire(now - w.cfg.Skew.Milliseconds())
	if len(h.seen) >= w.cfg.PerSender {
		h.dropOldest()
	}
	if m.at > h.floor { // else it is below what was just dropped: refused from now on anyway
		h.seen = append(h.seen, m)
	}
	h.newest = max(h.newest, m.at)
}

// expire forgets what is too old for everybody. The floor keeps it so, should
// our clock be set back.
func (h *history) expire(before int64) {
	h.seen = slices.DeleteFunc(h.seen, func(m mark) bool {
		if m.at < before {
			h.floor = max(h.floor, m.at)
			return true
		}
		return false
	})
}

// dropOldest makes room: all packets of the oldest time go.
func (h *history) dropOldest() {
	oldest := h.seen[0].at
	for _, m := range h.seen {
		oldest = min(oldest, m.at)
	}
	h.floor = max(h.floor, oldest)
	h.seen = slices.DeleteFunc(h.seen, func(m mark) bool { return m.at <= oldest })
}

// room reports whether another sender may be remembered. When the window is full
// it drops those of which nothing can be accepted any more, but looks through
// all of them at most every eighth of Skew.
func (w *Window) room(now int64) bool {
	if len(w.senders) < w.cfg.Senders {
		return true
	}
	skew := w.cfg.Skew.Milliseconds()
	if now < w.sweepAt && w.sweepAt-now <= skew {
		return false
	}
	w.sweepAt = now + skew/8
	for sender, h := range w.senders {
		if h.newest < now-skew {
			w.floor = max(w.floor, h.newest)
			delete(w.senders, sender)
		}
	}
	return len(w.senders) < w.cfg.Senders
}
