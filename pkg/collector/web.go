package collector

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/api/access"
	"github.com/cloudless-fleet/cloudless/pkg/api/admin"
	"github.com/cloudless-fleet/cloudless/pkg/api/fleet"
	"github.com/cloudless-fleet/cloudless/pkg/api/middleware"
	"github.com/cloudless-fleet/cloudless/pkg/api/people"
	"github.com/cloudless-fleet/cloudless/pkg/api/query"
	"github.com/cloudless-fleet/cloudless/pkg/api/reply"
	"github.com/cloudless-fleet/cloudless/pkg/api/snapshots"
	"github.com/cloudless-fleet/cloudless/pkg/trust/local"
)

// part is something that runs until its context ends.
type part struct {
	name string
	run  func(context.Context) error
}

// openServers makes the servers of the API: HTTPS on the port, and plain HTTP on
// the unix socket, where the kernel says who calls.
func (c *collector) openServers() ([]part, error) {
	log := component(c.log, "https")
	var err error
	c.queries, err = query.New(c.cfg.Query, query.Deps{Queryable: c.store.Queryable(), Metadata: c.store.Metadata,
		Ready: c.ready, Build: api.BuildInfo{Cloudless: c.build.Version, Revision: c.build.Commit, GoVersion: c.build.Go}, Log: log, Now: c.now})
	if err != nil {
		return nil, err
	}
	c.http = middleware.New(c.cfg.HTTP, log, c.now)
	handler := c.handler(c.queries, fleetRows{c.view, c.store, c.now})
	serve := func(name string, listener net.Listener) part {
		server := &http.Server{Handler: handler, ConnContext: local.ConnContext, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)}
		c.cfg.HTTP.Apply(server)
		return part{name, func(ctx context.Context) error { return middleware.Serve(ctx, server, listener) }}
	}
	servers := []part{serve("https", c.port.HTTP())}
	if c.cfg.Socket == "" {
		return servers, nil
	}
	listener, err := local.Listen(c.cfg.Socket)
	if err != nil {
		return nil, err
	}
	c.teardown.AddClose("unix socket", listener.Close)
	return append(servers, serve("http on the unix socket", newBounded(listener, maxLocal))), nil
}

// maxLocal is how many connections programs of this host may have open at once
// on the unix socket; one more is closed.
const maxLocal = 128

// handler puts the APIs together, behind the guard that says who may do what.
func (c *collector) handler(queries *query.API, rows fleet.Source) http.Handler {
	mux := http.NewServeMux()
	guard := c.guard()
	wrap := func(name string, next http.Handler) http.Handler {
		return c.http.Wrap(name, guard.Wrap(next))
	}
	queries.Register(mux, wrap)
	fleet.New(rows, c.now).WithGaps(gapRows{c.store.Ledger(), rows, c.now}).Register(mux, wrap)
	admin.New(admin.Forward(c.clients.admin), access.Administrator, component(c.log, "admin")).Register(mux, api.PrefixAdminCollector, wrap)
	snapshots.New(snapshotShelf{c.store}, c.audit, component(c.log, "snapshots")).Register(mux, wrap)
	people.New(people.Deps{Directory: c.people, Audit: c.audit, Identity: c.identity, Logger: component(c.log, "people"), Now: c.now}).Register(mux, wrap)
	mux.Handle("/", wrap("none", http.HandlerFunc(nowhere)))
	return mux
}

// identity tells which fleet this is.
func (c *collector) identity() api.FleetIdentity {
	bundle := c.credentials.Bundle()
	return api.FleetIdentity{Fleet: bundle.Fleet, Authorities: bundle.Fingerprints()}
}

func (c *collector) guard() *access.Guard {
	return access.New(access.Config{
		Hosts:   func() []string { return c.web.hosts },
		Session: people.Session(c.people.Directory),
		Token:   people.Token(c.people.Directory),
		Socket:  local.Rule{AdminGroup: c.cfg.AdminGroup},
		Refuse:  c.revoked.list.Check,
		Now:     c.now,
	})
}

// nowhere answers for every path that nobody has.
func nowhere(w http.ResponseWriter, r *http.Request) {
	reply.Error(w, reply.NotFound, fmt.Sprintf("no endpoint %s %s; docs/api.md lists them", r.Method, r.URL.Path))
}
