package journal

import (
	"fmt"

	"github.com/cloudless-fleet/cloudless/pkg/durable"
	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// keepBuffer is how much of the buffer for appends stays between them, in bytes.
const keepBuffer = 1 << 20

// Session says whose the records of a session are. The number is the caller's; it
// is never used for another session while records of this one are there.
func (j *Journal) Session(number uint64, s Session) (index uint64, err error) {
	return j.append(Entry{Kind: KindSession, Session: number, Worker: s.Worker, Boot: s.Boot, Source: s.Source, Backfill: s.Backfill})
}

// Records appends encoded records of package frame as they came, all or none, and
// returns the index of the first; the others follow. Who appends one at a time
// through an interface saves an allocation with a slice of one that is kept.
//
// Without room, on the disk or within Options.MaxBytes, the error wraps
// durable.ErrFull, and when the disk does not work, durable.ErrDisk. Nothing is in the
// journal then.
func (j *Journal) Records(session uint64, raw ...[]byte) (first uint64, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.roomLocked(raw); err != nil {
		return 0, err
	}
	for _, record := range raw {
		j.buf = appendRecord(j.buf, session, record)
		j.ends = append(j.ends, len(j.buf))
	}
	return j.commitLocked(KindRecord)
}

// Base says where the decoder of a session's stream stands before the stream's next
// frame. state is what frame.Decoder.AppendState gives.
func (j *Journal) Base(session uint64, stream model.StreamID, schema frame.SchemaID, state []byte) (index uint64, err error) {
	return j.append(Entry{Kind: KindBase, Session: session, Stream: stream, Schema: schema, State: state})
}

// Coverage says which records of a worker's boot are durable, all that are before
// this one in the journal included. The error wraps ErrIntervals if they do not rise.
func (j *Journal) Coverage(c Coverage) (index uint64, err error) {
	return j.append(Entry{Kind: KindCoverage, Worker: c.Worker, Boot: c.Boot, Heard: c.Heard, Intervals: c.Intervals})
}

// End says that all series of a source ended at that time: every lane of it gets
// an end row.
func (j *Journal) End(source uint32, at model.Millis) (index uint64, err error) {
	return j.append(Entry{Kind: KindEnd, Source: source, At: at})
}

// Sealed says that the frames of a lane before this record are in a volume, if that
// volume is there.
func (j *Journal) Sealed(volume uint64, source uint32, stream model.StreamID) (index uint64, err error) {
	return j.append(Entry{Kind: KindSealed, Volume: volume, Source: source, Stream: stream})
}

// Passed says that sequence numbers of a session, both ends included, count as
// received without a record: refused, or not wanted.
func (j *Journal) Passed(session uint64, from, to uint64) (index uint64, err error) {
	return j.append(Entry{Kind: KindPassed, Session: session, From: from, To: to})
}

// Refused says that a frame of a session counts as received and was refused for good:
// what the ledger is told of it. samples is -1 if it is not known how many there were.
func (j *Journal) Refused(session, seq uint64, cause string, at model.Millis, samples int64) (index uint64, err error) {
	return j.append(Entry{Kind: KindRefused, Session: session, Seq: seq, Cause: cause, At: at, Samples: samples})
}

func (j *Journal) append(e Entry) (index uint64, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.buf, err = AppendEntry(j.buf, e); err != nil {
		return 0, fmt.Errorf("journal: %w", err)
	}
	j.ends = append(j.ends, len(j.buf))
	return j.commitLocked(e.Kind)
}

// commitLocked gives the log what is in buf.
func (j *Journal) commitLocked(kind Kind) (first uint64, err error) {
	start := 0
	for _, end := range j.ends {
		j.batch = append(j.batch, j.buf[start:end])
		start = end
	}
	if first, err = j.log.Append(j.batch...); err != nil {
		first, err = 0, fmt.Errorf("journal: %w", err)
	} else {
		j.written[kind].Add(uint64(len(j.batch)))
	}
	j.buf, j.ends, j.batch = j.buf[:0], j.ends[:0], j.batch[:0]
	if cap(j.buf) > keepBuffer {
		j.buf, j.ends, j.batch = nil, nil, nil
	}
	return first, err
}

// roomLocked checks the bound. The log cannot: what is in it must not be dropped,
// because it was acknowledged.
func (j *Journal) roomLocked(raw [][]byte) error {
	if j.bound == 0 {
		return nil
	}
	size := int64(0)
	for _, record := range raw {
		size += int64(len(record))
	}
	if has := j.log.Size(); has+size > j.bound {
		j.refused.Add(uint64(len(raw)))
		return fmt.Errorf("journal has %v, at most %v: %w", model.Bytes(has), model.Bytes(j.bound), durable.ErrFull)
	}
	return nil
}
