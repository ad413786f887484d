package daemon

import (
	"log/slog"
	"sync"

	sd "github.com/coreos/go-systemd/v22/daemon"

	"github.com/cloudless-fleet/cloudless/pkg/daemon/logkey"
)

// notifier tells the service manager about the state of the process. A nil
// notifier tells nobody.
type notifier struct {
	log    *slog.Logger
	send   func(state string) error
	failed sync.Once
}

// systemdNotifier talks to the socket that systemd names in the environment;
// without one it is silent.
func systemdNotifier(log *slog.Logger) *notifier {
	return &notifier{log: log, send: func(state string) error {
		_, err := sd.SdNotify(false, state)
		return err
	}}
}

// tell sends one message. That systemd cannot be told is worth one warning but
// stops nothing.
func (n *notifier) tell(state string) {
	if n == nil {
		return
	}
	if err := n.send(state); err != nil {
		n.failed.Do(func() { n.log.Warn("service manager does not hear us", logkey.Err, err) })
	}
}

func (n *notifier) ready()             { n.tell(sd.SdNotifyReady) }
func (n *notifier) stopping()          { n.tell(sd.SdNotifyStopping) }
func (n *notifier) alive()             { n.tell(sd.SdNotifyWatchdog) }
func (n *notifier) reloading()         { n.tell(sd.SdNotifyReloading + "\n" + sd.SdNotifyMonotonicUsec()) }
func (n *notifier) status(text string) { n.tell("STATUS=" + firstLine(text)) }

// firstLine keeps a status text from adding assignments of its own.
func firstLine(text string) string {
	for i := range len(text) {
		if text[i] == '\n' || text[i] == '\r' {
			return text[:i]
		}
	}
	return text
}
