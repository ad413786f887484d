// Package boltfile keeps what a daemon must not forget in a bbolt file that is
// versioned, checked and never repaired by deleting.
//
// It promises four things. One process has the file at a time; a second one is
// told so. A file of a newer release, and one that is damaged as a whole, is
// refused and left as it is, byte for byte. A single damaged entry does not stop
// the daemon: it is moved to a quarantine bucket, reported, and never removed
// from there. A changed bit of an entry is found when it is read.
//
// A file has these buckets:
//
//	meta        "format" -> 8 bytes, big endian: version of the layout; more, if its owner wants
//	...         the entries, see Layout
//	quarantine  8 bytes, big endian: running number, then where it was -> the damaged value as found
//
// Where an entry was is its key. In a file of several buckets of entries the
// bucket's name and a zero byte stand before it.
//
// A value (AppendValue, OpenValue):
//
//	offset  size  content
//	0       1     version, 1
//	1       4     CRC-32C (Castagnoli) of the rest, big endian
//	5       rest  what the owner stores: mostly a JSON object
//
// The checksum is there because bbolt has one for its two meta pages only, and a
// flipped bit in a JSON string is still JSON.
//
// bbolt panics on a page that it does not understand, and a file that was cut
// short behind its back is a memory fault. Both become ErrDamaged here, as long as
// they happen in the goroutine that called.
package boltfile
