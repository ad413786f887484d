// Package access stands before collectord's HTTPS: it promises that behind every
// request which it lets through is a principal that may do what is asked, and
// that no foreign web page asks in his name.
//
//	unix socket                  administrators of the host: admin
//	Authorization: Bearer TOKEN  an API token: its own scope
//	client certificate           operator: admin; collectord, coordinatord: read
//	session cookie               a user who has logged in: his scope
//
// The first that is there counts; one that is bad is refused and not passed over.
// A token in any other place is not looked at, a cookie counts over TLS only.
//
// What a reader may do is a list (Rules); everything that is not on it is for
// administrators. Requests of browsers, those by cookie, certificate or nothing,
// must come from our own pages (http.CrossOriginProtection), and those by cookie
// or nothing under a name that is ours, or a page of somebody else whose name was
// made to point here could speak to us (DNS rebinding).
package access

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/api/admin"
	"github.com/cloudless-fleet/cloudless/pkg/api/reply"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/local"
)

// Config is what a Guard goes by. All functions may be called concurrently and
// must not block; a nil one refuses what it is for.
type Config struct {
	// Hosts are the names under which browsers may ask, as they stand now:
	// web.hosts and those of the certificate. A first label "*" stands for any.
	// IP addresses and localhost always count.
	Hosts func() []string
	// Session returns who has the session.
	Session func(id string) (api.Principal, bool)
	// Token returns who has the API token. Its error is shown: it says what is
	// wrong with the token and holds none of it.
	Token func(text string) (api.Principal, error)
	// Socket says whose processes on this host are administrators.
	Socket local.Rule
	// Refuse is asked about the certificate of every request, on connections of
	// any age; nil refuses nobody.
	Refuse trust.Refusal
	// Rules are added to those of Rules.
	Rules []Rule
	Now   func() time.Time
}

// Guard lets requests through or not. Safe for concurrent use.
type Guard struct {
	config Config
	origin *http.CrossOriginProtection
	rules  *rules
}

// New returns a guard. Rules that contradict each other are a bug of the program
// and panic, as they do in http.ServeMux.
func New(config Config) *Guard {
	return &Guard{config: config, origin: http.NewCrossOriginProtection(), rules: newRules(append(Rules(), config.Rules...))}
}

// Wrap returns next behind the guard. It belongs inside of middleware.Stack, whose
// headers it makes stricter.
func (g *Guard) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		setHeaders(w.Header())
		v, err := g.admit(r)
		if err != nil {
			refuse(w, err)
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), visitorKey{}, v)))
	})
}

// visitor is who asks.
type visitor struct {
	api.Principal        // zero: nobody in particular
	who           string // in the words of the audit log
	from          string
}

type visitorKey struct{}

// From returns who asks and from where: an address or "unix socket". On routes
// that are open to all the principal may be zero.
func From(ctx context.Context) (who api.Principal, from string) {
	v, _ := ctx.Value(visitorKey{}).(visitor)
	return v.Principal, v.from
}

// Who names who asks in the words of the audit log, "user alice" or "operator
// bob"; empty when it is nobody in particular.
func Who(ctx context.Context) string {
	v, _ := ctx.Value(visitorKey{}).(visitor)
	return v.who
}

// Administrator is an admin.Authorize for requests that a Guard has let through.
func Administrator(r *http.Request) (admin.Actor, bool) {
	v, _ := r.Context().Value(visitorKey{}).(visitor)
	return admin.Actor{Who: v.who, From: v.from, Local: v.By == BySocket}, v.Scope == api.ScopeAdmin
}

// refusal is an answer that is not let through.
type refusal struct {
	kind      reply.Kind
	text      string
	challenge string // of a 401
}

func (r *refusal) Error() string { return r.text }

func no(kind reply.Kind, format string, args ...any) error {
	return &refusal{kind: kind, text: fmt.Sprintf(format, args...)}
}

func refuse(w http.ResponseWriter, err error) {
	var r *refusal
	if !errors.As(err, &r) {
		reply.Error(w, reply.Internal, err.Error())
		return
	}
	if r.kind == reply.Unauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="cloudless"`+r.challenge)
	}
	reply.Error(w, r.kind, r.text)
}

// admit decides about a request.
func (g *Guard) admit(r *http.Request) (visitor, error) {
	need := g.rules.need(r)
	if need == Nothing {
		return visitor{from: address(r)}, nil
	}
	if need == Origin {
		v := visitor{from: address(r)}
		_, local := local.CallerOf(r.Context())
		if r.TLS == nil && !local {
			return v, no(reply.Unauthorized, "use HTTPS")
		}
		return v, g.ours(r)
	}
	v, err := g.visitor(r)
	if err != nil {
		return v, err
	}
	switch v.By {
	case BySession:
		err = g.ours(r)
	case ByCertificate: // a browser may hold one, and shows it unasked
		err = g.sameOrigin(r)
	}
	if err != nil {
		return v, err
	}
	if v.Scope != api.ScopeAdmin && (need != Read || v.Scope != api.ScopeRead) {
		return v, no(reply.Forbidden, "%s may look only: %s %s is for administrators", v.who, r.Method, r.URL.Path)
	}
	return v, nil
}

// ours says whether a browser's request comes from our own page, under a name of
// ours.
func (g *Guard) ours(r *http.Request) error {
	if _, socket := local.CallerOf(r.Context()); socket {
		return nil
	}
	var hosts []string
	if g.config.Hosts != nil {
		hosts = g.config.Hosts()
	}
	if !knownHost(r.Host, hosts) {
		return no(reply.Misdirected, "this server is not known as %.100q: add that name to web.hosts in its configuration, or use its address", hostOf(r.Host))
	}
	return g.sameOrigin(r)
}

func (g *Guard) sameOrigin(r *http.Request) error {
	if g.origin.Check(r) != nil {
		return no(reply.Forbidden, "a page of another site has sent this request")
	}
	return nil
}

// address is where a request comes from.
func address(r *http.Request) string {
	if _, socket := local.CallerOf(r.Context()); socket {
		return local.From
	}
	if peer, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		return peer.Addr().Unmap().WithZone("").String()
	}
	return r.RemoteAddr
}
