package daemon

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/kardianos/service"
)

// TestADaemonAddsToItsStatus: systemd says whether it runs; where there is no
// systemd, the daemon itself does.
func TestADaemonAddsToItsStatus(t *testing.T) {
	f := func(systemd bool, managed service.Status, running bool, failure error, code int, stdout, stderr string) {
		t.Helper()
		spec := sampleSpec(t)
		spec.Status = func(_ context.Context, call Call[sampleConfig]) (bool, error) {
			cfg, err := call.Load()
			if err != nil {
				return false, err
			}
			fmt.Fprintf(call.Stdout, "  name: %s\n", cfg.Name)
			return running, failure
		}
		h := host{root: t.TempDir(), systemd: systemd, executable: func() (string, error) { return "/usr/bin/sampled", nil },
			service: func(*service.Config) (service.Service, error) { return &fakeService{status: managed}, nil }}
		gotCode, gotOut, gotErr := invoke(spec, h, nil, "status")
		if gotCode != code || gotOut != stdout || gotErr != stderr {
			t.Errorf("exit code %d, printed %q and %q; want %d, %q, %q", gotCode, gotOut, gotErr, code, stdout, stderr)
		}
	}
	const own = "  name: default\n"
	f(true, service.StatusRunning, false, nil, ExitOK, "sampled: active\n"+own, "")
	f(true, service.StatusStopped, true, nil, ExitNotActive, "sampled: inactive\n"+own, "")
	f(true, service.StatusStopped, false, errors.New("unreadable"), ExitFailed, "sampled: inactive\n"+own, "sampled: unreadable\n")
	f(false, 0, true, nil, ExitOK, own, "")
	f(false, 0, false, nil, ExitNotActive, own, "")
	f(false, 0, true, errors.New("unreadable"), ExitFailed, own, "sampled: unreadable\n")
}
