// Package journal is where the collector puts what it accepts before it says so:
// the records of its workers as they came, and what must be known to make rows of
// them again. It is a folder of typed records in a durable.Log.
//
// It promises:
//
//   - What Sync covered is there after a crash or a power cut, once, in order,
//     byte by byte. An acknowledgement is sent after that and not before.
//   - Nothing goes by itself. A journal that has no more room refuses records
//     (ErrFull of package durable) and takes what a pass has to write, so that
//     it can be emptied.
//   - Damage is found and reported with file and offset, and costs the records that
//     it hit.
//
// # Records
//
// A record of the journal is one of these. The first byte has the version, 1, in
// its upper four bits and the kind below. Numbers are varints of encoding/binary, n;
// signed ones, s, are zig-zagged.
//
//	session   11 | session n | source n | flags 1 | worker 16 | boot 16
//	record    12 | session n | a record of package frame, as it came
//	base      13 | session n | stream n | schema 16 | a state of package frame
//	coverage  14 | worker 16 | boot 16 | heard s | intervals n | (from n | to less from n) ...
//	end       15 | source n | at s
//	sealed    16 | volume n | source n | stream n
//	passed    17 | session n | from n | to less from n
//	refused   18 | session n | seq n | at s | samples s | length n | cause
//
// From of the first interval is less one, from of the others less the end of the one
// before and two: intervals rise and do not touch. Length and checksum are the
// log's. docs/formats/journal.md says the same at greater length.
//
// # What they mean
//
// Whose a record is, its session says: worker, boot, and the number of the
// source (worker and host labels) in the dictionary of schemas. A session record
// is there before the first record of its session, and again after each pass,
// because the segment of the first one may be gone.
//
// A frame that is the difference to one that is not in front of it here needs
// a base: the state of the decoder before it.
//
// A sealed record divides a lane: its frames before are in a volume, if there is
// such a volume. If there is not, because the collector died while it wrote
// it, the frames count as if the sealed record was not there.
//
// # Goroutines
//
// The package starts none. Methods of Journal may be called at once; a Viewer
// belongs to one goroutine at a time.
package journal
