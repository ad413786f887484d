package frame

import (
	"fmt"
	"slices"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Layout is what encoders and decoders need to know of a schema: how many
// columns, which of them belong to which part, and the scale of each. It is
// immutable and holds no reference to the parts it was made from: one Layout
// serves all streams of a schema, from any number of goroutines.
type Layout struct {
	starts []int     // first column of each part, then the number of columns
	ones   []float64 // per column: how many units of its scale make 1.0; room for a block behind
}

// NewLayout lays out the columns of parts one after the other. It fails with
// ErrInvalid or ErrLimit when a part breaks a rule or a series occurs twice.
func NewLayout(parts []model.Part) (*Layout, error) {
	if len(parts) == 0 || len(parts) > MaxParts {
		return nil, fmt.Errorf("layout of %d parts, want 1 to %d: %w", len(parts), MaxParts, ErrLimit)
	}
	l := &Layout{starts: make([]int, 1, len(parts)+1)}
	for i := range parts {
		if err := checkPart(&parts[i]); err != nil {
			return nil, fmt.Errorf("layout: part %d: %w", i, err)
		}
		for j := range parts[i].Families {
			family := &parts[i].Families[j]
			for range family.Series {
				l.ones = append(l.ones, pow10(family.Scale))
			}
		}
		if len(l.ones) > MaxColumns {
			return nil, fmt.Errorf("layout: more than %d columns at part %d: %w", MaxColumns, i, ErrLimit)
		}
		l.starts = append(l.starts, len(l.ones))
	}
	l.ones = slices.Grow(l.ones, blockColumns)
	if err := checkShared(parts); err != nil {
		return nil, fmt.Errorf("layout: %w", err)
	}
	return l, nil
}

// Columns is the length of a row.
func (l *Layout) Columns() int { return len(l.ones) }

// Parts is the number of parts.
func (l *Layout) Parts() int { return len(l.starts) - 1 }

// PartRange returns the columns of a part, which is below Parts: from, up to
// and without to.
func (l *Layout) PartRange(part int) (from, to int) { return l.starts[part], l.starts[part+1] }

// partMap is the length of the bitmap over parts, in bytes.
func (l *Layout) partMap() int { return (l.Parts() + 7) / 8 }

// maxFrame bounds the size of a frame, in bytes, with room for the last
// varint to be written as a whole word.
func (l *Layout) maxFrame() int {
	const masks = 9 // of a block of 64 columns
	blocks := len(l.ones)/blockColumns + l.Parts()
	return maxHeader + l.partMap() + l.Parts()*maxLength + blocks*masks + len(l.ones)*maxCoded + maxVarint
}

// pow10 is exact: all powers up to 10^22 are float64 values.
func pow10(scale uint8) float64 {
	p := 1.0
	for range scale {
		p *= 10
	}
	return p
}
