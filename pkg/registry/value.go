package registry

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
	"unicode/utf8"

	"github.com/cloudless-fleet/cloudless/pkg/boltfile"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// What is wrong with a file that Open refuses.
var (
	ErrLocked      = boltfile.ErrLocked
	ErrNewerFormat = boltfile.ErrNewerFormat
	ErrDamaged     = boltfile.ErrDamaged
)

// storedWorker is the JSON form. Times are Unix milliseconds, durations
// milliseconds. What it leaves out starts anew with the coordinator.
type storedWorker struct {
	ID          model.WorkerID    `json:"id"`
	Instance    string            `json:"instance,omitempty"`
	State       model.WorkerState `json:"state"`
	Since       int64             `json:"since_ms"`
	Host        storedHost        `json:"host"`
	Source      netip.Addr        `json:"source,omitzero"`
	Version     string            `json:"version,omitempty"`
	KeepAlive   int64             `json:"keep_alive_ms"`
	FirstSeen   int64             `json:"first_seen_ms"`
	LastContact int64             `json:"last_contact_ms"`
	Expirations uint64            `json:"expirations,omitempty"`
	RetriesLeft int               `json:"retries_left"`
	CoolDown    int64             `json:"cool_down_until_ms,omitempty"`
	Refusal     string            `json:"refusal,omitempty"`
}

type storedHost struct {
	Hostname string         `json:"hostname,omitempty"`
	Addr     netip.Addr     `json:"addr,omitzero"`
	Ports    []storedPort   `json:"ports,omitempty"`
	Type     model.HostType `json:"type,omitempty"`
}

type storedPort struct {
	Daemon string `json:"daemon"`
	Port   uint16 `json:"port"`
}

// appendWorker appends the stored form of w.
func appendWorker(dst []byte, w *Worker) ([]byte, error) {
	s := storedWorker{
		ID: w.ID, Instance: w.Instance, State: w.State, Since: w.Since.UnixMilli(),
		Host:   storedHost{Hostname: w.Host.Hostname, Addr: w.Host.Addr, Type: w.Host.Type},
		Source: w.Source, Version: w.Version, KeepAlive: w.KeepAlive.Milliseconds(),
		FirstSeen: w.FirstSeen.UnixMilli(), LastContact: w.LastContact.UnixMilli(),
		Expirations: w.Expirations, RetriesLeft: w.RetriesLeft,
	}
	for _, p := range w.Host.Ports {
		s.Host.Ports = append(s.Host.Ports, storedPort(p))
	}
	if !w.CoolDownUntil.IsZero() {
		s.CoolDown = w.CoolDownUntil.UnixMilli()
	}
	if w.Refusal != Admit {
		s.Refusal = w.Refusal.String()
	}
	dst, err := boltfile.AppendJSON(dst, s)
	if err != nil {
		err = fmt.Errorf("encode worker %v: %w", w.ID, err)
	}
	return dst, err
}

// parseWorker reads the stored form. Times come without a monotonic reading, and
// LeaseFrom equals LastContact; anchor makes them usable. Errors wrap ErrDamaged
// or ErrNewerFormat.
func parseWorker(b []byte) (Worker, error) {
	var s storedWorker
	if err := boltfile.OpenJSON(b, &s); err != nil {
		return Worker{}, err
	}
	w, err := s.worker()
	if err != nil {
		return Worker{}, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return w, nil
}

// longestPeriod is the longest lease that can be stored, in milliseconds.
const longestPeriod = int64(longestKeepAlive / time.Millisecond)

func (s *storedWorker) worker() (Worker, error) {
	w := Worker{
		ID: s.ID, Instance: s.Instance, State: s.State, Since: time.UnixMilli(s.Since),
		Host:   model.HostInfo{Hostname: s.Host.Hostname, Addr: s.Host.Addr, Type: s.Host.Type},
		Source: s.Source, Version: s.Version, KeepAlive: time.Duration(s.KeepAlive) * time.Millisecond,
		FirstSeen: time.UnixMilli(s.FirstSeen), LastContact: time.UnixMilli(s.LastContact), LeaseFrom: time.UnixMilli(s.LastContact),
		Expirations: s.Expirations, RetriesLeft: s.RetriesLeft, Refusal: refusalNamed(s.Refusal),
	}
	for _, p := range s.Host.Ports {
		w.Host.Ports = append(w.Host.Ports, model.PortInfo(p))
	}
	if s.CoolDown != 0 {
		w.CoolDownUntil = time.UnixMilli(s.CoolDown)
	}
	switch {
	case w.ID.IsZero():
		return w, errors.New("no id")
	case w.State == 0:
		return w, errors.New("no state")
	case w.Admitted() && !validInstance(w.Instance), !w.Admitted() && w.Instance != "":
		return w, fmt.Errorf("instance name %.64q of a %v worker", w.Instance, w.State)
	case s.KeepAlive <= 0 || s.KeepAlive > longestPeriod:
		return w, fmt.Errorf("keep-alive period of %d ms", s.KeepAlive)
	case w.RetriesLeft < 0 || w.RetriesLeft > maxRetryLimit:
		return w, fmt.Errorf("%d retries left", w.RetriesLeft)
	case w.RetriesLeft == 0 && s.CoolDown == 0:
		return w, errors.New("no retries left and no cool-down")
	case !fits(w.Host, w.Version):
		return w, errors.New("host info out of bounds")
	}
	return w, boltfile.CheckMillis(s.Since, s.FirstSeen, s.LastContact, s.CoolDown)
}

func refusalNamed(name string) Verdict {
	for v := range verdicts {
		if name == verdicts[v].name {
			return Verdict(v)
		}
	}
	if name != "" {
		return RefusePolicy // a verdict that an older release knew
	}
	return Admit
}

// Bounds of what a worker may say of itself. A packet is shorter than 1024
// bytes, but there are other ways in.
const (
	maxHostname = 255
	maxPorts    = 32
	maxDaemon   = 64
	maxVersion  = 128
)

// fits reports whether a worker's words are within bounds and UTF-8.
func fits(host model.HostInfo, version string) bool {
	if len(host.Hostname) > maxHostname || len(host.Ports) > maxPorts || len(version) > maxVersion ||
		!utf8.ValidString(host.Hostname) || !utf8.ValidString(version) {
		return false
	}
	for _, p := range host.Ports {
		if len(p.Daemon) > maxDaemon || !utf8.ValidString(p.Daemon) {
			return false
		}
	}
	return len(host.Addr.Zone()) <= maxDaemon
}

// anchor makes a loaded worker ready for use at time now. Every time is moved so
// that it lies as far from now as it did on the wall clock, but not in the
// future, and carries the monotonic reading of now. Whoever was a living member
// is suspect and has half a lease to be heard again; a cool-down is as long as
// it still was, at most as long as the policy says.
func (w *Worker) anchor(now time.Time, p Policy) {
	back := func(t time.Time) time.Time { return now.Add(-max(now.Round(0).Sub(t), 0)) }
	w.Since, w.FirstSeen, w.LastContact = back(w.Since), back(w.FirstSeen), back(w.LastContact)
	if !w.CoolDownUntil.IsZero() {
		w.CoolDownUntil = now.Add(min(w.CoolDownUntil.Sub(now.Round(0)), p.CoolDown))
	}
	w.LeaseFrom = now
	if w.State == model.Registered || w.State == model.Suspect {
		if w.State == model.Registered {
			w.State, w.Since = model.Suspect, now
		}
		w.LeaseFrom = now.Add(-(w.KeepAlive - w.KeepAlive/2))
	}
}
