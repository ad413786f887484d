package ledger

import (
	"encoding/binary"

	"github.com/cloudless-fleet/cloudless/pkg/event"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// kind says what a record of the log is: its first byte, the version in the upper
// four bits.
type kind uint8

const (
	version = 1

	kindReport   kind = version<<4 | 1 // a report
	kindRefusals kind = version<<4 | 2 // more refusals for an entry, or the first ones
	kindEntry    kind = version<<4 | 3 // an entry of refusals as it stands
	kindEarlier  kind = version<<4 | 4 // the sums of a worker
)

// record is a record of the log, taken apart.
type record struct {
	kind   kind
	worker model.WorkerID
	// id is the number of the entry; of sums, up to which entries are in them.
	id uint64
	// Of all but sums:
	boot  model.BootID
	noted model.Millis
	gap   event.Gap // of refusals without Boot, FirstSeq, LastSeq
	seqs  seqs      // of a report one number
	// Of sums:
	sums []sum
}

// appendRecord is the inverse of parseRecord.
func appendRecord(dst []byte, r *record) []byte {
	dst = append(dst, byte(r.kind))
	dst = binary.AppendUvarint(dst, r.id)
	dst = append(dst, r.worker[:]...)
	if r.kind == kindEarlier {
		dst = binary.AppendUvarint(dst, uint64(len(r.sums)))
		for i := range r.sums {
			dst = appendSum(dst, &r.sums[i])
		}
		return dst
	}
	dst = append(dst, r.boot[:]...)
	dst = appendStretch(dst, r.gap.From, r.gap.To, r.noted)
	dst = appendText(dst, string(r.gap.Cause))
	dst = binary.AppendUvarint(dst, r.gap.Frames)
	dst = binary.AppendUvarint(dst, r.gap.Samples)
	dst = appendText(dst, r.gap.Text)
	if r.kind == kindReport {
		dst = binary.AppendUvarint(dst, r.seqs.last)
		dst = append(dst, r.gap.Boot[:]...)
		dst = binary.AppendUvarint(dst, r.gap.FirstSeq)
		return binary.AppendUvarint(dst, r.gap.LastSeq-r.gap.FirstSeq)
	}
	dst = binary.AppendUvarint(dst, uint64(r.seqs.runs))
	dst = append(dst, r.seqs.packed...)
	return appendRun(dst, r.seqs.end, r.seqs.start, r.seqs.last)
}

func appendSum(dst []byte, s *sum) []byte {
	dst = appendStretch(dst, s.From, s.To, s.noted)
	dst = appendText(dst, string(s.Cause))
	dst = binary.AppendUvarint(dst, s.Frames)
	dst = binary.AppendUvarint(dst, s.Samples)
	return binary.AppendUvarint(dst, s.Entries)
}

func appendStretch(dst []byte, from, to, noted model.Millis) []byte {
	dst = binary.AppendUvarint(dst, uint64(from))
	dst = binary.AppendUvarint(dst, uint64(to-from))
	return binary.AppendUvarint(dst, uint64(noted))
}

func appendText(dst []byte, text string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(text))), text...)
}
