package sampler

import (
	"github.com/cloudless-fleet/cloudless/pkg/kernel"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// uname is the name of the kernel and of the host.
type uname struct {
	ask   func() (kernel.Uname, error)
	known kernel.Uname
}

func newUname(h *host, _ *Collectors) (collector, error) { return &uname{ask: h.uname}, nil }

func (c *uname) update(_ *round, s *sheet) error {
	now, err := c.ask()
	if err != nil {
		return err
	}
	if !s.described() || now != c.known {
		c.known = now
		s.begin()
		s.family("node_uname_info", "Labeled system information as provided by the uname system call.", model.Gauge, 0)
		s.series("sysname", now.Sysname(), "release", now.Release(), "version", now.Version(),
			"machine", now.Machine(), "nodename", now.Nodename(), "domainname", now.Domainname())
		s.end()
	}
	s.values[0] = 1
	return nil
}

func (c *uname) close() {}
