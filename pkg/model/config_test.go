package model_test

import (
	"errors"
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

func TestInSection(t *testing.T) {
	cause := errors.New("want more")
	for _, test := range []struct {
		name string
		err  error
		want string
	}{
		{"nothing wrong", nil, ""},
		{"a key", model.Fieldf("max", "is %d: %w", 0, cause), "spool.max: is 0: want more"},
		{"a plain error", cause, "spool: want more"},
		{"a key below a section", model.InSection("disk", model.Fieldf("max", "small")), "spool.disk.max: small"},
		{"several", errors.Join(model.Fieldf("min", "a"), errors.Join(model.Fieldf("max", "b"), cause)),
			"spool.min: a\nspool.max: b\nspool: want more"},
	} {
		got := ""
		if err := model.InSection("spool", test.err); err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
	if err := model.InSection("spool", model.Fieldf("max", "is 0: %w", cause)); !errors.Is(err, cause) {
		t.Errorf("cause lost in %v", err)
	}
}
