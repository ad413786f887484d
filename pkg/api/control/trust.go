package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strconv"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/api/body"
	"github.com/cloudless-fleet/cloudless/pkg/api/reply"
)

// Trust is what the coordinator daemon puts behind the routes by which
// collectors follow the fleet's trust. All methods may be called concurrently.
type Trust interface {
	// Revocations returns revocation.List.Snapshot of a list whose revision is
	// another than since, at once when it is, even if ctx is done; otherwise it
	// blocks until it is or ctx is done, and then returns ctx's error.
	Revocations(ctx context.Context, since uint64) (snapshot []byte, err error)
	// Hello takes note of a collector. from is its authorised identity, addr
	// where it calls from; not valid on a unix socket.
	Hello(ctx context.Context, from string, addr netip.Addr, hello api.CollectorHello) (api.CollectorWelcome, error)
}

// TrustRoles say who may call what of Trust.
type TrustRoles struct {
	Revocations Authorize // GET /v1/revocations
	Hello       Authorize // POST /v1/collector
}

// maxHello bounds the body of a collector's hello, in bytes.
const maxHello = 8 << 10

// RegisterTrust adds the routes of Trust to mux, as Register does the others.
func (h *Handlers) RegisterTrust(mux *http.ServeMux, wrap func(name string, next http.Handler) http.Handler, t Trust, roles TrustRoles) {
	mux.Handle("GET "+api.PathControlRevocations, wrap("control_revocations", h.authorized(roles.Revocations,
		func(w http.ResponseWriter, r *http.Request, _ string) { h.revocations(w, r, t) })))
	mux.Handle("POST "+api.PathControlCollector, wrap("control_collector", h.authorized(roles.Hello,
		func(w http.ResponseWriter, r *http.Request, from string) { h.hello(w, r, t, from) })))
}

func (h *Handlers) revocations(w http.ResponseWriter, r *http.Request, t Trust) {
	poll(h, w, r, t.Revocations, func(_ uint64, snapshot *[]byte) {
		if snapshot == nil {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(len(*snapshot)))
		_, _ = w.Write(*snapshot)
	})
}

func (h *Handlers) hello(w http.ResponseWriter, r *http.Request, t Trust, from string) {
	var hello api.CollectorHello
	if !body.JSON(w, r, maxHello, "hello", &hello) {
		return
	}
	if err := checkHello(hello); err != nil {
		reply.Error(w, reply.BadData, "hello: "+err.Error())
		return
	}
	addr := netip.Addr{}
	if peer, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		addr = peer.Addr().Unmap()
	}
	welcome, err := t.Hello(r.Context(), from, addr, hello)
	if err != nil {
		if kind := reply.KindOf(err); kind != reply.Internal {
			reply.Error(w, kind, err.Error())
			return
		}
		reply.Error(w, reply.Unavailable, err.Error())
		return
	}
	if welcome.Now == 0 {
		welcome.Now = h.millis()
	}
	reply.JSON(w, welcome)
}

func checkHello(hello api.CollectorHello) error {
	const longestName, key = 253, 32
	switch {
	case hello.Hostname == "":
		return errors.New("hostname: want one")
	case hello.Address != "" && !api.IsHost(hello.Address):
		return errors.New("address: want an IP address or a host name")
	case hello.Port == 0:
		return errors.New("port: want 1 to 65535")
	case len(hello.Beacon) != key:
		return fmt.Errorf("beacon: want a public key of %d bytes", key)
	}
	return cmp.Or(api.CheckLine("hostname", hello.Hostname, longestName), api.CheckDigest("bundle", hello.Bundle))
}
