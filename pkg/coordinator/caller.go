package coordinator

import (
	"context"
	"crypto/x509"
	"errors"
	"net/http"
	"net/netip"
	"strings"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/local"
)

// caller is who makes a request, as TLS or the kernel has shown it.
type caller struct {
	// role is that of his certificate; on the unix socket operator for who may
	// administer, collectord for its user; empty for who has shown nothing.
	role     trust.Role
	identity trust.Identity    // of the certificate
	leaf     *x509.Certificate // nil without one
	local    bool              // he came by the unix socket
	name     string            // for people
	addr     netip.Addr        // not valid on the unix socket
	force    bool              // he insists, by ?force=1
}

// localAdmin reports whether he administers from this host.
func (c caller) localAdmin() bool { return c.local && c.role == trust.RoleOperator }

// callerOfTLS reads who asks on the TCP port out of the connection.
func callerOfTLS(r *http.Request) (*caller, error) {
	who := &caller{name: "an unknown caller", addr: addrOf(r.RemoteAddr)}
	if r.TLS == nil {
		return who, trust.ErrNoCertificate
	}
	identity, err := trust.PeerIdentity(*r.TLS)
	switch {
	case errors.Is(err, trust.ErrNoCertificate):
		return who, nil
	case err != nil:
		return who, err
	}
	who.role, who.identity, who.leaf, who.name = identity.Role, identity, r.TLS.VerifiedChains[0][0], identity.String()
	return who, nil
}

// callerOfSocket reads who asks on the unix socket.
func (s socketRule) callerOf(r *http.Request) (*caller, bool) {
	at, ok := local.CallerOf(r.Context())
	if !ok {
		return &caller{}, false
	}
	who := &caller{local: true, name: at.Name}
	switch {
	case s.rule.Admin(at):
		who.role = trust.RoleOperator
	case s.collectorUser != "" && s.rule.Is(at, s.collectorUser):
		who.role = trust.RoleCollector
	}
	return who, who.role != ""
}

// socketRule says who may do what on the unix socket.
type socketRule struct {
	rule          local.Rule
	collectorUser string
}

type callerKey struct{}

func withCaller(ctx context.Context, who *caller) context.Context {
	return context.WithValue(ctx, callerKey{}, who)
}

// callerIn returns who asks; the zero caller may nothing.
func callerIn(ctx context.Context) caller {
	if who, ok := ctx.Value(callerKey{}).(*caller); ok {
		return *who
	}
	return caller{}
}

// may says who may ask for a path at all. What is left open here is decided
// behind it, and what is not in the list nobody may.
func (c caller) may(path string) bool {
	member := c.leaf != nil
	switch path {
	case api.PathEnrol, api.PathRenewal:
		return !c.local && (!member || c.role == trust.RoleWorker)
	case api.PathRenew:
		return member && (c.role == trust.RoleWorker || c.role == trust.RoleCollector)
	case api.PathRegister, api.PathKeepAlive, api.PathSession, api.PathLeave:
		return member && c.role == trust.RoleWorker
	case api.PathControlWorkers, api.PathControlStats:
		return c.role == trust.RoleCollector || c.role == trust.RoleOperator
	case api.PathControlContacts, api.PathControlRevocations, api.PathControlCollector:
		return c.role == trust.RoleCollector || c.localAdmin()
	}
	if path == api.PrefixAdminCoordinator || strings.HasPrefix(path, api.PrefixAdminCoordinator+"/") {
		return c.role == trust.RoleCollector || c.role == trust.RoleOperator
	}
	return false
}

// workerPath reports whether a path is for members that are workers.
func workerPath(path string) bool {
	switch path {
	case api.PathRegister, api.PathKeepAlive, api.PathSession, api.PathLeave, api.PathRenew:
		return true
	}
	return false
}

// worker is the worker that the caller's certificate speaks for; zero for anybody
// else.
func (c caller) worker() model.WorkerID {
	id, _ := c.identity.WorkerID()
	return id
}
