package sampler

import (
	"fmt"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// recorder turns rounds into records: each part once, a schema before its
// first frame, key and delta frames. It belongs to one goroutine.
type recorder struct {
	out      Output
	stream   model.StreamID
	keyEvery int

	sent    map[frame.PartID]struct{} // given to out in this run
	schema  *schema                   // given to out, its encoder ready
	encoder *frame.Encoder
	buffer  []byte
	totals  totals
}

// totals is what a recorder has handed to its output.
type totals struct{ Parts, Schemas, Frames, KeyFrames, FrameBytes uint64 }

// maxSent bounds the memory of parts that need not be sent again, in parts.
// When it is full, all are forgotten: sending one twice costs its bytes and
// nothing else, as parts are named by their content.
const maxSent = 4096

// newRecorder returns a recorder that has sent nothing yet.
func newRecorder(out Output, stream model.StreamID, keyEvery int) *recorder {
	return &recorder{out: out, stream: stream, keyEvery: keyEvery, sent: map[frame.PartID]struct{}{}}
}

// restart forgets what has been sent: the next round begins with all
// definitions and a key frame.
func (r *recorder) restart() {
	clear(r.sent)
	r.schema = nil
}

// record appends one round, of which so many values are there. An output that
// refuses it may lack the frame before it, or definitions that it has dropped as
// nobody used them: it is given the round once more, as a key frame, and then with
// all that goes before. When it refuses that, too, the round is lost.
func (r *recorder) record(at model.Millis, schema *schema, row []float64, samples int) (err error) {
	if r.schema == schema {
		if err = r.frame(at, row, samples); err != nil {
			r.encoder.Restart()
			err = r.frame(at, row, samples)
		}
		if err == nil {
			return nil
		}
	}
	for range 2 {
		if err = r.define(schema); err == nil {
			err = r.frame(at, row, samples)
		}
		if err == nil {
			return nil
		}
		r.restart()
	}
	return err
}

func (r *recorder) frame(at model.Millis, row []float64, samples int) error {
	var key bool
	r.buffer, key = r.encoder.Append(r.buffer[:0], at, row)
	if _, err := r.out.Append(frame.KindFrame, r.stream, key, r.buffer, samples); err != nil {
		return fmt.Errorf("append frame: %w", err)
	}
	r.totals.Frames++
	r.totals.FrameBytes += uint64(len(r.buffer))
	if key {
		r.totals.KeyFrames++
	}
	return nil
}

// define appends the parts that are not known yet, and the schema.
func (r *recorder) define(schema *schema) (err error) {
	r.schema = nil
	if len(r.sent)+len(schema.ids) > maxSent {
		clear(r.sent)
	}
	for i, id := range schema.ids {
		if _, known := r.sent[id]; known {
			continue
		}
		if r.buffer, err = frame.AppendPart(r.buffer[:0], schema.parts[i]); err != nil {
			return err
		}
		if _, err = r.out.Append(frame.KindPart, 0, false, r.buffer, 0); err != nil {
			return fmt.Errorf("append part of collector %q: %w", schema.parts[i].Collector, err)
		}
		r.sent[id] = struct{}{}
		r.totals.Parts++
	}
	r.buffer = frame.AppendSchema(r.buffer[:0], frame.Schema{Parts: schema.ids})
	if _, err = r.out.Append(frame.KindSchema, r.stream, false, r.buffer, 0); err != nil {
		return fmt.Errorf("append schema: %w", err)
	}
	r.totals.Schemas++
	r.encoder = frame.NewEncoder(schema.layout, schema.id, r.keyEvery)
	r.schema = schema
	return nil
}
