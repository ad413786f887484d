package coordinator

import (
	"fmt"

	"github.com/cloudless-fleet/cloudless/pkg/api/reply"
	"github.com/cloudless-fleet/cloudless/pkg/audit"
	"github.com/cloudless-fleet/cloudless/pkg/daemon/logkey"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// write puts an entry into the audit log. What it tells of is not to be answered
// as done when it fails.
func (c *coordinator) write(e audit.Entry) error {
	e.Daemon = model.DaemonCoordinator
	if err := c.diary.Append(e); err != nil {
		c.auditErrors.Add(1)
		c.log.Error("audit log not written", "what", e.What, "on", e.On, logkey.Err, err)
		return reply.Because(reply.ErrUnavailable, "%s", fmt.Sprintf("%s %s: it is not in the audit log, which cannot be written: see the log of coordinatord", e.What, e.On))
	}
	return nil
}

// note is write for what nobody waits for.
func (c *coordinator) note(e audit.Entry) { _ = c.write(e) }
