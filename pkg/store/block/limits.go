package block

import (
	"errors"
	"fmt"
)

// Limits of the format. The writer keeps them, readers refuse what is beyond.
const (
	// MaxRows is the number of frames of one block.
	MaxRows = 1 << 16
	// MaxParts is the number of different parts of one block: a stretch in
	// which the schema changes with every frame ends early.
	MaxParts = 1 << 12
	// MaxValues is the number of values, over all parts and rows, that a
	// writer gathers: 256 MiB of memory. Blocks of sensible size are far below.
	MaxValues = 1 << 25

	// groupTarget is the size of uncompressed columns, in bytes, from which the
	// next column begins another group. Reading one column costs reading its
	// group. zstd compresses 128 KiB with one table of symbols.
	groupTarget = 128 << 10
	// maxRaw bounds a group, uncompressed: one column of the worst kind may
	// follow when the target is almost reached.
	maxRaw = groupTarget + MaxRows*(8+maxSparse+maxOdd)
	// maxSparse is the longest entry of the list of high bytes.
	maxSparse = 3 + 10
	// maxOdd is the longest entry of the list of odd values, in bytes.
	maxOdd = 3 + 8
)

var (
	// ErrVersion: a block of a version that this package does not know.
	ErrVersion = errors.New("unknown version of the block format")
	// ErrDamaged: what every Damage is.
	ErrDamaged = errors.New("damaged block")
	// ErrFull: the frame does not fit any more; seal and begin another block.
	ErrFull = errors.New("block is full")
	// ErrOrder: the frame is not later than the one before.
	ErrOrder = errors.New("frame is not later than the one before")
	// ErrInvalid: what was given to the writer makes no block.
	ErrInvalid = errors.New("invalid")
)

// Section says which piece of a block is meant.
type Section string

// The sections of a block.
const (
	SectionHeader    Section = "header"
	SectionDirectory Section = "directory"
	SectionTimes     Section = "times"
	SectionHead      Section = "head of a part"
	SectionValues    Section = "values of a part"
)

// Damage is what is wrong with a block, and where. errors.Is(err, ErrDamaged)
// holds for each.
type Damage struct {
	Section Section
	// Part is the number of the part, -1 for sections that belong to none.
	Part int
	// Offset is where the section begins in the block, in bytes.
	Offset int
	// Reason says what was found.
	Reason string
}

func (d *Damage) Error() string {
	if d.Part >= 0 {
		return fmt.Sprintf("damaged block: %s %d at byte %d: %s", d.Section, d.Part, d.Offset, d.Reason)
	}
	return fmt.Sprintf("damaged block: %s at byte %d: %s", d.Section, d.Offset, d.Reason)
}

// Is makes every Damage an ErrDamaged.
func (d *Damage) Is(target error) bool { return target == ErrDamaged }
