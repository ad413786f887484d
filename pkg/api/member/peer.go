package member

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"

	"github.com/cloudless-fleet/cloudless/pkg/api/reply"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

// who says whom a route is for.
type who uint8

const (
	anybody who = iota // with or without a certificate
	members            // any role
	workers
)

// PeerOf reads who asks out of the connection. A certificate that is there is
// good: TLS has verified it.
func PeerOf(r *http.Request) (Peer, error) {
	if r.TLS == nil {
		return Peer{}, errors.New("only over TLS")
	}
	peer := Peer{}
	if at, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		peer.Addr = at.Addr().Unmap().WithZone("")
	}
	identity, err := trust.PeerIdentity(*r.TLS)
	if errors.Is(err, trust.ErrNoCertificate) {
		return peer, nil
	}
	if err != nil {
		return Peer{}, err
	}
	peer.HasCertificate, peer.Identity, peer.Leaf = true, identity, r.TLS.VerifiedChains[0][0]
	return peer, nil
}

// known serves requests of those that the route is for. It does not read the
// body of others.
func (h *Handlers) known(who who, serve func(http.ResponseWriter, *http.Request, Peer)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if peer, ok := h.admit(who, w, r); ok {
			serve(w, r, peer)
		}
	})
}

// admit finds out who asks. When the route is not for him it has answered. It
// stands alone so that its stack is free again while a session lasts.
func (h *Handlers) admit(who who, w http.ResponseWriter, r *http.Request) (peer Peer, ok bool) {
	peer, err := h.deps.Peer(r)
	if err == nil {
		err = h.judge(peer)
	}
	switch {
	case err != nil:
		reply.Error(w, reply.Forbidden, err.Error())
	case who == anybody:
		return peer, true
	case !peer.HasCertificate:
		reply.Error(w, reply.Unauthorized, "show the certificate of a member of the fleet")
	case who == workers && peer.Worker().IsZero():
		reply.Error(w, reply.Forbidden, fmt.Sprintf("%s may not %s %s: it is for workers", peer.Identity, r.Method, r.URL.Path))
	default:
		return peer, true
	}
	return Peer{}, false
}

// judge looks at the certificate again: a connection may be older than its
// revocation, and than its end.
func (h *Handlers) judge(peer Peer) error {
	if !peer.HasCertificate {
		return nil
	}
	if h.deps.Now().After(peer.Leaf.NotAfter) {
		return fmt.Errorf("%s: %w", peer.Identity, trust.ErrExpired)
	}
	if h.deps.Refuse == nil {
		return nil
	}
	return h.deps.Refuse(peer.Leaf, peer.Identity)
}
