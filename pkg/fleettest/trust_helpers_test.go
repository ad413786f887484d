package fleettest

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/audit"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/worker"
)

// status is what workerd has written down of itself, as `workerd status` reads it.
func (m *machine) status() (s worker.Status, err error) {
	text, err := os.ReadFile(filepath.Join(m.worker.StateDirectory, "status.json"))
	if err == nil {
		err = json.Unmarshal(text, &s)
	}
	return s, err
}

// stands is a check that workerd says where it stands with its fleet, and why.
func (m *machine) stands(standing, text string) func() error {
	return func() error {
		s, err := m.status()
		if err == nil && (string(s.Standing) != standing || !strings.Contains(s.Text, text)) {
			err = fmt.Errorf("it stands as %q: %q, want %q: %q", s.Standing, s.Text, standing, text)
		}
		return err
	}
}

// comesToStand waits for it.
func (m *machine) comesToStand(standing, text string) {
	m.f.t.Helper()
	m.f.eventually(m.name+" stands as "+standing, m.stands(standing, text))
}

// authorityOf loads the authority that issues in a home of a fleet, as whoever is
// root on the coordinator's host can.
func authorityOf(t *testing.T, home string) *trust.CA {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(home, "authority-*.pem"))
	if err == nil && len(files) != 1 {
		err = fmt.Errorf("%d authorities in %s, want one", len(files), home)
	}
	if err != nil {
		t.Fatal(err)
	}
	ca, err := trust.LoadCAFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func (f *inProcess) authority() *trust.CA {
	f.t.Helper()
	return authorityOf(f.t, f.path(model.DaemonCoordinator, "fleet"))
}

// entries are those of a server's audit log with a word, about a thing, or, for "",
// about any.
func (f *inProcess) entries(daemon, what, on string) []audit.Entry {
	f.t.Helper()
	return slices.DeleteFunc(f.audited(daemon), func(e audit.Entry) bool { return e.What != what || on != "" && e.On != on })
}

// said is a check that a line of the log holds all of the texts.
func (f *inProcess) said(texts ...string) error {
	for line := range strings.Lines(f.log.String()) {
		if !slices.ContainsFunc(texts, func(text string) bool { return !strings.Contains(line, text) }) {
			return nil
		}
	}
	return fmt.Errorf("no line of the log has %q", texts)
}

// members are the names of those that were let in, sorted.
func (f *inProcess) members() []string {
	f.t.Helper()
	list, err := f.admin.Members(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	var names []string
	for _, m := range list.Members {
		names = append(names, m.Hostname)
	}
	slices.Sort(names)
	return names
}

// whole is a check that no round of a worker is missing in the store.
func (f *inProcess) whole(instance string) func() error {
	return func() error {
		rounds := fmt.Sprintf(`cloudless_sampler_rounds_total{instance=%q}[10m]`, instance)
		missing, err := f.value(fmt.Sprintf(`max_over_time(%s) - min_over_time(%s) + 1 - count_over_time(%s)`, rounds, rounds, rounds))
		if err == nil && missing != 0 {
			err = fmt.Errorf("%v rounds are missing", missing)
		}
		return err
	}
}

// statusOf is the HTTP status of an answer that is a refusal; 0: there was none, or
// it was none.
func statusOf(err error) int {
	if refused, ok := errors.AsType[*api.Error](err); ok {
		return refused.Status
	}
	return 0
}

// bundle is whom members of the fleet trust.
func (f *inProcess) bundle() trust.Bundle {
	f.t.Helper()
	status, err := f.admin.Status(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	bundle, err := trust.ParseBundle([]byte(status.Bundle))
	if err != nil {
		f.t.Fatal(err)
	}
	return bundle
}
