package volume

import "fmt"

// Tier says what the rows of a volume are.
type Tier uint8

// The tiers.
const (
	Raw    Tier = iota // rows as they were sampled
	Minute             // one row sums up a minute
	Hour               // one row sums up an hour
	// Tiers is how many there are.
	Tiers = int(iota)
)

// String is the suffix of the tier's files, without the dot.
func (t Tier) String() string {
	switch t {
	case Raw:
		return "raw"
	case Minute:
		return "1m"
	case Hour:
		return "1h"
	}
	return fmt.Sprintf("tier(%d)", uint8(t))
}

// parseTier is the inverse of String.
func parseTier(text string) (Tier, bool) {
	for t := range Tier(Tiers) {
		if t.String() == text {
			return t, true
		}
	}
	return 0, false
}
