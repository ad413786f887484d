package query

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/rollup"
	"github.com/cloudless-fleet/cloudless/pkg/store/volume"
)

// filling is how rollups stand in for rows that are gone.
type filling struct {
	plan rollup.Plan // but for its tier
	exact bool       // the plan gives what rows gave, where Emit says so
}

// fillingOf says what samples of a bucket come closest to what a selector asks for.
func fillingOf(plan *rollup.Plan, function string, window model.Millis) (use func(rollup.Tier) rollup.Use) {
	return func(tier rollup.Tier) rollup.Use {
		if plan != nil {
			return plan.Use
		}
		closest, _ := rollup.UseOf(function, window > 0)
		switch closest {
		case rollup.UseRate, rollup.UseEnds, rollup.UseResets:
			return closest
		}
		if window < 2*model.Millis(tier) {
			return rollup.UseFill // or most windows would have no sample
		}
		return closest
	}
}

// rowsOf reads the rows of a lane, and what rollups have of rows that are gone.
func (l *loader) rowsOf(n *lane) error {
	if l.filling == nil || n.isSparse() {
		return l.read(n)
	}
	gone, err := l.gone(n)
	if err := l.passOver(n, err); err != nil {
		return err
	}
	if len(gone) == 0 {
		return l.read(n)
	}
	mint, maxt := l.mint, l.window.maxt
	defer func() { l.mint, l.window.maxt = mint, maxt }()
	at := mint
	for _, s := range gone {
		if at <= s.after {
			l.mint, l.window.maxt = at, s.after
			if err := l.read(n); err != nil {
				return err
			}
		}
		if err := l.fill(n, s); err != nil {
			return err
		}
		at = s.until + 1
	}
	l.mint, l.window.maxt = at, maxt
	if at > maxt {
		return nil
	}
	return l.read(n)
}
