package rollup

import (
	"fmt"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/block"
)

// Builder makes the rollup of a lane from its rows, or from the rollups of a finer tier. It
// keeps its memory for the next one. Not safe for concurrent use.
//
//	b.Begin(worker, stream)
//	b.Schema(parts)      // whenever it changes
//	b.Append(at, row)    // all rows, in the order of their times
//	b.End(at)            // where a row of no part says that all series ended
//	data = b.Seal(data)
type Builder struct {
	tier   Tier
	worker model.WorkerID
	stream model.StreamID

	known   map[frame.PartID]*table
	tables  []*table // of this block
	spare   []*table
	current []*table // of the schema
	opened  []*table // of the open bucket
	width   int      // of a row
	entered bool     // the schema is that of the row before
	former  []*table // the schema of the row before, while entered is false

	lane []laneBucket // closed ones
	open laneBucket   // 0 rows: no bucket is open
	last model.Millis // time of the newest row
	some bool         // there was one
	size int          // bound of the values that the block will have

	sealer sealer
}

// laneBucket is what is said of the lane itself.
type laneBucket struct {
	at, from, to model.Millis
	rows         int
}

// NewBuilder returns a builder, on which Begin is to be called.
func NewBuilder(tier Tier) *Builder {
	if !tier.Known() {
		panic(fmt.Sprintf("rollup: tier of %d ms", tier))
	}
	return &Builder{tier: tier, known: map[frame.PartID]*table{}, sealer: newSealer()}
}

// Tier is what the builder makes.
func (b *Builder) Tier() Tier { return b.tier }

// Begin begins the rollup of a stream, and forgets what was not sealed.
func (b *Builder) Begin(worker model.WorkerID, stream model.StreamID) {
	b.worker, b.stream = worker, stream
	b.spare = append(b.spare, b.tables...)
	b.tables, b.current, b.opened, b.former = b.tables[:0], b.current[:0], b.opened[:0], b.former[:0]
	b.lane, b.open.rows, b.width, b.size, b.some, b.entered = b.lane[:0], 0, 0, 0, false, false
	clear(b.known)
}

// Schema says what the rows that follow consist of: parts, in the order of the schema, none
// of them twice. It copies what it needs. No parts are a schema too: that of an end row.
//
// block.ErrInvalid: a part without columns, or with others than before. The schema
// is as it was then.
func (b *Builder) Schema(parts []block.Part) error {
	for i := range parts {
		p := &parts[i]
		if n := len(p.Scales); n == 0 || n > frame.MaxPartColumns || p.ID == clock {
			return fmt.Errorf("part %v: %d columns: %w", p.ID, n, block.ErrInvalid)
		}
		if t := b.known[p.ID]; t != nil && len(t.scales) != len(p.Scales) {
			return fmt.Errorf("part %v: %d columns, %d before: %w", p.ID, len(p.Scales), len(t.scales), block.ErrInvalid)
		}
	}
	if b.entered || b.open.rows == 0 {
		b.former = append(b.former[:0], b.current...)
		b.entered = false
	}
	b.current, b.width = b.current[:0], 0
	for i := range parts {
		b.current = append(b.current, b.table(parts[i].ID, parts[i].Scales))
		b.width += len(parts[i].Scales)
	}
	return nil
}

// table returns the part's table.
func (b *Builder) table(id frame.PartID, scales []uint8) *table {
	if t := b.known[id]; t != nil {
		return t
	}
	var t *table
	if n := len(b.spare); n > 0 {
		t, b.spare = b.spare[n-1], b.spare[:n-1]
	} else {
		t = new(table)
	}
	k := len(scales)
	*t = table{
		id: id, scales: append(t.scales[:0], scales...),
		bits: sized(t.bits, k), number: sized(t.number, k), loud: t.loud[:0], states: t.states[:0],
		rows: t.rows[:0], firsts: t.firsts[:0], entries: t.entries[:0],
	}
	b.known[id] = t
	b.tables = append(b.tables, t)
	return t
}

func sized[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

// Append takes the next row: its time, later than the one before. A row of the wrong length
// is a bug of the caller and panics.
//
// block.ErrOrder: not later. block.ErrFull: seal first. What was appended stays.
func (b *Builder) Append(at model.Millis, row []float64) error {
	if len(row) != b.width {
		panic(fmt.Sprintf("rollup: row of %d values, schema of %d", len(row), b.width))
	}
	if err := b.turn(at); err != nil {
		return err
	}
	fresh := b.open.rows == 0
	if !b.entered && !fresh {
		b.enter(b.moment(at))
	}
	b.entered = true
	m := b.moment(at)
	for _, t := range b.current {
		values := row[:len(t.scales)]
		row = row[len(t.scales):]
		if fresh {
			t.start(values)
			b.opened = append(b.opened, t)
		} else {
			t.next(values, m)
		}
	}
	b.took(at)
	return nil
}

// End takes an end row: all series of the lane ended. Errors are those of Append.
func (b *Builder) End(at model.Millis) error {
	if err := b.turn(at); err != nil {
		return err
	}
	if b.open.rows == 0 {
		// The schema enters with the first row that has parts.
		b.entered = false
	}
	m := b.moment(at)
	for _, t := range b.opened {
		t.leave(m)
	}
	// The schema goes on with the next row, and all its series begin anew.
	b.took(at)
	return nil
}

// moment is when a row of the open bucket is. Of the first one it means nothing.
func (b *Builder) moment(at model.Millis) moment {
	return moment{int32(b.open.rows), int32(at - b.open.from), int32(b.open.to - b.open.from)}
}

// took counts a row.
func (b *Builder) took(at model.Millis) {
	if b.open.rows == 0 {
		b.open.from = at
	}
	b.open.to, b.last, b.some = at, at, true
	b.open.rows++
}

// turn closes the bucket if the next row is of another.
func (b *Builder) turn(at model.Millis) error {
	if b.some && at <= b.last {
		return fmt.Errorf("row at %d ms after %d ms: %w", at, b.last, block.ErrOrder)
	}
	end := b.tier.End(at)
	if b.open.rows > 0 && end == b.open.at {
		if b.entered {
			return nil
		}
		return b.fits(false)
	}
	if err := b.fits(true); err != nil {
		return err
	}
	b.closeBucket()
	b.open = laneBucket{at: end}
	return nil
}

// fits reports whether the block can take the schema in one more bucket, or in this one.
func (b *Builder) fits(bucket bool) error {
	size := b.size
	if bucket {
		size += clockColumns
		if len(b.lane)+2 > block.MaxRows {
			return fmt.Errorf("%d buckets: %w", len(b.lane)+1, block.ErrFull)
		}
	}
	parts := 1
	for _, t := range b.tables {
		parts += pieces(len(t.scales))
	}
	for _, t := range b.current {
		if bucket || !t.open {
			size += len(t.scales)*int(statistics) + headSize*pieces(len(t.scales))
		}
	}
	if size > block.MaxValues || parts > block.MaxParts {
		return fmt.Errorf("%d values of %d parts: %w", size, parts, block.ErrFull)
	}
	b.size = size
	return nil
}

// enter takes in that the schema is another one than that of the row before, in the
// middle of a bucket.
func (b *Builder) enter(m moment) {
	for _, t := range b.current {
		t.inside = true
		if !t.open {
			t.enter()
			b.opened = append(b.opened, t)
		}
	}
	for _, t := range b.former {
		if t.open && !t.inside {
			t.leave(m)
		}
	}
	for _, t := range b.current {
		t.inside = false
	}
}

// closeBucket ends the open bucket, if there is one.
func (b *Builder) closeBucket() {
	if b.open.rows == 0 {
		return
	}
	number := len(b.lane)
	b.lane = append(b.lane, b.open)
	for _, t := range b.opened {
		t.close(int32(b.open.to-b.open.from), int32(b.open.rows), number)
	}
	b.opened, b.open.rows = b.opened[:0], 0
}

// Buckets is the number of buckets that wait to be sealed, the open one included.
func (b *Builder) Buckets() int {
	if b.open.rows > 0 {
		return len(b.lane) + 1
	}
	return len(b.lane)
}

// Values is how many values the block will have at most, of eight bytes of memory each.
func (b *Builder) Values() int { return b.size }

// Seal appends the block to dst; there must be a bucket. The builder is then as after Begin.
// A bucket that is cut in two by sealing is put together by readers.
func (b *Builder) Seal(dst []byte) []byte {
	b.closeBucket()
	if len(b.lane) == 0 {
		panic("rollup: sealed without a row")
	}
	dst = b.sealer.seal(dst, b.worker, b.stream, b.tier, b.lane, b.tables)
	b.Begin(b.worker, b.stream)
	return dst
}
