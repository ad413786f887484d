package ledger

import (
	"github.com/cloudless-fleet/cloudless/pkg/daemon/logkey"
	"github.com/cloudless-fleet/cloudless/pkg/event"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Event takes the payload of an event record: a gap is noted, as by Add. Other
// events are counted and passed over, and so is what is none: it would not
// become one if the worker sent it again. The only error is ErrInvalid.
func (l *Ledger) Event(worker model.WorkerID, boot model.BootID, seq uint64, payload []byte) error {
	e, err := event.Parse(payload)
	if err == nil && e.Type == event.TypeGap {
		_, err := l.Add(Report{Worker: worker, Boot: boot, Seq: seq, Gap: *e.Gap})
		return err
	}
	if err != nil {
		l.log.Warn("A worker sent an event that cannot be read", logkey.Worker, worker, logkey.Boot, boot, logkey.Seq, seq, logkey.Err, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.stats.Malformed++
	} else {
		l.stats.Others++
	}
	return nil
}
