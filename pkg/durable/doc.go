// Package durable is the log of records that what must not be lost goes through:
// a folder of segment files to which records are appended, and from which they are
// read in order, also while they are being written, and after a crash.
//
// It promises:
//
//   - What Sync covered is there after a crash or a power cut: once, in order,
//     unchanged. What was appended after that is there up to some record, or not.
//   - What was never appended is never read, whatever the disk does: every byte is
//     covered by a checksum.
//   - Damage is found, reported with file and offset, and costs the records that it
//     hit. Nothing is deleted for it: what cannot stay is set aside.
//   - After a failed sync nothing is called synced that is not on disk.
//   - A full disk stops Append, and nothing else, until there is room.
//
// # Records and indexes
//
// A record is any bytes, up to MaxRecord; the log does not look into them. Records
// are numbered 1, 2, 3, ... by their index, which is never given out twice for
// records that were synced. Records that a power cut took were not; their
// indexes come again. Who has shown one of those to others calls Advance.
//
// # Files
//
//	000000000017.log              segment 17
//	000000000018.log.new          one that is being made; holds nothing that counts
//	000000000017.log.torn-4711    bytes from offset 4711 on that a power cut left
//	000000000016.log.damaged      a segment whose header cannot be read
//
//	segment  header, 64 bytes | entry ...
//	header   "CLDLSLOG" | version 4 | CRC-32C of these 12 bytes | number 8 | salt 8 |
//	         first index 8 | follows index 8 | created 8 | 0000 | CRC-32C of these 60 bytes
//	entry    length 3 | kind 1 | number 4, masked | checksum 4 | bytes
//
// All numbers are little-endian. docs/formats/log.md says the same at greater
// length, and why it is so.
//
// # Checksums
//
// An entry's first four bytes, after the segment's salt, have a CRC-32C c. The
// second four are c XOR the number of the record in its segment. That makes the
// checksum of the head and the number in one: a reader that knows which number
// comes next checks all 32 bits; one that looks for the next record behind damage
// learns its number. The last four are the CRC-32C of the bytes, begun with the
// second four. Without the salt, which is random and never leaves the file, nobody
// can put bytes into a record that pass for a record of this segment, and bytes of
// another file do not pass either.
//
// # What is known to be on disk
//
// A torn tail and damage look alike. What tells them apart is that the segment
// itself says now and then up to where it was synced: by a kind of record that is
// written when everything before it is on disk, and by marks. Damage before that
// is damage: readers pass over it and go on. What cannot be read behind it was on
// its way to the disk when the power went: it ends the log, with everything that
// follows, even if some of that is whole, so that what remains is a beginning of
// what was appended. Only the last segment can have such a tail. Before a new
// segment gets its name, everything in the ones before it is on disk, or is in
// it: its header says from which index on the others do not count.
//
// # When a sync fails
//
// Linux reports a failed write-back once and then takes the pages for clean: a
// second fsync of the file would succeed, and prove nothing. So the log keeps
// what is not synced in memory, never asks the same file again, and writes it to
// a new segment. Open does likewise with what a former process has left unproven: it
// writes it once more, instead of only syncing it.
//
// # Views
//
// A Viewer gives records by index, in any order, from mapped files where there can be
// such. It touches what is known to be on disk only; the rest it is given from
// memory. Views cost the log 4 bytes in memory a record. See Guard for what happens
// when the disk fails under a mapping.
//
// # Goroutines and locks
//
// The package starts no goroutine. Sync is run by one of its callers for all
// that wait. Appends and reads go on during a sync.
package durable
