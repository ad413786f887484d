package worker

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"
	"sync"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/daemon/logkey"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/disk"
)

// standing is where the worker stands with its fleet: a small closed set.
type standing string

const (
	standingNew     standing = "new"     // nobody was asked yet, or nobody has answered
	standingPending standing = "pending" // an operator has to approve
	standingRefused standing = "refused" // asked, and told no
	standingMember  standing = "member"  // there is a certificate, and it is good
	standingExpired standing = "expired" // it ran out: the key is proved instead
	standingRevoked standing = "revoked"
)

func standings() []standing {
	return []standing{standingNew, standingPending, standingRefused, standingMember, standingExpired, standingRevoked}
}

// sessionState is how far this process is with the coordinator.
type sessionState string

const (
	sessionNone     sessionState = "none"
	sessionWaiting  sessionState = "waiting" // another process of this identity seems to be alive
	sessionAdmitted sessionState = "admitted"
	sessionLost     sessionState = "lost" // admitted, and the coordinator is away
)

func sessionStates() []sessionState {
	return []sessionState{sessionNone, sessionWaiting, sessionAdmitted, sessionLost}
}

// Status is what workerd tells of itself in status.json, for `workerd status`
// and for its own next start. There is no secret in it.
type Status struct {
	Version  int            `json:"version"`
	At       time.Time      `json:"at"` // of writing
	PID      int            `json:"pid"`
	Worker   model.WorkerID `json:"worker"`
	Boot     *model.BootID  `json:"boot,omitempty"`
	Former   string         `json:"former,omitempty"` // who it was before it made itself a new identity
	Standing standing       `json:"standing"`
	Fleet    string         `json:"fleet,omitempty"`
	// Authority is the fingerprint of the fleet's authority: the one that has
	// signed the certificate, or that a coordinator has shown while pending.
	Authority string `json:"authority,omitempty"`
	// Code is the pairing code, while pending.
	Code string `json:"code,omitempty"`
	// Text says more about Standing: a reason, what is waited for.
	Text string `json:"text,omitempty"`
	// Coordinator is the address, host:port, that has answered last.
	Coordinator     string       `json:"coordinator,omitempty"`
	CertificateEnds *time.Time   `json:"certificate_ends,omitempty"`
	Session         sessionState `json:"session"`
	SessionText     string       `json:"session_text,omitempty"`
	Registration    string       `json:"registration,omitempty"`
	Instance        string       `json:"instance,omitempty"`
	Collector       string       `json:"collector,omitempty"` // where frames go, host:port
	Stream          string       `json:"stream,omitempty"`
	Plan            uint64       `json:"plan,omitempty"`
	Profile         string       `json:"profile,omitempty"`
	// Waiting is how many bytes the collector does not have yet, about, and WaitingFor
	// the age of the oldest of them in seconds. Both are left out while it is hardly
	// behind.
	Waiting    uint64 `json:"waiting_bytes,omitempty"`
	WaitingFor int64  `json:"waiting_seconds,omitempty"`
	// Spool says why records are in memory only; empty when they are on disk.
	Spool string `json:"spool,omitempty"`
	// ClockOffset is this host's clock minus the coordinator's, in milliseconds.
	ClockOffset *int64    `json:"clock_offset_ms,omitempty"`
	Error       string    `json:"error,omitempty"` // the last one, and when
	ErrorAt     time.Time `json:"error_at,omitzero"`
}

const (
	statusVersion = 1
	maxStatus     = 64 << 10 // bytes
)

// readStatus reads the status file. A damaged one is an error that the daemon
// passes over: it is only a memory.
func readStatus(dir stateDir) (Status, error) {
	data, err := disk.Read(dir.path(statusFile), maxStatus)
	if err != nil {
		return Status{}, err
	}
	var s Status
	if err := json.Unmarshal(data, &s); err != nil {
		return Status{}, fmt.Errorf("%s: %w", statusFile, err)
	}
	if s.Version != statusVersion {
		return Status{}, fmt.Errorf("%s: version %d, want %d", statusFile, s.Version, statusVersion)
	}
	return s, nil
}

// statusBook holds the present status and writes it down when it has changed.
// Safe for concurrent use.
type statusBook struct {
	dir     stateDir
	now     func() time.Time
	log     *slog.Logger
	refresh func(*Status) // adds what changes all the time, without a call to update

	mu      sync.Mutex // guards current
	current Status
	changed chan struct{} // holds one
}

func newStatusBook(dir stateDir, first Status, now func() time.Time, log *slog.Logger) *statusBook {
	first.Version, first.Standing, first.Session = statusVersion, standingNew, sessionNone
	return &statusBook{dir: dir, now: now, log: log, current: first, changed: make(chan struct{}, 1), refresh: func(*Status) {}}
}

// update changes the status. change must not block.
func (b *statusBook) update(change func(*Status)) {
	b.mu.Lock()
	change(&b.current)
	b.mu.Unlock()
	select {
	case b.changed <- struct{}{}:
	default:
	}
}

// failed notes an error, for people.
func (b *statusBook) failed(err error) {
	b.update(func(s *Status) { s.Error, s.ErrorAt = clipped(err.Error()), b.now() })
}

func clipped(text string) string {
	const most = 500
	if len(text) > most {
		return text[:most] + "..."
	}
	return text
}

// plain is the status as it was noted, without what changes all the time.
func (b *statusBook) plain() Status {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.current
}

func (b *statusBook) view() Status {
	s := b.plain()
	b.refresh(&s)
	s.At = b.now()
	return s
}

const (
	// statusPause is the least time between two writes: a flood of changes
	// does not become a flood of writes.
	statusPause = 500 * time.Millisecond
	// statusGlance is how often what changes without a call is looked at.
	statusGlance = 5 * time.Second
	// statusAge is how old the file gets while nothing changes.
	statusAge = time.Minute
)

// run writes the status whenever it has changed, until ctx ends, and once more
// then. That it cannot be written is told and stops nothing.
func (b *statusBook) run(ctx context.Context) error {
	told := false
	var last Status
	write := func(always bool) {
		now := b.view()
		if !always && sameStatus(last, now) && now.At.Sub(last.At) < statusAge {
			return
		}
		err := b.put(now)
		if err != nil && !told {
			b.log.Warn("cannot write the status file; `workerd status` will show old news", logkey.Err, err)
		}
		last, told = now, err != nil
	}
	for ctx.Err() == nil {
		write(false)
		rest(ctx, statusPause)
		glance := time.NewTimer(statusGlance)
		select {
		case <-ctx.Done():
		case <-b.changed:
		case <-glance.C:
		}
		glance.Stop()
	}
	write(true)
	return nil
}

// sameStatus compares what is worth a write: neither the time of writing nor
// the clock's offset, which is another one each time, nor by how much the collector
// is behind.
func sameStatus(a, b Status) bool {
	b.At, b.ClockOffset = a.At, a.ClockOffset
	if (a.Waiting > 0) == (b.Waiting > 0) {
		b.Waiting, b.WaitingFor = a.Waiting, a.WaitingFor
	}
	return reflect.DeepEqual(a, b)
}

func (b *statusBook) write() error { return b.put(b.view()) }

func (b *statusBook) put(s Status) error {
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return b.dir.write(statusFile, append(data, '\n'), false)
}

// rest waits, or ends early with ctx.
func rest(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// authorityName is the fingerprint of an authority for people; "" for none.
func authorityName(f trust.Fingerprint) string {
	if f.IsZero() {
		return ""
	}
	return f.String()
}
