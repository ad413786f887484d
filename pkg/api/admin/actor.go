package admin

import (
	"errors"
	"net/http"
	"net/netip"
	"strings"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/local"
)

// Gate is how coordinatord finds out who administrates.
type Gate struct {
	// Rule says whose processes on this host are administrators.
	Rule local.Rule
	// CollectorUser is the user that collectord runs as on this host; its
	// processes are a collector (Actor.Collector). Empty: there is none.
	CollectorUser string
	// Refuse is asked about the certificate of every request; nil refuses nobody.
	Refuse trust.Refusal
}

// Authorize implements Authorize: callers of the unix socket by the rule,
// certificates of operators, and collectors, either for themselves or in the name
// of the administrator in the header api.HeaderActor.
func (g Gate) Authorize(r *http.Request) (Actor, bool) {
	if caller, ok := local.CallerOf(r.Context()); ok {
		return g.socket(caller, r)
	}
	if r.TLS == nil {
		return Actor{}, false
	}
	peer, err := trust.PeerIdentity(*r.TLS)
	if err != nil {
		return Actor{}, false
	}
	by := Actor{Who: string(peer.Role) + " " + peer.Name, From: address(r)}
	if g.Refuse != nil && g.Refuse(r.TLS.VerifiedChains[0][0], peer) != nil {
		return by, false
	}
	switch peer.Role {
	case trust.RoleOperator:
		return by, true
	case trust.RoleCollector:
		return onBehalf(by, r.Header)
	}
	return by, false
}

// socket judges a process of this host. An administrator is one also where
// collectord runs as him; what a collector may do, he may. A collectord may pass
// on what administrators ask for by the socket, too.
func (g Gate) socket(caller local.Caller, r *http.Request) (Actor, bool) {
	by := Actor{Who: caller.Name, From: local.From, Local: true}
	switch {
	case g.Rule.Admin(caller):
		return by, true
	case g.Rule.Is(caller, g.CollectorUser):
		return onBehalf(by, r.Header)
	}
	return by, false
}

// onBehalf is the administrator whom a collector names, or the collector itself.
func onBehalf(collector Actor, header http.Header) (Actor, bool) {
	names := header.Values(api.HeaderActor)
	if len(names) == 0 {
		collector.Collector = true
		return collector, true
	}
	who, from, err := parseActor(names)
	if err != nil {
		return collector, false
	}
	// The collector stands behind its word: it is named, too.
	return Actor{Who: who, From: from + " by " + collector.Who}, true
}

// maxActor bounds HeaderActor, in bytes.
const maxActor = 200

// parseActor reads HeaderActor, "WHO from WHERE" in printable ASCII: it goes into
// the audit log and to terminals.
func parseActor(values []string) (who, from string, err error) {
	errActor := errors.New(api.HeaderActor + ": want one, like \"user alice from 192.0.2.7\"")
	if len(values) != 1 || len(values[0]) > maxActor {
		return "", "", errActor
	}
	for i := 0; i < len(values[0]); i++ {
		if c := values[0][i]; c < ' ' || c > '~' {
			return "", "", errActor
		}
	}
	const between = " from "
	at := strings.LastIndex(values[0], between)
	if at <= 0 || at+len(between) == len(values[0]) {
		return "", "", errActor
	}
	return values[0][:at], values[0][at+len(between):], nil
}

// spell writes HeaderActor; parseActor reads it again.
func (a Actor) spell() string { return a.Who + " from " + a.From }

// address is where a request comes from, without the port.
func address(r *http.Request) string {
	if peer, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		return peer.Addr().Unmap().WithZone("").String()
	}
	return r.RemoteAddr
}
