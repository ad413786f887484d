package collector

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync/atomic"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/api/middleware"
	"github.com/cloudless-fleet/cloudless/pkg/api/reply"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

// patientServer is a coordinator whose polls never end by themselves. It counts
// connections.
type patientServer struct {
	server  *http.Server
	config  *tls.Config
	dials   *atomic.Int32
	polling chan struct{} // one for each poll
}

func newPatientServer(own *trust.Credentials, dials *atomic.Int32) *patientServer {
	p := &patientServer{config: own.Server([]string{"h2"}, trust.ClientRequired), dials: dials, polling: make(chan struct{}, 8)}
	p.server = &http.Server{TLSConfig: p.config, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == api.PathControlWorkers {
			p.polling <- struct{}{}
			<-r.Context().Done()
			return
		}
		reply.JSON(w, api.Stats{})
	})}
	return p
}

func (p *patientServer) run(ctx context.Context, listener net.Listener) error {
	return middleware.Serve(ctx, p.server, counting{tls.NewListener(listener, p.config), p.dials})
}

type counting struct {
	net.Listener
	n *atomic.Int32
}

func (c counting) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err == nil {
		c.n.Add(1)
	}
	return conn, err
}
