package collector

import (
	"context"
	"errors"

	"github.com/cloudless-fleet/cloudless/pkg/audit"
	"github.com/cloudless-fleet/cloudless/pkg/daemon"
	"github.com/cloudless-fleet/cloudless/pkg/daemon/logkey"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// reloads registers what follows a changed configuration, and that the audit log
// tells of it.
func (c *collector) reloads(p *daemon.Process[Config]) {
	p.OnReload(daemon.Reloader[Config]{Name: "certificates", Keys: []string{"web.cert", "web.key"}, Prepare: c.prepareReload})
	p.OnReloaded(c.tellReload)
}

// prepareReload reads the certificates again: connections made after apply show
// them. The fleet's own may have been put there by hand.
func (c *collector) prepareReload(_ context.Context, next Config) (apply func(), err error) {
	fleet, err := c.credentials.Prepare(c.renewal.files)
	var web func()
	switch own, had := next.Web.Cert != "", c.cfg.Web.Cert != ""; {
	case own && had:
		var failure error
		if web, failure = c.web.prepare(next.Web); failure != nil {
			err = errors.Join(err, model.Fieldf("web.cert", "%w", failure))
		}
	case own != had:
		err = errors.Join(err, model.Fieldf("web.cert", "whether collectord has a certificate of its own for browsers is settled at its start"))
	}
	if err != nil {
		return nil, err
	}
	return func() {
		fleet()
		if web != nil {
			web()
		}
		c.renewed()
	}, nil
}

// tellReload writes how a reload ended into the audit log. What is wrong with
// that does not stop a reload: the log says it.
func (c *collector) tellReload(err error) {
	if err := c.audit.Append(audit.ReloadEntry(err)); err != nil {
		c.log.Error("reload is not in the audit log", logkey.Err, err)
	}
}
