package event

import (
	"fmt"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// MaxText is how long the text of a gap may be, in bytes.
const MaxText = 256

// MaxTime is the latest time that an event can name: the last millisecond of the
// year 9999, which is also the last one that RFC 3339 can write.
const MaxTime model.Millis = 253402300799999

// MaxCount bounds the numbers in an event: 2^53-1, which every JSON reader knows
// exactly.
const MaxCount = 1<<53 - 1

// Gap is a stretch of time of which samples are missing.
type Gap struct {
	Cause Cause
	// Boot is the process whose frames are missing. It is zero if none was
	// running. It may be another one than the one that reports the gap.
	Boot model.BootID
	// From and To are the first and the last moment that is missing, by the
	// worker's clock. Where nothing was sampled they are the times of the last
	// frame before and of the first one after.
	From, To model.Millis
	// FirstSeq and LastSeq are the first and the last of Boot's records that
	// are missing; not all in between need be. 0: there were none.
	FirstSeq, LastSeq uint64
	// Frames and Samples are how many were made and are missing. Both are 0
	// where nothing was sampled.
	Frames, Samples uint64
	// Text says more to people, in one line.
	Text string
}

// Clean returns the gap as it can be written: the times and the sequence numbers
// in their order and in their ranges, the text in one line that is not too long.
// A cause that is no name becomes CauseOther.
func (g Gap) Clean() Gap {
	if !isName(string(g.Cause)) {
		g.Cause = CauseOther
	}
	g.From = min(max(0, g.From), MaxTime)
	g.To = min(max(g.From, g.To), MaxTime)
	if g.FirstSeq == 0 || g.LastSeq == 0 {
		g.FirstSeq = max(g.FirstSeq, g.LastSeq)
		g.LastSeq = g.FirstSeq
	}
	g.FirstSeq = min(g.FirstSeq, MaxCount)
	g.LastSeq = min(max(g.FirstSeq, g.LastSeq), MaxCount)
	g.Frames, g.Samples = min(g.Frames, MaxCount), min(g.Samples, MaxCount)
	g.Text = model.Line(g.Text, MaxText)
	return g
}

// Check says what Clean would change.
func (g Gap) Check() error {
	switch {
	case !isName(string(g.Cause)):
		return fmt.Errorf("cause %q: %w", model.Line(string(g.Cause), maxName), ErrMalformed)
	case g.From < 0 || g.From > g.To || g.To > MaxTime:
		return fmt.Errorf("gap from %d to %d ms: %w", g.From, g.To, ErrMalformed)
	case g.FirstSeq > g.LastSeq || g.LastSeq > MaxCount || (g.FirstSeq == 0) != (g.LastSeq == 0):
		return fmt.Errorf("gap of records %d to %d: %w", g.FirstSeq, g.LastSeq, ErrMalformed)
	case g.Frames > MaxCount || g.Samples > MaxCount:
		return fmt.Errorf("gap of %d frames and %d samples: %w", g.Frames, g.Samples, ErrMalformed)
	case model.Line(g.Text, MaxText) != g.Text:
		return fmt.Errorf("text of a gap: %w", ErrMalformed)
	}
	return nil
}
