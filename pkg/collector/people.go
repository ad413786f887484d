package collector

import (
	"context"
	"errors"
	"net/netip"
	"sync/atomic"

	"github.com/cloudless-fleet/cloudless/pkg/audit"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust/people"
)

// visitors are the users of the collector, and how often they came and were
// turned away.
type visitors struct {
	*people.Directory

	welcome, wrong, locked, failed atomic.Uint64
}

// Login implements api/people.Directory.
func (v *visitors) Login(ctx context.Context, name, password string, from netip.Addr) (string, people.Principal, error) {
	session, p, err := v.Directory.Login(ctx, name, password, from)
	switch {
	case err == nil:
		v.welcome.Add(1)
	case errors.Is(err, people.ErrLocked):
		v.locked.Add(1)
	case errors.Is(err, people.ErrWrong):
		v.wrong.Add(1)
	default:
		v.failed.Add(1)
	}
	return session, p, err
}

func (v *visitors) metrics(m *model.Metrics) {
	const name, help = "cloudless_people_logins_total", "Logins tried, by what became of them."
	m.Count(name, help, v.welcome.Load(), "result", "ok")
	m.Count(name, help, v.wrong.Load(), "result", "wrong")
	m.Count(name, help, v.locked.Load(), "result", "locked")
	m.Count(name, help, v.failed.Load(), "result", "failed")
	s := v.Stats()
	m.Gauge("cloudless_people_sessions", "Sessions of people who have logged in.", float64(s.Sessions))
	m.Gauge("cloudless_people_users", "Users.", float64(s.Users))
	m.Gauge("cloudless_people_api_tokens", "API tokens, those that have ended and are still listed included.", float64(s.Tokens))
}

// diary is the audit log of this daemon.
type diary struct{ *audit.Log }

// Append writes an entry in the name of this daemon.
func (d diary) Append(e audit.Entry) error {
	e.Daemon = model.DaemonCollector
	return d.Log.Append(e)
}
