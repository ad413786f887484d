package collector

import (
	"fmt"
	"net/http"
	"slices"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/api/fleet"
	"github.com/cloudless-fleet/cloudless/pkg/api/query"
	"github.com/cloudless-fleet/cloudless/pkg/api/reply"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

// handler puts the APIs together: everything but the two health checks is for
// members of the fleet that may look at it.
func (c *collector) handler(queries *query.API, rows fleet.Source) http.Handler {
	mux := http.NewServeMux()
	wrap := func(name string, next http.Handler) http.Handler {
		return c.http.Wrap(name, readersOnly(next))
	}
	queries.Register(mux, wrap)
	fleet.New(rows, c.now).Register(mux, wrap)
	mux.Handle("/", wrap("none", http.HandlerFunc(nowhere)))
	return mux
}

// nowhere answers for every path that nobody has.
func nowhere(w http.ResponseWriter, r *http.Request) {
	reply.Error(w, reply.NotFound, fmt.Sprintf("no endpoint %s %s; docs/api.md lists them", r.Method, r.URL.Path))
}

// readersOnly lets callers pass that show the certificate of an operator or of
// a server of the fleet, and everybody to the health checks.
func readersOnly(next http.Handler) http.Handler {
	open := []string{api.PathReady, api.PathHealthy}
	readers := []trust.Role{trust.RoleOperator, trust.RoleCollector, trust.RoleCoordinator}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if slices.Contains(open, r.URL.Path) {
			next.ServeHTTP(w, r)
			return
		}
		if r.TLS == nil {
			reply.Error(w, reply.Unauthorized, "use HTTPS")
			return
		}
		peer, err := trust.PeerIdentity(*r.TLS)
		switch {
		case err != nil:
			reply.Error(w, reply.Unauthorized,
				"show the certificate of an operator; `cloudlessctl ca issue operator` makes one")
		case !slices.Contains(readers, peer.Role):
			reply.Error(w, reply.Forbidden, "a "+string(peer.Role)+" may not look at the fleet")
		default:
			next.ServeHTTP(w, r)
		}
	})
}
