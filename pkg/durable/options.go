package durable

import (
	"crypto/rand"
	"errors"
	"io"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Options bound a log. Fields that are zero have the defaults that are named here.
type Options struct {
	// SegmentBytes is the size at which a new segment is begun; 16 MiB. It is also
	// the piece in which old records go: smaller ones keep the log closer to its
	// bounds, larger ones need fewer files and fewer syncs of the folder.
	SegmentBytes model.Bytes
	// MaxBytes bounds all segments together: the oldest ones are dropped. 0: no
	// bound. Files that were set aside are not counted.
	MaxBytes model.Bytes
	// MaxAge drops segments whose newest record is older. 0: no bound.
	MaxAge time.Duration
	// Buffer is how many bytes wait in memory to be written together; 64 KiB. More
	// takes fewer system calls. What was not written is lost when the process is
	// killed; Flush and Sync write it.
	Buffer model.Bytes
	// MaxUnsynced is how many bytes may wait for a Sync; 8 MiB. The log keeps
	// them in memory. Append syncs by itself rather than going beyond.
	MaxUnsynced model.Bytes
	// Check makes Open read all segments, not only the last one, and report
	// damage in them.
	Check bool

	// OnDrop is told of segments that were dropped to keep within the bounds, after
	// the files are gone, by the goroutine that called Append or Trim. It may call
	// the log.
	OnDrop func(Drop)

	FS     FS               // OS()
	Now    func() time.Time // time.Now
	Random io.Reader        // crypto/rand
}

// Bounds of the options.
const (
	smallestSegment = 4 * model.KiB
	largestSegment  = model.GiB
)

func (o Options) withDefaults() Options {
	def := func(b *model.Bytes, size model.Bytes) {
		if *b == 0 {
			*b = size
		}
	}
	def(&o.SegmentBytes, 16*model.MiB)
	def(&o.Buffer, 64*model.KiB)
	def(&o.MaxUnsynced, 8*model.MiB)
	if o.FS == nil {
		o.FS = OS()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Random == nil {
		o.Random = rand.Reader
	}
	if o.OnDrop == nil {
		o.OnDrop = func(Drop) {}
	}
	return o
}

// Validate names every field that is wrong (model.FieldError), in the spelling of
// TOML keys.
func (o Options) Validate() error {
	o = o.withDefaults()
	errs := []error{
		model.FieldWithin("segment_bytes", o.SegmentBytes, smallestSegment, largestSegment),
		model.FieldWithin("max_unsynced", o.MaxUnsynced, 4*model.KiB, model.GiB),
		model.FieldWithin("buffer", o.Buffer, 1, o.MaxUnsynced),
	}
	if o.MaxBytes != 0 { // the open segment is not dropped
		errs = append(errs, model.FieldWithin("max_bytes", o.MaxBytes, 2*o.SegmentBytes, model.Bytes(1)<<62))
	}
	if o.MaxAge != 0 {
		errs = append(errs, model.FieldAtLeast("max_age", o.MaxAge, time.Second))
	}
	return errors.Join(errs...)
}

// segmentAge is for how long records go into one segment, so that age can be told
// by the segment.
func (o Options) segmentAge() time.Duration { return o.MaxAge / 16 }
