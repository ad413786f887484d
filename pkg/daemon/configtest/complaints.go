package configtest

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudless-fleet/cloudless/pkg/daemon/config"
)

// Spoiled is a configuration with something wrong in it.
type Spoiled[C any] struct {
	// Spoil makes it of the defaults.
	Spoil func(*C)
	// Want lists the complaints of Validate: every one, in their order.
	Want []string
}

// CheckComplaints fails unless Validate finds nothing wrong with the defaults
// and exactly what is wrong with each case. defaults gives a configuration of
// its own at every call.
func CheckComplaints[C config.Validator](t testing.TB, defaults func() C, cases []Spoiled[C]) {
	t.Helper()
	if err := defaults().Validate(); err != nil {
		t.Errorf("the defaults are not valid: %v", err)
	}
	for _, one := range cases {
		cfg := defaults()
		one.Spoil(&cfg)
		err := cfg.Validate()
		if err == nil {
			t.Errorf("no error, want %q", one.Want)
			continue
		}
		if diff := cmp.Diff(one.Want, strings.Split(err.Error(), "\n")); diff != "" {
			t.Errorf("complaints (-want +got):\n%s", diff)
		}
	}
}
